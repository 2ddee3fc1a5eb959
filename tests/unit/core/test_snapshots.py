"""Snapshots: named, charged for, found by their tenant alone, gone in time, and never half there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandlot.core import CreateSandbox, CreateSnapshot, Engine, Hooks, Limits, ListQuery, Sandbox, State
from sandlot.core import snapshots as module
from sandlot.core.lifecycle import EventKind
from sandlot.errors import (
    Conflict,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    SandboxGone,
    SandlotError,
)
from sandlot.node import Tier
from sandlot.store import Quotas, Tenant, TenantStore

from .conftest import Boot
from .fake_node import FakeNode

MINE = Tenant("default")
THEIRS = Tenant("acme", Quotas(max_disk_mib=1000))
SMALL = CreateSandbox(disk_mib=999, memory_mib=100)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


async def add_theirs(engine: Engine) -> None:
    await TenantStore(engine._ledger._store._database).create(THEIRS)


async def kinds(engine: Engine, id: str) -> list[str]:
    return [event.kind for event in await engine.events(id)]


async def refused(work: Awaitable[object], *, kind: type[SandlotError] = Conflict) -> str:
    with pytest.raises(kind) as told:
        await work
    return told.value.message


async def test_it_is_found_by_id_and_by_name_and_says_what_it_is_of(boot: Boot) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox(env={"A": "1"}, memory_mib=256, cpus=0.5))
    made = await engine.snapshot(box.id, MINE, CreateSnapshot(name="team/ready:v1"))
    assert (
        made == await engine.get_snapshot(MINE, made.id) == await engine.get_snapshot(MINE, "team/ready:v1")
    )
    assert (made.sandbox_id, made.memory, made.memory_mib, made.env) == (box.id, True, 256, {"A": "1"})
    assert node.world.snapshots == {made.id}
    event = (await engine.events(box.id))[-1]
    assert (event.kind, event.details["snapshot"]) == (EventKind.SNAPSHOT, made.id)
    assert (await engine.get(box.id)).state is State.RUNNING


async def test_a_name_is_taken_once_by_each_tenant_until_it_is_free(boot: Boot) -> None:
    engine, node = await boot()
    await add_theirs(engine)
    box, other = await engine.create(CreateSandbox()), await engine.create(SMALL, THEIRS)
    await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))
    assert "'ready'" in await refused(engine.snapshot(box.id, MINE, CreateSnapshot(name="ready")))
    await engine.snapshot(other.id, THEIRS, CreateSnapshot(name="ready"))
    assert await engine.delete_snapshot(MINE, "ready")
    assert not await engine.delete_snapshot(MINE, "ready")
    await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))
    assert len(node.world.snapshots) == 2


async def test_a_name_is_taken_from_who_has_it_once_the_new_one_is_whole(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, node = await boot()
    await add_theirs(engine)
    box, other = await engine.create(CreateSandbox()), await engine.create(SMALL, THEIRS)
    wish = CreateSnapshot(name="daily", take_name=True)
    old = await engine.snapshot(box.id, MINE, wish)
    theirs = await engine.snapshot(other.id, THEIRS, CreateSnapshot(name="daily"))
    with monkeypatch.context() as patch:
        patch.setattr(node, "snapshot", full)
        await refused(engine.snapshot(box.id, MINE, wish), kind=NotEnoughSpace)
    assert (await engine.get_snapshot(MINE, "daily")).id == old.id
    new = await engine.snapshot(box.id, MINE, wish)
    assert (await engine.get_snapshot(MINE, "daily")).id == new.id
    assert (await engine.get_snapshot(MINE, old.id)).name is None
    assert (await engine.get_snapshot(THEIRS, "daily")).id == theirs.id


async def full(*_: object, **__: object) -> None:
    raise NotEnoughSpace("the disk is full")


async def test_two_that_want_one_name_at_once(boot: Boot) -> None:
    engine, node = await boot()
    boxes = [await engine.create(CreateSandbox()) for _ in range(2)]
    node.time_gate.clear()
    work = [asyncio.create_task(engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))) for box in boxes]
    done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert len(done) == 1
    node.time_gate.set()
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Snapshot"]
    assert len(node.world.snapshots) == 1


async def test_one_that_fails_leaves_nothing(boot: Boot) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    node.time_failure = NotEnoughSpace("the disk is full")
    await refused(engine.snapshot(box.id, MINE, CreateSnapshot(name="ready")), kind=NotEnoughSpace)
    node.time_failure = None
    assert (await engine.snapshots(MINE)).items == []
    assert node.world.snapshots == set()
    await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))


async def test_one_whose_row_cannot_be_written_leaves_nothing(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    monkeypatch.setattr(engine._snapshots._store, "add", full)
    await refused(engine.snapshot(box.id, MINE, CreateSnapshot()), kind=NotEnoughSpace)
    assert node.world.snapshots == set()
    assert engine.status(MINE).disk_mib == box.disk_mib


async def test_what_a_crash_left_half_made_is_swept_and_the_others_stay(boot: Boot) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    made = await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))
    node.world.snapshots.add("half")
    await engine.stop()
    engine, node = await boot()
    assert node.world.snapshots == {made.id}
    assert (await engine.get_snapshot(MINE, "ready")).id == made.id


async def test_a_tenant_is_charged_for_what_its_snapshots_store(boot: Boot) -> None:
    engine, node = await boot()
    await add_theirs(engine)
    box = await engine.create(SMALL, THEIRS)
    made = await engine.snapshot(box.id, THEIRS, CreateSnapshot())
    assert engine.status(THEIRS).disk_mib == 1000
    await refused(engine.snapshot(box.id, THEIRS, CreateSnapshot()), kind=LimitExceeded)
    await engine.kill(box.id)
    assert engine.status(THEIRS).disk_mib == 1
    assert (engine.status(THEIRS).sandboxes, engine.census().tenants["acme"].sandboxes) == (0, {})
    await engine.stop()
    engine, node = await boot()
    assert engine.status(THEIRS).disk_mib == 1
    await engine.delete_snapshot(THEIRS, made.id)
    assert engine.status(THEIRS).disk_mib == 0
    assert node.world.snapshots == set()


async def test_what_a_deleted_one_shared_counts_for_who_has_it_still(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever deletes the first of two equal ones would store for nothing."""
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    first = await engine.snapshot(box.id, MINE, CreateSnapshot())
    second = await engine.snapshot(box.id, MINE, CreateSnapshot())
    used = engine.status(MINE).disk_mib

    async def delete(id: str) -> dict[str, int]:
        node.world.snapshots.discard(id)
        return {second.id: 5 << 20, "gone-meanwhile": 1}

    monkeypatch.setattr(node, "delete_snapshot", delete)
    await engine.delete_snapshot(MINE, first.id)
    assert engine.status(MINE).disk_mib == used - 1 + 5
    assert (await engine.get_snapshot(MINE, second.id)).stored_bytes == second.stored_bytes + (5 << 20)
    await engine.stop()
    engine, _ = await boot()
    assert engine.status(MINE).disk_mib == used - 1 + 5


