"""`kill -9` of the server at any moment: what ran is found again, what was half made is removed."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandlot.errors import NotFound
from sandlot.node import HostReport, Node, NodeSandbox, NodeSettings, SandboxSpec
from sandlot.node.cgroups import CgroupLayout
from sandlot.node.processes import wait_ended
from tests.integration.node import creator
from tests.integration.node.conftest import run, traces

Orders = Path


@pytest.fixture
def orders(settings: NodeSettings, report: HostReport, spec: SandboxSpec, tmp_path: Path) -> Orders:
    path = tmp_path / "orders"
    path.write_bytes(pickle.dumps((settings, report, spec)))
    return path


async def crash_when(orders: Orders, ready: Callable[[], Awaitable[None]]) -> None:
    """Kill a server that has made sandboxes as soon as ``ready`` says so."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", creator.__name__, str(orders), "1"), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await ready()
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def _crash(orders: Orders, after_s: float, at_least: int = 0) -> set[str]:
    """Kill a server that long after its ``at_least``-th sandbox; the ids it had told of."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", creator.__name__, str(orders)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told: set[str] = set()
    try:
        while len(told) < at_least + 1:
            line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
            assert line, "the creator ended by itself"
            if line == "started" or line.startswith("sb"):
                told.add(line)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(after_s):
                while line := (await process.stdout.readline()).decode().strip():
                    told.add(line)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    return told - {"started"}


async def test_a_server_killed_at_any_moment_leaves_nothing_that_a_sweep_does_not_find(
    settings: NodeSettings, report: HostReport, orders: Orders
) -> None:
    for _ in range(8):
        after_s = random.uniform(0, 0.4)
        await _crash(orders, after_s)
        node = Node(settings, report)
        await node.start()
        await node.sweep(set())
        await node.stop()
        assert traces(settings) == [], f"killed {after_s:.4f} s after its start"


async def test_sandboxes_outlive_the_server_and_are_adopted(
    settings: NodeSettings, report: HostReport, orders: Orders
) -> None:
    told = await _crash(orders, 0.05, at_least=1)
    node = Node(settings, report)
    await node.start()
    try:
        alive = set()
        for id in sorted(told):
            with contextlib.suppress(NotFound):
                adopted = await node.adopt(id)
                assert (await run(adopted.agent, "cat /etc/hostname")).out == "box\n"
                alive.add(id)
        assert alive
        for leftover in await node.sweep(alive):
            assert leftover.name not in alive
        for id in alive:
            assert (await node.adopt(id)).id == id
    finally:
        await node.sweep(set())
        for id in told:
            await node.destroy(id)
        await node.stop()
    assert traces(settings) == []


async def test_a_record_that_cannot_be_read_is_only_a_leftover(
    settings: NodeSettings, report: HostReport, orders: Orders
) -> None:
    told = await _crash(orders, 0, at_least=1)
    for record in (settings.data_dir / "node" / "sandboxes").glob("*/record.json"):
        record.write_bytes(b"{half a rec")
    node = Node(settings, report)
    await node.start()
    for id in told:
        with pytest.raises(NotFound):
            await node.adopt(id)
    await node.sweep(set())
    await node.stop()
    assert traces(settings) == []


async def test_what_somebody_took_out_of_its_group_ends_too(node: Node, sandbox: NodeSandbox) -> None:
    main = sandbox.parts.main
    for root in CgroupLayout.detect().roots():
        (root / "cgroup.procs").write_text(str(main.pid))
    await node.destroy(sandbox.id)
    await asyncio.wait_for(wait_ended(main), 10)
