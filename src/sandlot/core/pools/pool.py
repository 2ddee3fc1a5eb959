"""One template's hot sandboxes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from sandlot.core.pools.demand import Demand
from sandlot.core.pools.hot import UNMEASURED_MIB, Hot
from sandlot.core.pools.model import Bounds, PoolStatus
from sandlot.core.pools.sizing import wanted
from sandlot.images import Template

_FIRST_GUESS_S: Final = 0.5
_NEWEST_COUNTS: Final = 0.3
_RETRY_S: Final = (1.0, 60.0)


@dataclass(slots=True)
class Pool:
    """Books only: who makes and ends them is `Pools`. Moments are the event loop's."""

    name: str
    bounds: Bounds
    template: Template | None = None
    """The current version; None where it is not built."""
    demand: Demand = field(default_factory=Demand)
    ready: deque[Hot] = field(default_factory=deque)
    making: int = 0
    make_s: float = _FIRST_GUESS_S
    each_mib: int = UNMEASURED_MIB
    """What one holds, as last measured."""
    hits: int = 0
    misses: int = 0
    unfit: int = 0
    owed_since: float | None = None
    """Since when it has fewer than it should."""
    not_before: float = 0.0
    _retry_s: float = _RETRY_S[0]

    def wanted(self, now: float) -> int:
        return 0 if self.template is None else wanted(self.demand.wanted(now), self.bounds)

    def served(self, hot: bool) -> None:
        """Somebody asked and got a hot one, or did not."""
        self.hits += hot
        self.misses += not hot

    def made(self, took_s: float) -> None:
        self.make_s += (took_s - self.make_s) * _NEWEST_COUNTS
        self._retry_s = _RETRY_S[0]

    def failed(self, now: float) -> None:
        """Not again at once: whatever is wrong costs every try."""
        self.not_before = now + self._retry_s
        self._retry_s = min(self._retry_s * 2, _RETRY_S[1])

    def status(self, now: float) -> PoolStatus:
        return PoolStatus(
            template=self.name,
            template_id=None if self.template is None else self.template.id,
            hot=len(self.ready),
            making=self.making,
            wanted=self.wanted(now),
            min=self.bounds.min,
            max=self.bounds.max,
            memory_bytes=sum(hot.memory_mib for hot in self.ready) * 1024 * 1024,
            per_minute=round(self.demand.per_minute(now), 2),
            hits=self.hits,
            misses=self.misses,
            unfit=self.unfit,
        )