async def test_one_that_turns_out_too_large_for_the_quota_is_refused(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, node = await boot()
    await add_theirs(engine)
    box = await engine.create(SMALL, THEIRS)
    plain = node.snapshot

    async def large(*args: Any, **named: Any) -> Any:
        facts = await plain(*args, **named)
        return type(facts)(True, facts.size_bytes, stored_bytes=2 << 20, downtime_s=0)

    monkeypatch.setattr(node, "snapshot", large)
    assert "max_disk_mib" in await refused(
        engine.snapshot(box.id, THEIRS, CreateSnapshot()), kind=LimitExceeded
    )
    assert (node.world.snapshots, engine.status(THEIRS).disk_mib) == (set(), 999)


async def test_it_expires_before_a_restart_and_after_one(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    await engine.snapshot(box.id, MINE, CreateSnapshot(name="soon", expires_s=1))
    await until(lambda: node.world.snapshots == set())
    later = await engine.snapshot(box.id, MINE, CreateSnapshot(name="later", expires_s=3600))
    kept = await engine.snapshot(box.id, MINE, CreateSnapshot(name="kept"))
    await engine.stop()
    monkeypatch.setattr(module, "_now", lambda: datetime.now(UTC) + timedelta(hours=2))
    engine, node = await boot()
    await until(lambda: node.world.snapshots == {kept.id})
    await refused(engine.get_snapshot(MINE, later.id), kind=NotFound)


async def test_one_that_has_expired_is_not_found_and_its_name_is_free(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rest(_: Any) -> None: ...

    monkeypatch.setattr(module.Snapshots, "_keep_expiring", rest)  # what has not been looked at yet
    engine, _ = await boot()
    box = await engine.create(CreateSandbox())
    old = await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready", expires_s=3600))
    monkeypatch.setattr(module, "_now", lambda: datetime.now(UTC) + timedelta(hours=2))
    assert (await engine.snapshots(MINE)).items == []
    await refused(engine.create(CreateSandbox(snapshot="ready")), kind=NotFound)
    new = await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))
    assert new.id != old.id


@pytest.mark.parametrize("expires_s", [0, -1, 1e12, float("nan")])
async def test_an_expiry_that_cannot_be(boot: Boot, expires_s: float) -> None:
    engine, _ = await boot()
    box = await engine.create(CreateSandbox())
    request = CreateSnapshot(expires_s=expires_s)
    assert "expires_s" in await refused(engine.snapshot(box.id, MINE, request), kind=InvalidArgument)


async def test_of_a_tier_that_keeps_no_memory_the_files_are_kept(boot: Boot) -> None:
    engine, _ = await boot()
    box = await engine.create(CreateSandbox(isolation=Tier.CONTAINER))
    assert "memory=false" in await refused(engine.snapshot(box.id, MINE, CreateSnapshot(memory=True)))
    assert not (await engine.snapshot(box.id, MINE, CreateSnapshot())).memory


async def test_of_a_paused_one(boot: Boot) -> None:
    engine, _ = await boot()
    frozen, put_away = [await engine.create(CreateSandbox()) for _ in range(2)]
    await engine.pause(frozen.id)
    await engine.pause(put_away.id, memory=False)
    assert (await engine.snapshot(frozen.id, MINE, CreateSnapshot())).memory
    assert not (await engine.snapshot(put_away.id, MINE, CreateSnapshot())).memory
    assert "files alone" in await refused(engine.snapshot(put_away.id, MINE, CreateSnapshot(memory=True)))
    assert (await engine.get(frozen.id)).state is (await engine.get(put_away.id)).state is State.PAUSED


async def test_of_one_that_has_ended_there_is_none(boot: Boot) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    await engine.kill(box.id)
    await refused(engine.snapshot(box.id, MINE, CreateSnapshot()), kind=SandboxGone)
    assert node.world.snapshots == set()


async def test_who_kills_it_does_not_wait_for_its_snapshot(boot: Boot) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    node.time_gate.clear()
    work = asyncio.create_task(engine.snapshot(box.id, MINE, CreateSnapshot()))
    await until(lambda: node.waiting == 1)
    await engine.kill(box.id)
    with pytest.raises(SandboxGone):
        await work
    assert (await engine.snapshots(MINE)).items == []
    assert node.world.snapshots == set()


async def test_a_caller_that_goes_away_leaves_none(boot: Boot) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    node.time_gate.clear()
    work = asyncio.create_task(engine.snapshot(box.id, MINE, CreateSnapshot(name="ready")))
    await until(lambda: node.waiting == 1)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    node.time_gate.set()
    await until(lambda: ("snapshot", box.id) in node.done and not node.world.snapshots)
    assert (await engine.snapshots(MINE)).items == []
    await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))


