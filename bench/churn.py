"""Sandboxes made and killed per second, several at once, against the bare runtime running `true` as often.

Ours counts from the first request until nothing of the last sandbox is left on the host: processes, mounts,
network, disk. The bare run has none of these to make. Both take turns, so that they find the machine alike.

The promise is against the bare run without a network. With gVisor one more row runs it as it must be run for
a guest to have one: in a namespace with a cable, both of which stand ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from bench.cold import runtime_of
from bench.harness import Options, Row, finish, floor, options, promise
from bench.stage import TIERS, BareRuntime, run_folders, server
from sandlot import Sandbox
from sandlot.server.local import LocalServer

AT_ONCE = (4, 8)
FLOORS = {"gvisor": 0.8}
"""The container tier promises nothing: what it starts costs less than the disk and the network around it."""
CLEAN_S = 30.0


class Churn:
    """Rounds of ours and of the bare runtime, by turns, at one concurrency."""

    def __init__(self, local: LocalServer, tier: str, bare: BareRuntime, at_once: int) -> None:
        self._tier = tier
        self._bare = bare
        self._at_once = at_once
        self._traces = run_folders(local)
        self.failures: list[str] = []

    def measure(self, rounds: int, runs: int) -> list[Row]:
        """``runs`` of each in every round."""
        ours, bare, networked = 0.0, 0.0, 0.0
        with ExitStack() as stack:
            with_network = self._with_network(stack)
            for _ in range(rounds):
                ours += self._seconds(self._make_and_kill, runs, self._until_clean)
                bare += self._seconds(self._bare.run_true, runs, lambda: None)
                if with_network is not None:
                    networked += self._seconds(with_network, runs, lambda: None)
        name = f"{self._tier}, {self._at_once} at once"
        total = rounds * runs
        share = bare / ours
        rows = [
            Row(f"{name}: created and killed", total / ours, "1/s"),
            Row(f"{name}: bare run true", total / bare, "1/s"),
            promise(f"{name}: failures", len(self.failures), "runs", limit=0),
            (
                floor(f"{name}: share of bare", share, "×", limit=FLOORS[self._tier])
                if self._tier in FLOORS
                else Row(f"{name}: share of bare", share, "×")
            ),
        ]
        if with_network is not None:
            rows.append(Row(f"{name}: bare, with its network", total / networked, "1/s"))
            rows.append(Row(f"{name}: share of bare, with its network", networked / ours, "×"))
        return rows

    def _with_network(self, stack: ExitStack) -> Callable[[], None] | None:
        if self._tier != "gvisor":
            return None
        return stack.enter_context(self._bare.networked(self._at_once))

    def _seconds(self, run: Callable[[], object], runs: int, settle: Callable[[], None]) -> float:
        begun = time.perf_counter()
        with ThreadPoolExecutor(self._at_once) as threads:
            for done in [threads.submit(run) for _ in range(runs)]:
                if (error := done.exception()) is not None:
                    self.failures.append(f"{type(error).__name__}: {error}")
        settle()
        return time.perf_counter() - begun

    def _make_and_kill(self) -> None:
        Sandbox.create(isolation=self._tier).kill()

    def _until_clean(self) -> None:
        """All but the sandbox that carries the bare runtime's root are gone, with their folders."""
        deadline = time.monotonic() + CLEAN_S
        while len(list(self._traces.iterdir())) > 1:
            if time.monotonic() > deadline:
                raise RuntimeError(f"sandboxes are not cleaned up: {list(self._traces.iterdir())}")
            time.sleep(0.005)


def main(given: Options) -> None:
    rows: list[Row] = []
    failures: list[str] = []
    rounds, runs = (1, 16) if given.quick else (5, 40)
    with server() as local:
        for tier in TIERS:
            with Sandbox.create(isolation=tier, timeout=None) as carrier:
                bare = BareRuntime(local, carrier, runtime_of(tier))
                for at_once in AT_ONCE:
                    churn = Churn(local, tier, bare, at_once)
                    rows += churn.measure(rounds, runs)
                    failures += churn.failures
    for failure in failures:
        print(failure)
    finish("churn", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
