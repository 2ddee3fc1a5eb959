"""Who goes first where processors are short: whoever wants little, before whoever takes all it can get.

The kernel shares processors evenly, and that is not enough: each of the dozens of turns that one short
command takes inside gVisor waits behind everybody who computes without end. So while the machine is busy,
a sandbox that computes without end *yields*: the kernel lets anybody else interrupt it at once (`cpu.idle`,
Linux 5.15; where that is missing it gets the least weight there is). Those that yield share evenly what the
others leave. Where nobody else wants the processors, to yield costs nothing.

A sandbox yields once it uses half a processor over about a second. With many at once nobody gets that much,
so while those that do not yield take most of what there is, the ones above their average do. It stops when it
has wanted little for a second, or has nothing to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

TICK_S = 0.25
LATELY_S = 1.0
MUCH = 0.5
"""Processors used lately at which a sandbox yields, whatever the others do."""
LITTLE = 0.05
"""Below that it never does, and rests."""
_MOST = 0.7
_SPARE = 0.1
_RESTED_TICKS = 4
_UPTIME = Path("/proc/uptime")


class Group(Protocol):
    """A control group. All raise OSError when it is gone."""

    def cpu_seconds(self) -> float: ...
    def wants_to_run(self) -> bool: ...
    def yield_processors(self, on: bool) -> None: ...


@dataclass(slots=True)
class _Watched:
    """``now`` and ``lately`` are processors: those used in the last tick, and over about ``LATELY_S``."""

    group: Group
    seconds: float
    now: float = 0.0
    lately: float = 0.0
    yields: bool = False
    rested: int = 0

    def measure(self, tick_s: float) -> None:
        seconds = self.group.cpu_seconds()
        self.now, self.seconds = (seconds - self.seconds) / tick_s, seconds
        self.lately += (self.now - self.lately) * min(1.0, tick_s / LATELY_S)
        # Who is given little may want much: what yields can be held up for seconds.
        rests = self.yields and self.now < LITTLE and not self.group.wants_to_run()
        self.rested = self.rested + 1 if rests else 0

    def turn(self, yields: bool) -> None:
        self.group.yield_processors(yields)
        self.yields, self.rested = yields, 0


class Fairness:
    """While the machine has processors to spare, only those that yield are looked at."""

    def __init__(self, running: Callable[[], Mapping[str, Group]]) -> None:
        """``running``: the groups of all sandboxes that are not frozen, by id."""
        self._running = running
        self._watched: dict[str, _Watched] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        looked_at, idle_s = time.monotonic(), _idle_seconds()
        while True:
            await asyncio.sleep(TICK_S)
            before, idle_before = looked_at, idle_s
            looked_at, idle_s = time.monotonic(), _idle_seconds()
            tick_s = looked_at - before
            short = (idle_s - idle_before) / tick_s / (os.cpu_count() or 1) < _SPARE
            if short or self._watched:
                await asyncio.to_thread(self.look, self._running(), tick_s, short=short)

    def look(self, running: Mapping[str, Group], tick_s: float, *, short: bool) -> None:
        """A tick has passed; ``short``: and the processors were busy all the time. Blocks."""
        for id, each in list(self._watched.items()):
            if id not in running or not (short or each.yields):
                self._let_go(id)
        for id, group in running.items():
            with contextlib.suppress(OSError):
                if id in self._watched:
                    self._watched[id].measure(tick_s)
                elif short:
                    self._watched[id] = _Watched(group, group.cpu_seconds())
        watched = self._watched.values()
        rested = [each for each in watched if each.rested >= _RESTED_TICKS]
        for each in [*rested, *(_greedy(watched) if short else ())]:
            with contextlib.suppress(OSError):
                each.turn(not each.yields)

    def _let_go(self, id: str) -> None:
        each = self._watched.pop(id)
        if each.yields:
            with contextlib.suppress(OSError):
                each.turn(False)


def _greedy(watched: Collection[_Watched]) -> list[_Watched]:
    """Who should begin to yield."""
    first = [each for each in watched if not each.yields and each.lately >= LITTLE]
    if not first:
        return []
    taken = sum(each.lately for each in first)
    enough = MUCH
    if taken > _MOST * sum(each.lately for each in watched):
        enough = min(MUCH, statistics.fmean(each.lately for each in first))
    return [each for each in first if each.lately > enough]


def _idle_seconds() -> float:
    """Of all processors together since boot: proc_uptime(5)."""
    return float(_UPTIME.read_text().split()[1])
