"""What tenants have used never goes down, whatever ends, and counts from this server's start."""

from __future__ import annotations

from sandlot.core.engine import Engine
from sandlot.core.model import CreateSandbox
from sandlot.node import Usage

from .conftest import Boot


async def used(engine: Engine) -> Usage:
    engine._meter._measured_at = -1e9  # so that it looks again, however soon
    return (await engine.survey()).used["default"]


async def test_what_an_ended_sandbox_used_stays_counted(boot: Boot) -> None:
    engine, node = await boot()
    first, second = [await engine.create(CreateSandbox()) for _ in range(2)]
    node.used = {first.id: Usage(cpu_seconds=2, memory_bytes=10), second.id: Usage(cpu_seconds=3)}
    assert await used(engine) == Usage(cpu_seconds=5, memory_bytes=10)
    node.used[first.id] = Usage(cpu_seconds=4, memory_bytes=10, rx_bytes=7)
    await engine.kill(first.id)
    assert await used(engine) == Usage(cpu_seconds=7, rx_bytes=7)
    node.used[second.id] = Usage(cpu_seconds=3.5)
    assert await used(engine) == Usage(cpu_seconds=7.5, rx_bytes=7)


async def test_what_was_used_before_a_restart_is_not_counted_again(boot: Boot) -> None:
    engine, _ = await boot()
    sandbox = await engine.create(CreateSandbox())
    await engine.stop()
    engine, node = await boot()
    node.used = {sandbox.id: Usage(cpu_seconds=100, memory_bytes=10, rx_bytes=50)}
    assert await used(engine) == Usage(memory_bytes=10)
    node.used = {sandbox.id: Usage(cpu_seconds=101, memory_bytes=20, rx_bytes=51)}
    assert await used(engine) == Usage(cpu_seconds=1, memory_bytes=20, rx_bytes=1)


async def test_ends_are_counted_once_and_by_how(boot: Boot) -> None:
    engine, node = await boot()
    killed, died, there = [await engine.create(CreateSandbox()) for _ in range(3)]
    await engine.kill(killed.id)
    await engine.kill(killed.id)
    node.lose(died.id, "its runtime exited")
    while (await engine.events(died.id))[-1].kind != "died":
        pass
    count = (await engine.survey()).headcount
    assert count.started.read() == {("default", "gvisor"): 3}
    assert count.ended.read() == {("default", "gvisor", "killed"): 1, ("default", "gvisor", "died"): 1}
    assert count.living() == {("default", "gvisor", "running"): 1}
    assert (await engine.get(there.id)).state == "running"
