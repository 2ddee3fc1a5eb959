"""`kill -9` of the server while it saves, copies or brings back a sandbox: it is there, and nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from pathlib import Path

import pytest

from sandlot.node import HostReport, Node, NodeSandbox, NodeSettings, Presence, SandboxSpec, Tier
from tests.integration.node import saver
from tests.integration.node.conftest import run, traces
from tests.integration.node.test_crash import Orders, orders
from tests.integration.node.test_pausing import counted, written

__all__ = ["orders"]

KILLS = 3
MOMENTS = [("suspend", "begins"), ("suspend", "suspended"), ("fork", "begins"), ("snapshot", "begins")]


@pytest.fixture
def tier() -> Tier:
    """Where memory is kept."""
    return Tier.GVISOR


async def kill_after(orders: Orders, what: str, word: str, after_s: float) -> None:
    """Kill a server so long after it has said ``word``."""
    arguments = (sys.executable, "-m", saver.__name__, str(orders), what)
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while (line := await process.stdout.readline()) != f"{word}\n".encode():
                assert line, "the server ended by itself"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(after_s):
                await process.wait()
                raise AssertionError("the server ended by itself")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def found_again(node: Node, spec: SandboxSpec) -> NodeSandbox:
    presence = await node.presence(spec.id)
    assert presence in (Presence.RUNNING, Presence.SUSPENDED)
    if presence is Presence.RUNNING:
        return await node.adopt(spec.id)
    return await node.resume(spec.id, spec)


def remains(settings: NodeSettings) -> list[Path]:
    folder = settings.data_dir / "node"
    packs = (folder / "snapshots").rglob("*")
    return [path for path in [*(folder / "captures").glob("*"), *packs] if not path.is_dir()]


@pytest.mark.parametrize(("what", "word"), MOMENTS)
async def test_the_sandbox_is_there_and_nothing_half_made(
    settings: NodeSettings, report: HostReport, spec: SandboxSpec, orders: Orders, what: str, word: str
) -> None:
    for _ in range(KILLS):
        after_s = random.uniform(0, 0.6)
        await kill_after(orders, what, word, after_s)
        node = Node(settings, report)
        await node.start()
        try:
            sandbox = await found_again(node, spec)
            await counted(sandbox, written(sandbox))
            assert (await run(sandbox.agent, "echo on")).out == "on\n"
            await node.sweep_snapshots(set())
            await node.sweep({spec.id})
            assert await node.presence(spec.id) is Presence.RUNNING
        finally:
            await node.destroy(spec.id)
            await node.sweep(set())
            await node.stop()
        assert traces(settings) == [], f"killed {after_s:.4f} s after it {word}"
        assert remains(settings) == [], f"killed {after_s:.4f} s after it {word}"


async def test_in_the_middle_of_going_back_it_is_one_or_the_other(
    settings: NodeSettings, report: HostReport, spec: SandboxSpec, orders: Orders
) -> None:
    for _ in range(KILLS):
        after_s = random.uniform(0, 1.0)
        await kill_after(orders, "roll_back", "kept", after_s)
        node = Node(settings, report)
        await node.start()
        try:
            sandbox = await found_again(node, spec)
            await counted(sandbox, written(sandbox))
            assert {each.name for each in await node.sweep_snapshots(set())} == {"first"}
            await node.sweep({spec.id})
            disks = {path.stem for path in (settings.data_dir / "node" / "disks").glob("*.img")}
            assert sandbox.parts.disk.name in disks
            assert (await run(sandbox.agent, "echo on")).out == "on\n"
        finally:
            await node.destroy(spec.id)
            await node.sweep(set())
            await node.stop()
        assert traces(settings) == [], f"killed {after_s:.4f} s after it began"
        assert remains(settings) == []
