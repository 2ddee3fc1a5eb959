"""What this process counts and times, kept where it happens; whoever shows it reads it from there.

It stands under every room, because each has something to count, and knows nothing of how that is shown. The
counts are the process's: they begin at zero with it, and never go down.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

Labels = tuple[str, ...]

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the classes into which durations are sorted: from a call that does nothing to a creation
that is given up.
"""


class Counts:
    """One number for each combination of label values, of which there must be few. For any thread."""

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, *values: str, by: float = 1) -> None:
        with self._lock:
            self._values[values] = self._values.get(values, 0) + by

    def read(self) -> Mapping[Labels, float]:
        with self._lock:
            return dict(self._values)


@dataclass(frozen=True, slots=True)
class Distribution:
    """``up_to[i]`` durations took at most ``BOUNDS_S[i]``; the last figure is of all there were."""

    up_to: tuple[int, ...]
    sum_s: float


class Durations:
    """How long something took, sorted into classes, for each combination of label values. For any thread."""

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self._classes: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, seconds: float, *values: str) -> None:
        at = bisect_left(BOUNDS_S, seconds)
        with self._lock:
            if (classes := self._classes.get(values)) is None:
                classes = self._classes[values] = [0] * (len(BOUNDS_S) + 1)
            classes[at] += 1
            self._sums[values] = self._sums.get(values, 0.0) + seconds

    @contextmanager
    def timed(self, *values: str) -> Iterator[None]:
        """Observe how long the block takes, also where it fails."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - began, *values)

    def read(self) -> Mapping[Labels, Distribution]:
        with self._lock:
            return {
                values: Distribution(tuple(accumulate(classes)), self._sums[values])
                for values, classes in self._classes.items()
            }


@dataclass(frozen=True, slots=True)
class Stock:
    """Of what is made ahead: how many stand ready and are handed out now; how many were made, and how often
    one was wanted and none stood ready, since the pool was made.
    """

    ready: int
    claimed: int
    made: int
    missed: int
