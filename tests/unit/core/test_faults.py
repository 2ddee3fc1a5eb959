"""Damaged rows, a full database, clocks that jump, remains: degraded and said so, never silent or stuck."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandlot.core import CreateSandbox, Engine, ListQuery, State
from sandlot.core.clock import Clock
from sandlot.core.lifecycle import EventKind
from sandlot.errors import NotEnoughSpace
from sandlot.node import Remains
from sandlot.store import SandboxStore

from .conftest import Boot


def damage(folder: Path, id: str, column: str, value: object) -> None:
    with sqlite3.connect(folder / "test.db") as database:
        database.execute(f"UPDATE sandboxes SET {column} = ? WHERE id = ?", (value, id))
    database.close()


async def kinds(engine: Engine, id: str) -> list[str]:
    return [event.kind for event in await engine.events(id)]


async def until_kind(engine: Engine, id: str, kind: EventKind) -> None:
    async with asyncio.timeout(10):
        while kind not in await kinds(engine, id):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "levitating"),
        ("isolation", "cardboard"),
        ("guest", "{half a"),
        ("guest", '{"user": "root"}'),
        ("env", "[]]"),
        ("metadata", "metadata"),
        ("created_at", "yesterday"),
    ],
)
async def test_a_row_that_cannot_be_read_is_set_aside_and_nothing_else(
    boot: Boot, tmp_path: Path, column: str, value: object
) -> None:
    engine, node = await boot()
    broken, sound = [await engine.create(CreateSandbox()) for _ in range(2)]
    await engine.stop()
    damage(tmp_path, broken.id, column, value)
    engine, node = await boot()
    assert node.world.running == {sound.id}
    assert [each.id for each in (await engine.list(ListQuery())).items] == [sound.id]
    found = await engine.get(broken.id)
    assert found.state is State.FAILED
    assert "cannot be read" in (found.reason or "")
    assert (await kinds(engine, broken.id))[-2:] == [EventKind.DEGRADED, EventKind.FAILED]
    assert (await engine.events(broken.id))[-2].details["row"]["id"] == broken.id
    everything = await engine.list(ListQuery(states=frozenset(State)))
    assert {each.id for each in everything.items} == {broken.id, sound.id}


async def test_the_row_of_one_that_had_ended_is_mended_and_keeps_its_end(boot: Boot, tmp_path: Path) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox())
    await engine.kill(made.id)
    await engine.stop()
    damage(tmp_path, made.id, "metadata", "{")
    engine, _ = await boot()
    assert (await engine.get(made.id)).state is State.KILLED
    assert (await kinds(engine, made.id))[-1] == EventKind.DEGRADED


async def test_an_end_that_the_full_disk_does_not_take_is_written_once_there_is_space(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    change = SandboxStore.change

    async def full(*_: Any) -> bool:
        raise NotEnoughSpace("the server's database cannot grow")

    monkeypatch.setattr(SandboxStore, "change", full)
    node.lose(made.id, "its runtime exited")
    async with asyncio.timeout(10):
        while not (found := await engine.get(made.id)).state.ended:
            await asyncio.sleep(0)
    assert (found.state, found.reason) == (State.FAILED, "its runtime exited")
    assert EventKind.DIED not in await kinds(engine, made.id)
    monkeypatch.setattr(SandboxStore, "change", change)
    await until_kind(engine, made.id, EventKind.DIED)


@pytest.mark.parametrize("jump", [timedelta(hours=5), timedelta(hours=-5)])
async def test_a_clock_that_jumped_while_the_server_was_away_moves_no_deadline(
    boot: Boot, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    engine, _ = await boot()
    born = await engine.create(CreateSandbox(timeout_s=600))
    changed = await engine.create(CreateSandbox(timeout_s=None))
    await engine.set_timeout(changed.id, 900)
    await engine.stop()
    now = Clock.now
    monkeypatch.setattr(Clock, "now", lambda self: now(self) + jump)
    engine, node = await boot()
    assert node.world.running == {born.id, changed.id}
    loop = asyncio.get_running_loop()
    for id, timeout_s in ((born.id, 600), (changed.id, 900)):
        left_s = engine._roster._deadlines._timers[id].when() - loop.time()
        assert left_s == pytest.approx(timeout_s, abs=60)


async def test_what_cannot_be_removed_is_told_in_the_log(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    await engine.kill(made.id)
    node.remains.put_nowait(Remains("sbnobodyknows", ("busy",)))
    node.remains.put_nowait(Remains(made.id, ("/dev/loop7 is held",)))
    await until_kind(engine, made.id, EventKind.LEFTOVER)
    assert "/dev/loop7 is held" in ((await engine.events(made.id))[-1].reason or "")
