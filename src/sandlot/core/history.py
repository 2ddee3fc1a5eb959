"""What a sandbox has used, moment by moment, for as long as it runs: the last hour of it."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sandlot.node import Usage

SAMPLE_EVERY_S: Final = 5.0
_KEPT: Final = 720
_FIELDS: Final = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """``cpus`` are the processors used on average since the sample before; bytes are as of ``at``."""

    at: datetime
    cpus: float
    memory_bytes: int
    cache_bytes: int
    disk_bytes: int


class History:
    """Bounded: one sample every ``SAMPLE_EVERY_S`` at most, 40 bytes each, at most twice an hour's worth."""

    def __init__(self, began: float | None) -> None:
        """``began``: when it had used no processor yet, by the monotonic clock; None where nobody knows."""
        self._figures = array("d")
        self._last = None if began is None else (began, 0.0)

    def __bool__(self) -> bool:
        return bool(self._figures)

    def add(self, usage: Usage, *, clock: float, now: float) -> None:
        """What it had used at ``clock``, by the monotonic clock; ``now`` is that moment in Unix time."""
        last, used = self._last, (clock, usage.cpu_seconds)
        if last is None:
            self._last = used
            return
        elapsed = clock - last[0]
        if self._figures and elapsed < SAMPLE_EVERY_S * 0.9:
            return
        self._last = used
        cpus = max(0.0, used[1] - last[1]) / max(elapsed, 0.001)
        self._figures.extend((now, cpus, usage.memory_bytes, usage.cache_bytes, usage.disk_bytes))
        if len(self._figures) > 2 * _KEPT * _FIELDS:
            del self._figures[: _KEPT * _FIELDS]

    def between(self, start: datetime | None, end: datetime | None) -> list[Sample]:
        """Oldest first; without a bound all that there are on that side."""
        first = -1.0 if start is None else start.timestamp()
        last = float("inf") if end is None else end.timestamp()
        return [sample for at, sample in self._each() if first <= at <= last]

    def _each(self) -> Iterator[tuple[float, Sample]]:
        for place in range(0, len(self._figures), _FIELDS):
            at, cpus, *amounts = self._figures[place : place + _FIELDS]
            memory, cache, disk = map(int, amounts)
            yield at, Sample(datetime.fromtimestamp(at, UTC), cpus, memory, cache, disk)


def began_at(created_at: datetime) -> float:
    """That moment by the monotonic clock."""
    return time.monotonic() - (datetime.now(UTC) - created_at).total_seconds()
