"""Limits as a user notices them: what was asked for is there, and what goes past it ends inside."""

from __future__ import annotations

import asyncio

from sandlot.errors import LimitExceeded
from sandlot.node import NodeSandbox
from tests.integration.node.conftest import MIB, Create, Ran, run

HOG = "kept = []\nwhile True: kept.append(bytearray(8 << 20))"
TOUCH = "data = bytearray({mib} << 20)\nprint(len(data) >> 20)"


async def test_the_memory_asked_for_can_be_used(sandbox: NodeSandbox) -> None:
    ran = await run(sandbox.agent, "python3", "-c", TOUCH.format(mib=225))
    assert ran.out == "225\n"


async def test_out_of_memory_ends_the_process_that_took_it_and_nothing_else(sandbox: NodeSandbox) -> None:
    bystander = asyncio.create_task(run(sandbox.agent, "sleep 5; echo untouched"))
    hog = await run(sandbox.agent, "python3", "-c", HOG)
    assert hog.exit.code == 137
    assert (await bystander).out == "untouched\n"
    assert (await run(sandbox.agent, "echo alive")).out == "alive\n"


async def test_many_small_processes_together_do_not_take_the_sandbox_with_them(sandbox: NodeSandbox) -> None:
    child = "import time; data = bytearray(20 << 20); time.sleep(5)"
    await run(sandbox.agent, f"for i in $(seq 20); do python3 -c '{child}' & done; wait")
    assert (await run(sandbox.agent, "echo alive")).out == "alive\n"


async def test_files_in_memory_are_bounded(sandbox: NodeSandbox) -> None:
    ran = await run(sandbox.agent, "dd if=/dev/zero of=/dev/shm/fill bs=1M count=2000")
    assert ran.exit.code == 1
    assert "No space left on device" in ran.err
    assert (await run(sandbox.agent, "rm /dev/shm/fill; echo alive")).out == "alive\n"


async def test_the_cache_of_files_counts_for_nothing(sandbox: NodeSandbox) -> None:
    line = "dd if=/dev/zero of=/root/big bs=1M count=400 && cat /root/big > /dev/null && echo whole"
    assert (await run(sandbox.agent, line)).out == "whole\n"


async def test_a_full_disk_is_an_error_inside_and_can_be_emptied(sandbox: NodeSandbox) -> None:
    free = int((await run(sandbox.agent, "df --output=avail -B1 / | tail -1")).out)
    assert free >= 511 * MIB
    full = await run(sandbox.agent, "dd if=/dev/zero of=/tmp/fill bs=1M count=2000")
    assert "No space left on device" in full.err
    used = await sandbox.stats()
    assert used.disk_used_bytes > 500 * MIB
    assert (
        await run(sandbox.agent, "rm /tmp/fill && echo room > /root/again && cat /root/again")
    ).out == "room\n"


async def test_small_files_do_not_run_out_before_the_space_does(sandbox: NodeSandbox) -> None:
    inodes = int((await run(sandbox.agent, "df --output=iavail / | tail -1")).out)
    assert inodes >= 512 * MIB // 16384


async def test_processes_past_the_limit_are_refused_and_the_sandbox_answers(create: Create) -> None:
    sandbox = await create(pids=32)
    full = await run(sandbox.agent, "for i in $(seq 200); do sleep 2 & done; wait")
    assert "Cannot fork" in full.err or "Resource temporarily unavailable" in full.err
    await sandbox.agent.ping()
    assert (await _once_there_is_room(sandbox)).out == "alive\n"


async def test_a_fork_bomb_stays_within_the_limit_and_ends_nothing_else(create: Create) -> None:
    sandbox = await create(pids=48)
    await run(sandbox.agent, "bash", "-c", ":(){ :|:& };:", user="1000:1000")
    for _ in range(20):
        assert (await sandbox.stats()).processes <= 48
        assert sandbox.parts.cgroup.tasks() <= sandbox.parts.limits.tasks_high
    await sandbox.agent.ping(timeout=10)


async def test_processor_time_is_bounded(create: Create) -> None:
    sandbox = await create(cpus=0.5)
    loop = asyncio.get_running_loop()
    before, began = (await sandbox.stats()).cpu_seconds, loop.time()
    await run(
        sandbox.agent, "timeout 3 sh -c 'while :; do :; done' & timeout 3 sh -c 'while :; do :; done'; wait"
    )
    used, took = (await sandbox.stats()).cpu_seconds - before, loop.time() - began
    assert used <= 0.5 * took + 0.3


async def test_what_it_uses_is_told(sandbox: NodeSandbox) -> None:
    await run(sandbox.agent, "dd if=/dev/zero of=/root/file bs=1M count=30")
    stats = await sandbox.stats()
    assert stats.memory_limit_bytes == 256 * MIB
    assert 0 < stats.memory_bytes < 256 * MIB
    assert stats.disk_limit_bytes == 512 * MIB
    assert 30 * MIB <= stats.disk_used_bytes < 60 * MIB
    assert stats.cpu_seconds > 0


async def _once_there_is_room(sandbox: NodeSandbox) -> Ran:
    async with asyncio.timeout(30):
        while True:
            try:
                return await run(sandbox.agent, "echo alive")
            except LimitExceeded:
                await asyncio.sleep(0.1)