async def test_what_is_made_from_it_is_as_it_was_where_the_request_says_nothing(boot: Boot) -> None:
    engine, node = await boot()
    request = CreateSandbox(
        memory_mib=256,
        cpus=0.5,
        env={"A": "1", "B": "1"},
        metadata={"m": "1"},
        internet=False,
        hooks=Hooks(on_resume=None),
    )
    box = await engine.create(request)
    snapshot = await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))
    again = await engine.create(CreateSandbox(snapshot="ready", env={"B": "2"}, timeout_s=None))
    assert again.id != box.id
    assert (again.memory_mib, again.cpus, again.internet) == (256, 0.5, False)
    assert (again.env, again.metadata) == ({"A": "1", "B": "2"}, {})
    assert (again.generation, again.snapshot_id, again.parent_id) == (1, snapshot.id, box.id)
    assert (again.hostname, again.deadline) == (again.id, None)
    other = await engine.create(CreateSandbox(snapshot=snapshot.id, cpus=2, internet=True))
    assert (other.cpus, other.internet) == (2, True)
    assert node.done.count(("restore", again.id)) == 1
    assert await engine.get(again.id) == again


@pytest.mark.parametrize(
    "field",
    [{"template": "other"}, {"isolation": Tier.GVISOR}, {"memory_mib": 64}, {"disk_mib": 64}, {"pids": 8}],
)
async def test_what_a_snapshot_decides_must_not_be_given(boot: Boot, field: dict[str, Any]) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))
    request = CreateSandbox(snapshot="ready", **field)
    assert next(iter(field)) in await refused(engine.create(request), kind=InvalidArgument)
    assert node.world.running == {box.id}


