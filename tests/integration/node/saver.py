"""A server that puts one sandbox on disk, takes it back and copies it, until somebody kills it.

Tells on its standard output when each begins.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from sandlot.node import Node, NodeSandbox, SandboxSpec
from tests.integration.node.test_pausing import counting

Work = Callable[[Node, NodeSandbox, SandboxSpec, int], Awaitable[object]]


async def suspend(node: Node, sandbox: NodeSandbox, spec: SandboxSpec, number: int) -> None:
    await node.suspend(sandbox.id, memory=True)
    print("suspended", flush=True)
    await node.resume(sandbox.id, spec)


async def fork(node: Node, sandbox: NodeSandbox, spec: SandboxSpec, number: int) -> None:
    children = [replace(spec, id=f"sbchild{number}x{n}") for n in range(2)]
    await node.fork(sandbox.id, children)
    for child in children:
        await node.destroy(child.id)


async def snapshot(node: Node, sandbox: NodeSandbox, spec: SandboxSpec, number: int) -> None:
    await node.snapshot(sandbox.id, f"snap{number}", memory=True)


async def roll_back(node: Node, sandbox: NodeSandbox, spec: SandboxSpec, number: int) -> None:
    if number == 0:
        await node.snapshot(sandbox.id, "first", memory=True)
        print("kept", flush=True)
    await node.roll_back(sandbox.id, spec, "first")


WORK: dict[str, Work] = {work.__name__: work for work in (suspend, fork, snapshot, roll_back)}


async def main(orders: Path, what: str) -> None:
    settings, report, spec = pickle.loads(orders.read_bytes())
    node = Node(settings, report)
    await node.start()
    sandbox = await node.create(spec)
    await counting(sandbox)
    for number in count():
        print("begins", flush=True)
        await WORK[what](node, sandbox, spec, number)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
