"""Hundreds of sandboxes that do small work for minutes: failures, the server's growth, a command's latency.

Four of five sandboxes are gvisor's, one is a container. Creates, commands, files and kills are mixed, and
each answer is checked (`bench.workload`). Refusals that docs/api.md foresees are counted apart.

- Growth: the median resident size in the last third of the steady time over that in the second third.
- "100 at once": 100 clients, each with a sandbox of its own and a pace of its own, that together offer
  ``SHARE`` of what the same sandboxes get through with no pauses at all; "1" is one client that goes from one
  of these sandboxes to the next. A command costs the machine processor time, so 100 that come at the same
  instant must wait for each other whoever serves them: that is the "burst", printed beside, with no promise.

Draws out/bench/load.png.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

from bench.chart import draw
from bench.harness import Row, Samples, finish, parser, promise
from bench.stage import server
from bench.workload import MEMORY_MIB, Outcome, Plan, Sight, Workload
from sandlot import AsyncSandbox

PICTURE = Path("out/bench/load.png")
GROWTH_MIB = 8.0
CROWD = 100
TIMES_AT_ONE = 5.0
SHARE = 0.3
OPERATIONS_EACH = 40
OPERATIONS_EACH_QUICK = 8
QUICK_MINUTES = 0.15
CREATES_AT_ONCE = 8
SHOWN_FAILURES = 20


class Crowd:
    """Gvisor sandboxes, and how long `true` takes in them when asked in several ways."""

    def __init__(self, sandboxes: list[AsyncSandbox]) -> None:
        self._sandboxes = sandboxes
        self._random = random.Random(2)

    async def alone(self, calls: int) -> Samples:
        """One client, from one sandbox to the next."""
        samples = Samples("exec at 1")
        for number in range(calls):
            await _timed(self._sandboxes[number % len(self._sandboxes)], samples)
        return samples

    async def burst(self, calls_each: int) -> tuple[Samples, float]:
        """All at the same instant, again and again without a pause; with how many a second that makes."""
        samples = Samples(f"exec burst of {len(self._sandboxes)}")

        async def client(sandbox: AsyncSandbox) -> None:
            for _ in range(calls_each):
                await _timed(sandbox, samples)

        begun = time.perf_counter()
        await asyncio.gather(*map(client, self._sandboxes))
        return samples, len(self._sandboxes) * calls_each / (time.perf_counter() - begun)

    async def at_once(self, per_second: float, seconds: float) -> Samples:
        """All connected, each at a pace of its own; ``per_second`` is what they offer together."""
        samples = Samples(f"exec at {len(self._sandboxes)} at once")
        ends = time.monotonic() + seconds

        async def client(sandbox: AsyncSandbox) -> None:
            while True:
                await asyncio.sleep(self._random.expovariate(per_second / len(self._sandboxes)))
                if time.monotonic() > ends:
                    return
                await _timed(sandbox, samples)

        await asyncio.gather(*map(client, self._sandboxes))
        return samples


async def _timed(sandbox: AsyncSandbox, samples: Samples) -> None:
    begun = time.perf_counter()
    try:
        await sandbox.commands.run(["/bin/true"], check=True)
    except Exception as error:
        samples.failures += 1
        print(f"{samples.name}: {type(error).__name__}: {error}", file=sys.stderr)
    else:
        samples.ms.append((time.perf_counter() - begun) * 1000)


async def latency(crowd: int, calls: int, seconds: float) -> list[Row]:
    slots = asyncio.Semaphore(CREATES_AT_ONCE)

    async def make() -> AsyncSandbox:
        async with slots:
            return await AsyncSandbox.create(memory_mib=MEMORY_MIB, timeout=None)

    sandboxes = await asyncio.gather(*(make() for _ in range(crowd)))
    try:
        asked = Crowd(list(sandboxes))
        await asked.alone(crowd)  # each once: the first command of a sandbox is slower
        burst, per_second = await asked.burst(max(2, calls // crowd))
        alone = await asked.alone(calls)
        at_once = await asked.at_once(SHARE * per_second, seconds)
    finally:
        await asyncio.gather(*(sandbox.kill() for sandbox in sandboxes))
    return [
        *alone.rows(),
        *at_once.rows(),
        Row(f"{at_once.name}: offered", SHARE * per_second, "1/s"),
        promise(
            f"{at_once.name}: p99 over that at 1",
            at_once.percentile(99) / alone.percentile(99),
            "×",
            limit=TIMES_AT_ONE,
        ),
        *burst.rows(),
        Row(f"{burst.name}: got through", per_second, "1/s"),
        Row(f"{burst.name}: p99 over that at 1", burst.percentile(99) / alone.percentile(99), "×"),
    ]


def of_workload(outcome: Outcome, plan: Plan) -> list[Row]:
    counts = Counter(done.operation for done in outcome.done)
    steady = [sight for sight in outcome.sights if outcome.steady_at <= sight.at <= outcome.over_at]
    rows = [
        Row("sandboxes live, least in the steady time", min(sight.live for sight in steady), "sandboxes"),
        Row("steady time", plan.seconds / 60, "min"),
        *(Row(f"{operation}: went well", count, "times") for operation, count in sorted(counts.items())),
        *(Row(f"refused, {what}", count, "times") for what, count in sorted(outcome.refusals.items())),
        promise("failures", len(outcome.failures), "times", limit=0),
    ]
    for operation in ("create", "exec", "kill"):
        samples = Samples(operation, outcome.took_ms(operation))
        if not samples.ms:
            continue
        rows += [Row(f"{operation} p{share}", samples.percentile(share), "ms") for share in (50, 95, 99)]
    last = steady[-1]
    return [
        *rows,
        Row("server: resident", last.rss_mib, "MiB"),
        Row("server: proportional set size", last.pss_mib, "MiB"),
        Row("server: descriptors", last.descriptors, ""),
        Row("server: threads", last.threads, ""),
        promise("server: growth after warm-up", growth_mib(steady), "MiB", limit=GROWTH_MIB),
    ]


def growth_mib(steady: list[Sight]) -> float:
    """From the second third to the last: the first is the warm-up."""
    third = len(steady) // 3
    before, after = steady[third : 2 * third], steady[2 * third :]
    return statistics.median(s.rss_mib for s in after) - statistics.median(s.rss_mib for s in before)


def tell_failures(outcome: Outcome) -> None:
    kinds = Counter((each.operation, each.code, each.message) for each in outcome.failures)
    for (operation, code, message), count in kinds.most_common(SHOWN_FAILURES):
        print(f"{count} × {operation}: {code}: {message}", file=sys.stderr)


def main(given: argparse.Namespace) -> None:
    sandboxes = given.sandboxes or (12 if given.quick else 300)
    minutes = given.minutes or (QUICK_MINUTES if given.quick else 15.0)
    each = OPERATIONS_EACH_QUICK if given.quick else OPERATIONS_EACH
    plan = Plan(sandboxes, minutes * 60, given.rate, each)
    crowd, calls, seconds = (min(CROWD, sandboxes), 40, 3.0) if given.quick else (CROWD, 1000, 60.0)
    with server() as local:
        rows = asyncio.run(latency(crowd, calls, seconds))
        outcome = asyncio.run(Workload(plan, local.process.pid).run())
    tell_failures(outcome)
    draw(outcome, PICTURE)
    finish("load", [*rows, *of_workload(outcome, plan)], as_json=given.json)


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--sandboxes", type=int, help="live at a time; 300, or 12 with --quick")
    made.add_argument("--minutes", type=float, help="after all have been made; 15, or 0.15 with --quick")
    made.add_argument("--rate", type=float, default=15.0, help="operations a second, of all together")
    return made.parse_args()


if __name__ == "__main__":
    main(arguments())