async def test_its_sandbox_may_end_and_it_may_go_while_others_use_it(boot: Boot) -> None:
    engine, node = await boot()
    box = await engine.create(CreateSandbox())
    snapshot = await engine.snapshot(box.id, MINE, CreateSnapshot())
    await engine.kill(box.id)
    again = await engine.create(CreateSandbox(snapshot=snapshot.id))
    await engine.delete_snapshot(MINE, snapshot.id)
    assert (await engine.get(again.id)).state is State.RUNNING
    await refused(engine.create(CreateSandbox(snapshot=snapshot.id)), kind=NotFound)
    assert node.world.running == {again.id}


async def test_another_tenants_are_none(boot: Boot) -> None:
    engine, _ = await boot()
    await add_theirs(engine)
    box = await engine.create(SMALL, THEIRS)
    made = await engine.snapshot(box.id, THEIRS, CreateSnapshot(name="ready"))
    mine = engine.of(MINE)
    for word in (made.id, "ready"):
        never = "sn" + "a" * 20 if word == made.id else "never"
        told = await refused(mine.get_snapshot(word), kind=NotFound)
        assert told.replace(word, never) == await refused(mine.get_snapshot(never), kind=NotFound)
        await refused(mine.create(CreateSandbox(snapshot=word)), kind=NotFound)
        assert not await mine.delete_snapshot(word)
    assert (await mine.snapshots()).items == (await mine.snapshots(sandbox_id=box.id)).items == []
    assert (await engine.of(THEIRS).snapshots(sandbox_id=box.id)).items == [made]


async def test_a_tenant_that_has_any_cannot_be_removed(boot: Boot) -> None:
    engine, _ = await boot()
    await add_theirs(engine)
    tenants = TenantStore(engine._ledger._store._database)
    box = await engine.create(SMALL, THEIRS)
    made = await engine.snapshot(box.id, THEIRS, CreateSnapshot())
    await engine.kill(box.id)
    assert (await tenants.use(["running"]))["acme"].disk_mib == 1
    assert "1 snapshot" in await refused(tenants.remove("acme", ["running"]))
    await engine.delete_snapshot(THEIRS, made.id)
    await tenants.remove("acme", ["running"])


async def test_pages_have_each_of_them_once(boot: Boot) -> None:
    engine, _ = await boot()
    box = await engine.create(CreateSandbox())
    made = [(await engine.snapshot(box.id, MINE, CreateSnapshot())).id for _ in range(5)]
    found: list[str] = []
    cursor = None
    while True:
        page = await engine.snapshots(MINE, limit=2, cursor=cursor)
        found += [snapshot.id for snapshot in page.items]
        if (cursor := page.next_cursor) is None:
            break
        await engine.delete_snapshot(MINE, found[-1])  # a place is kept though what stood there is gone
    assert found == made[::-1]
    for limit, text in ((0, None), (1001, None), (1, "rubbish"), (1, (await listed_cursor(engine)))):
        await refused(engine.snapshots(MINE, limit=limit, cursor=text), kind=InvalidArgument)


async def listed_cursor(engine: Engine) -> str | None:
    """A cursor of another list."""
    await engine.create(CreateSandbox())
    return (await engine.list(ListQuery(limit=1))).next_cursor


