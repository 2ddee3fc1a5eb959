"""When a guest is made to give way, on a group of plain files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandlot.node.cgroups import Cgroup, CgroupLayout, MemoryUse
from sandlot.node.guards import end_all_at, end_process_at


class FakeGroup(Cgroup):
    """Holds what it is told to hold; gone when told nothing more."""

    def __init__(self, folder: Path, held: list[int], tasks: list[int]) -> None:
        super().__init__(CgroupLayout(unified=folder, v1={}), "sandlot-abcd", "sb1")
        own = folder / "sandlot-abcd" / "sb1"
        own.mkdir(parents=True)
        (own / "memory.events").write_text("oom_kill 0\n")
        self._held, self._tasks = held, tasks

    def usage_bytes(self) -> int:
        if not self._held:
            raise FileNotFoundError
        return self._held[0]

    def memory(self) -> MemoryUse:
        if not self._held:
            raise FileNotFoundError
        return MemoryUse(self._held.pop(0), 0)

    def tasks(self) -> int:
        if not self._tasks:
            raise FileNotFoundError
        return self._tasks.pop(0)


async def awake() -> None:
    """It always is."""


@pytest.mark.parametrize(
    ("held", "ended"),
    [([800, 900, 950], []), ([800, 980, 800], [980]), ([1000, 1000, 750], [1000, 1000])],
)
async def test_a_process_ends_when_the_limit_is_reached(
    tmp_path: Path, held: list[int], ended: list[int]
) -> None:
    found: list[int] = []

    async def end(use: MemoryUse) -> None:
        found.append(use.held_bytes)

    await asyncio.wait_for(end_process_at(FakeGroup(tmp_path, held, []), 1000, end, awake), 10)
    assert found == ended


async def test_cache_alone_ends_nothing(tmp_path: Path) -> None:
    class Cached(FakeGroup):
        def usage_bytes(self) -> int:
            return super().usage_bytes() + 10_000

        def memory(self) -> MemoryUse:
            return MemoryUse(super().memory().held_bytes, 10_000)

    async def end(use: MemoryUse) -> None:
        raise AssertionError("cache is the kernel's to take back")

    await asyncio.wait_for(end_process_at(Cached(tmp_path, [10, 10], []), 1000, end, awake), 10)


async def test_what_stands_still_is_not_looked_at(tmp_path: Path) -> None:
    looked = FakeGroup(tmp_path, [], [500])
    waking = asyncio.Event()

    async def end() -> None:
        raise AssertionError("nothing is there to be ended")

    async def asleep() -> None:
        await waking.wait()

    watching = asyncio.create_task(end_all_at(looked, 100, end, asleep))
    await asyncio.sleep(0)
    assert not watching.done()
    looked._tasks.clear()
    waking.set()
    await asyncio.wait_for(watching, 10)


async def test_a_fork_bomb_is_ended_as_often_as_it_comes_back(tmp_path: Path) -> None:
    ended = []

    async def end() -> None:
        ended.append(1)

    await asyncio.wait_for(end_all_at(FakeGroup(tmp_path, [], [50, 120, 30, 100]), 100, end, awake), 10)
    assert len(ended) == 2
