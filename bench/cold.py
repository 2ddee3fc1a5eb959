"""Create a sandbox and run `true` in it, cold, against the bare runtime running `true` in the same bundle.

Nothing hot stands ready: each sandbox boots its own kernel. Network and disk slots come from their pools.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.harness import Options, Row, Samples, finish, options, ratio
from bench.stage import TIERS, BareRuntime, server
from sandlot import Sandbox
from sandlot.sdk import Server

LIMITS = {"gvisor": 1.5, "container": 2.0}
SETTLE_S = 0.25
"""Between two runs, so that one does not pay for the cleaning up after another."""


def measure(tier: str, bare: BareRuntime, runs: int) -> list[Row]:
    ours, alone = Samples(f"{tier}: create + true"), Samples(f"{tier}: bare run true")
    for _ in range(runs):
        ours.time(lambda: create_and_run(tier), after=Sandbox.kill)
        time.sleep(SETTLE_S)
        alone.time(bare.run_true)
        time.sleep(SETTLE_S)
    return [*ours.rows(), *alone.rows(), ratio(f"{tier}: ratio at p50", ours, alone, limit=LIMITS[tier])]


def create_and_run(tier: str) -> Sandbox:
    sandbox = Sandbox.create(isolation=tier)
    sandbox.commands.run(["/bin/true"], check=True)
    return sandbox


def main(given: Options) -> None:
    rows: list[Row] = []
    with server() as local:
        for tier in TIERS:
            with Sandbox.create(isolation=tier) as carrier:
                bare = BareRuntime(local, carrier, runtime_of(tier))
                bare.run_true()
                create_and_run(tier).kill()
                rows += measure(tier, bare, 12 if given.quick else 100)
    finish("cold", rows, as_json=given.json)


def runtime_of(tier: str) -> Path:
    """The runtime that the server uses for ``tier``."""
    [status] = [status for status in Server().host()["tiers"] if status["tier"] == tier]
    return Path(status["runtime"])


if __name__ == "__main__":
    main(options(__doc__))
