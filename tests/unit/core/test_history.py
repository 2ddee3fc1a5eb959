"""What a sandbox has used is kept for a while, a sample every few seconds, and no more than that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sandlot.core.engine import Engine
from sandlot.core.history import History
from sandlot.core.model import CreateSandbox
from sandlot.errors import SandboxGone
from sandlot.node import Usage

from .conftest import Boot

BEGAN = 1_800_000_000.0


def filled(history: History, looks: int, *, every_s: float = 5.0) -> History:
    """One that uses half a processor, and a byte more each time."""
    for look in range(1, looks + 1):
        clock = look * every_s
        usage = Usage(cpu_seconds=clock / 2, memory_bytes=look, cache_bytes=2, disk_bytes=3)
        history.add(usage, clock=clock, now=BEGAN + clock)
    return history


def test_processors_are_counted_between_two_samples() -> None:
    first, second = filled(History(began=0.0), 2).between(None, None)
    assert (first.cpus, second.cpus) == (0.5, 0.5)
    assert (second.memory_bytes, second.cache_bytes, second.disk_bytes) == (2, 2, 3)
    assert second.at == datetime.fromtimestamp(BEGAN + 10, UTC)


def test_what_was_used_before_a_restart_counts_for_no_sample() -> None:
    history = History(began=None)
    history.add(Usage(cpu_seconds=1000), clock=5.0, now=BEGAN)
    assert not history
    history.add(Usage(cpu_seconds=1001), clock=10.0, now=BEGAN)
    assert [sample.cpus for sample in history.between(None, None)] == [0.2]


def test_who_looks_often_makes_no_more_samples() -> None:
    assert len(filled(History(began=0.0), 60, every_s=1.0).between(None, None)) == 12


def test_the_oldest_go() -> None:
    samples = filled(History(began=0.0), 10_000).between(None, None)
    assert 720 <= len(samples) <= 1440
    assert samples[-1].memory_bytes == 10_000


def test_a_part_of_it() -> None:
    history = filled(History(began=0.0), 10)
    start = datetime.fromtimestamp(BEGAN + 15, UTC)
    assert [s.memory_bytes for s in history.between(start, start + timedelta(seconds=10))] == [3, 4, 5]
    assert [s.memory_bytes for s in history.between(None, start)] == [1, 2, 3]
    assert history.between(start + timedelta(hours=1), None) == []


async def look(engine: Engine) -> None:
    await engine._meter._look()


async def test_a_new_sandbox_has_a_sample_as_soon_as_somebody_asks(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    node.used = {made.id: Usage(memory_bytes=7)}
    assert [sample.memory_bytes for sample in await engine.history(made.id)] == [7]
    await look(engine)
    assert len(await engine.history(made.id)) == 1
    await engine.kill(made.id)
    with pytest.raises(SandboxGone):
        await engine.history(made.id)