NAMES = st.one_of(st.text(max_size=140), st.from_regex(r"[A-Za-z0-9._:/-]{0,140}", fullmatch=True))


@given(name=NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_name_is_refused_or_found_by_exactly_that(named: _Named, name: str) -> None:
    engine, box = await named.world()
    try:
        made = await engine.snapshot(box.id, MINE, CreateSnapshot(name=name))
    except InvalidArgument:
        await refused(engine.get_snapshot(MINE, name), kind=NotFound)
        return
    assert 1 <= len(name) <= 128
    assert name.isascii()
    assert not any(part in ("", ".", "..") for part in name.split("/"))
    assert await engine.get_snapshot(MINE, name) == made
    assert await engine.delete_snapshot(MINE, name)


class _Named:
    """One server and sandbox for all examples."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._world: tuple[Engine, Sandbox] | None = None

    async def world(self) -> tuple[Engine, Sandbox]:
        if self._world is None:
            engine, _ = await self._boot()
            self._world = engine, await engine.create(CreateSandbox())
        return self._world


@pytest.fixture
def named(boot: Boot) -> _Named:
    return _Named(boot)


# ── going back ───────────────────────────────────────────────────────────────────────────────────────────


async def prepared(boot: Boot, limits: Limits | None = None) -> tuple[Engine, FakeNode, Sandbox, str]:
    engine, node = await boot(limits)
    box = await engine.create(CreateSandbox(timeout_s=600))
    snapshot = await engine.snapshot(box.id, MINE, CreateSnapshot(name="ready"))
    return engine, node, box, snapshot.id


async def test_it_goes_back_under_its_id(boot: Boot) -> None:
    engine, node, box, snapshot = await prepared(boot)
    back = await engine.roll_back(box.id, MINE, "ready")
    assert (back.id, back.state, back.generation, back.snapshot_id) == (box.id, State.RUNNING, 1, snapshot)
    assert back.deadline is not None
    assert back == await engine.get(box.id) == (await engine.live(box.id)).sandbox
    assert (await kinds(engine, box.id))[-2:] == [EventKind.ROLLING_BACK, EventKind.RESUMED]
    assert node.world.running == {box.id}
    node.lose(box.id, "lost")  # it is watched as before
    await until(lambda: engine.status(MINE).sandboxes == 0)


async def test_a_paused_one_goes_back_and_runs(boot: Boot) -> None:
    engine, node, box, _ = await prepared(boot)
    for memory in (True, False):
        await engine.pause(box.id, memory=memory)
        assert (await engine.roll_back(box.id, MINE, "ready")).state is State.RUNNING
        assert engine.status(MINE).memory_mib == box.memory_mib
    assert node.world.running == {box.id}


async def test_where_it_cannot_go_back_it_stays_as_it_is(boot: Boot) -> None:
    engine, node, box, _ = await prepared(boot)
    node.time_failure = Conflict("what was kept is damaged")
    assert "damaged" in await refused(engine.roll_back(box.id, MINE, "ready"))
    assert (await engine.get(box.id)).state is State.RUNNING
    assert (await engine.get(box.id)).generation == 0
    assert (await kinds(engine, box.id))[-1] == EventKind.ROLL_BACK_FAILED
    assert (await engine.live(box.id)).sandbox.id == box.id
    node.time_failure = None
    await engine.pause(box.id, memory=False)
    node.time_failure = Conflict("what was kept is damaged")
    await refused(engine.roll_back(box.id, MINE, "ready"))
    assert (await engine.get(box.id)).state is State.PAUSED
    assert engine.status(MINE).memory_mib == 0
    node.time_failure = None
    assert (await engine.resume(box.id)).state is State.RUNNING


async def test_it_goes_back_to_its_own_alone(boot: Boot) -> None:
    engine, node, box, snapshot = await prepared(boot)
    other = await engine.create(CreateSandbox(snapshot=snapshot))
    assert box.id in await refused(engine.roll_back(other.id, MINE, snapshot))
    await refused(engine.roll_back(box.id, MINE, "never"), kind=NotFound)
    await engine.kill(box.id)
    await refused(engine.roll_back(box.id, MINE, snapshot), kind=SandboxGone)
    assert ("roll back", box.id) not in node.done
