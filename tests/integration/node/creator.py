"""A server that makes sandboxes, as many as are asked for or without end, and stays until somebody kills it.

Tells each id on its standard output.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

from sandlot.node import Node


async def main(orders: Path, most: int | None) -> None:
    settings, report, spec = pickle.loads(orders.read_bytes())
    node = Node(settings, report)
    await node.start()
    print("started", flush=True)
    for number in count() if most is None else range(most):
        sandbox = await node.create(replace(spec, id=f"sbcrash{number}"))
        print(sandbox.id, flush=True)
        if number % 2:
            await node.destroy(f"sbcrash{number - 1}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
