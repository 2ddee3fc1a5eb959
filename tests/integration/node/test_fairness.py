"""The weights of sandboxes that compute without end, beside one that does not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from sandlot.node import NodeSandbox
from sandlot.node.agent import SpawnSpec
from tests.integration.node.conftest import Create, run

DEADLINE_S = 60.0


def yields(sandbox: NodeSandbox) -> bool:
    return (sandbox.parts.cgroup.folder("cpu") / "cpu.idle").read_text().strip() == "1"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.05)


async def test_who_computes_without_end_yields_while_it_does(create: Create) -> None:
    busy, quiet = await create(cpus=float(os.cpu_count() or 1)), await create()
    spin = SpawnSpec(args=["/bin/sh", "-c", "while :; do :; done"])
    spinning = [await busy.agent.spawn(spin) for _ in range(os.cpu_count() or 1)]
    await until(lambda: yields(busy))
    assert (await run(quiet.agent, "echo here")).out == "here\n"
    assert not yields(quiet)
    for process in spinning:
        await busy.agent.signal(process.id, signal.SIGKILL)
    await until(lambda: not yields(busy))
