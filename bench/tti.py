"""Time to interactive by ComputeSDK's method: wall time from `create` to the end of the first command.

Three ways of coming: one after the other, one every 200 ms, and all at once. Of each the top and bottom 5 %
are trimmed. The score is theirs: of median (60 %), p95 (25 %) and p99 (15 %), each 100 at no time and 0 at
10 s, times the share that succeeded. The command is `bash --version`: an interpreter that tells its version,
as their `node -v` does.

Ours are taken from a hot pool that covers them, by the native client and by E2B's own, unmodified; then once
more all at once with a pool of 8, beside bare `runsc run` of `true` at the same concurrency. Peers are in the
table where they run here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import e2b

from bench.cold import runtime_of
from bench.harness import Options, Row, Samples, finish, floor, options, promise
from bench.stage import BareRuntime, server
from sandlot import Sandbox, Server
from sandlot.server.local import LocalServer

PROGRAM: Final = ("/bin/bash", "--version")
TEMPLATE: Final = "base"
EVERY_S: Final = 0.2
WORST_MS: Final = 10_000
TRIMMED: Final = 0.05
POOL_OF_8: Final = 8
FILL_S: Final = 300.0
DOCKER_IMAGE: Final = "debian:stable-slim"


class Made(Protocol):
    """What a creation gives."""

    def kill(self) -> object: ...


Make = Callable[[], Made]
Limits = Mapping[int, float]


@dataclass(slots=True)
class Arrivals:
    """All of one way of coming. ``whole_s`` is from the first request to the last answer."""

    samples: Samples
    whole_s: float = 0.0
    made: list[Made] = field(default_factory=list)

    def one(self, make: Make) -> None:
        self.samples.time(make, self.made.append)

    def end_all(self) -> None:
        with ThreadPoolExecutor(4) as threads:
            for ended in [threads.submit(made.kill) for made in self.made]:
                ended.result()
        self.made.clear()


def one_by_one(name: str, make: Make, runs: int) -> Arrivals:
    arrivals = Arrivals(Samples(name))
    for _ in range(runs):
        arrivals.one(make)
        arrivals.end_all()
    return arrivals


def staggered(name: str, make: Make, runs: int) -> Arrivals:
    return _threaded(Arrivals(Samples(name)), make, runs, EVERY_S)


def at_once(name: str, make: Make, runs: int) -> Arrivals:
    return _threaded(Arrivals(Samples(name)), make, runs, 0.0)


def _threaded(arrivals: Arrivals, make: Make, runs: int, pause_s: float) -> Arrivals:
    began = time.perf_counter()
    with ThreadPoolExecutor(runs) as threads:
        for number in range(runs):
            time.sleep(max(0.0, began + number * pause_s - time.perf_counter()))
            threads.submit(arrivals.one, make)
    arrivals.whole_s = time.perf_counter() - began
    return arrivals


def by_ours() -> Made:
    sandbox = Sandbox.create(TEMPLATE)
    sandbox.commands.run(list(PROGRAM), check=True)
    return sandbox


def by_e2b() -> Made:
    sandbox = e2b.Sandbox.create(TEMPLATE)
    sandbox.commands.run(" ".join(PROGRAM))
    return sandbox


WAYS_IN: Final[tuple[tuple[str, Make, tuple[Limits, Limits]], ...]] = (
    ("native", by_ours, ({50: 15.0, 99: 60.0}, {50: 350.0, 99: 1000.0})),
    ("E2B's client", by_e2b, ({50: 40.0}, {})),
)
"""Who comes, how, and what is promised by percentile: one after the other, and all at once."""


def rows_of(arrivals: Arrivals, *, limits: Limits | None = None) -> list[Row]:
    """Percentiles of what is left after trimming, promised where there is a limit, and the score."""
    samples, trimmed = arrivals.samples, Samples(arrivals.samples.name)
    cut = int(len(samples.ms) * TRIMMED)
    trimmed.ms = sorted(samples.ms)[cut : len(samples.ms) - cut]
    if not trimmed.ms:
        return [promise(f"{samples.name}: failures", samples.failures, "runs", limit=0)]
    limits = limits or {}
    rows = [
        Row(f"{samples.name}: p{share}", value, "ms", limits.get(share), value <= limits.get(share, value))
        for share in (50, 95, 99)
        for value in [trimmed.percentile(share)]
    ]
    succeeded = len(samples.ms) / (len(samples.ms) + samples.failures)
    return [
        *rows,
        Row(f"{samples.name}: score", score(trimmed, succeeded), "of 100"),
        promise(f"{samples.name}: failures", samples.failures, "runs", limit=0),
    ]


def score(trimmed: Samples, succeeded: float) -> float:
    parts = ((50, 0.6), (95, 0.25), (99, 0.15))
    found = (weight * 100 * max(0.0, 1 - trimmed.percentile(share) / WORST_MS) for share, weight in parts)
    return sum(found) * succeeded


@contextmanager
def pool_of(size: int) -> Iterator[LocalServer]:
    """A server with so many hot sandboxes, however many creations come at once."""
    with server(SANDLOT_POOLS=f"{TEMPLATE}={size}:{size}") as local:
        fill(size)
        yield local


def fill(size: int) -> None:
    """Wait until the pool is full and all of it is frozen."""
    deadline = time.monotonic() + FILL_S
    while not [pool for pool in Server().pools() if pool["template"] == TEMPLATE and pool["hot"] >= size]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the pool is not full: {Server().pools()}")
        time.sleep(0.1)
    time.sleep(1.5)  # the last one is frozen after a second


def covered(runs: int) -> list[Row]:
    """With a pool that covers what comes."""
    rows: list[Row] = []
    with pool_of(runs) as local:
        lead_e2b_to(local)
        for who, make, limits in WAYS_IN:
            make().kill()
            for way, come, promised in (
                ("sequential", one_by_one, limits[0]),
                ("staggered", staggered, {}),
                ("burst", at_once, limits[1]),
            ):
                fill(runs)
                arrivals = come(f"{who}, hot, {way} {runs}", make, runs)
                arrivals.end_all()
                rows += rows_of(arrivals, limits=promised)
    return rows


def lead_e2b_to(local: LocalServer) -> None:
    key = "e2b_" + local.key.removeprefix("sl_")
    os.environ |= {"E2B_API_URL": local.url, "E2B_SANDBOX_URL": local.url, "E2B_API_KEY": key}


def uncovered(runs: int) -> list[Row]:
    """With a pool that is too small for what comes, beside the bare runtime."""
    with pool_of(POOL_OF_8) as local, Sandbox.create(TEMPLATE, timeout=None) as carrier:
        bare = BareRuntime(local, carrier, runtime_of("gvisor"))
        bare.run_true()
        fill(POOL_OF_8)
        ours = at_once(f"native, pool of {POOL_OF_8}, burst {runs}", by_ours, runs)
        ours.end_all()
        alone = at_once(f"bare runsc run, burst {runs}", lambda: _ran(bare.run_true), runs)
    share = alone.whole_s / ours.whole_s
    return [
        *rows_of(ours),
        *rows_of(alone),
        Row(f"{ours.samples.name}: throughput", runs / ours.whole_s, "1/s"),
        Row(f"{alone.samples.name}: throughput", runs / alone.whole_s, "1/s"),
        floor(f"{ours.samples.name}: share of bare", share, "×", limit=0.8),
    ]


class _Nothing:
    """Of what ended by itself nothing is left to end."""

    def kill(self) -> None: ...


def _ran(run: Callable[[], object]) -> Made:
    run()
    return _Nothing()


def peers(runs: int) -> list[Row]:
    """`docker run` with either runtime, where there is a Docker that has the image."""
    rows: list[Row] = []
    for runtime in ("runc", "runsc"):
        command = ["docker", "run", "--rm", "--runtime", runtime, DOCKER_IMAGE, *PROGRAM]
        if not _works(command):
            print(f"docker run --runtime={runtime}: not on this machine, left out", file=sys.stderr)
            continue
        for way, come in (("sequential", one_by_one), ("staggered", staggered), ("burst", at_once)):
            name = f"docker run --runtime={runtime}, {way} {runs}"
            rows += rows_of(come(name, lambda: _ran(lambda: _docker(command)), runs))  # noqa: B023
    return rows


def _works(command: list[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    with suppress(subprocess.SubprocessError):
        _docker(command)
        return True
    return False


def _docker(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def main(given: Options) -> None:
    runs = 10 if given.quick else 100
    finish("tti", [*covered(runs), *uncovered(runs), *peers(runs)], as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
