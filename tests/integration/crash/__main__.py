"""`python -m tests.integration.crash --kills 5000 --seed 7`: as many kills as you like. Needs root."""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from tests.conftest import TEMPLATES_DIR

from .chaos import Chaos
from .host import Host
from .servers import Server


async def rage(folder: Path, *, kills: int, seed: int, verbose: bool = False) -> dict[str, int]:
    """What was killed how often. Raises AssertionError with the seed, the last steps and the server's log."""
    server = Server(folder, TEMPLATES_DIR)
    host = Host(server.instance, server.data_dir, idle_networks=2, idle_disks=2)
    began, steps = time.monotonic(), []

    def say(line: str) -> None:
        steps.append(f"{time.monotonic() - began:8.3f} {line}")
        if verbose:
            print(steps[-1], flush=True)

    chaos = Chaos(server, host, seed, say)
    await server.open()
    try:
        await chaos.run(kills)
    except BaseException as error:
        evidence = await chaos.evidence()
        told = [f"seed {seed}; the last steps:", *steps[-60:], *evidence, "the server's log:", server.said()]
        error.add_note("\n".join(told))
        await server.kill()
        await chaos.clean()
        raise
    finally:
        await server.close()
    return dict(chaos.kills)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.integration.crash")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sandlot-crash-", ignore_cleanup_errors=True) as folder:
        began = time.monotonic()
        kills = asyncio.run(rage(Path(folder), kills=options.kills, seed=seed, verbose=options.verbose))
    for what, times in sorted(kills.items(), key=lambda pair: -pair[1]):
        print(f"{times:6} {what}")
    print(f"{sum(kills.values()):6} kills in {time.monotonic() - began:.0f} s, and all was well")


if __name__ == "__main__":
    main()
