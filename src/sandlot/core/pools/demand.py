"""How many hot ones a template's use calls for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

HALF_LIFE_S: Final = 120.0
"""Of the memory of a burst: what was wanted at once is wanted half as much so much later."""
_FORGOTTEN: Final = 1 / 32
"""Below this nothing is wanted any more: five half-lives after a single creation."""
_MINUTE_S: Final = 60.0


@dataclass(slots=True)
class Demand:
    """Arrivals during the time that it takes to make one: so many are gone before the first is replaced.

    Its highest value counts, fading, because what came once in a burst is likely to come so again. Moments
    are seconds of any clock that does not go back.
    """

    _at_once: float = 0.0
    _peak: float = 0.0
    _in_a_minute: float = 0.0
    _at: float = 0.0

    def arrive(self, now: float, make_s: float) -> None:
        """Somebody wants one; making one takes ``make_s`` seconds."""
        elapsed = max(0.0, now - self._at)
        self._at_once = self._at_once * math.exp(-elapsed / max(make_s, 0.001)) + 1
        self._peak = max(self._faded(now), self._at_once)
        self._in_a_minute = self._in_a_minute * math.exp(-elapsed / _MINUTE_S) + 1
        self._at = max(now, self._at)

    def wanted(self, now: float) -> int:
        """How many should stand ready."""
        peak = self._faded(now)
        return math.ceil(peak) if peak >= _FORGOTTEN else 0

    def per_minute(self, now: float) -> float:
        """Arrivals, those of the last minute counting most."""
        return self._in_a_minute * math.exp(-max(0.0, now - self._at) / _MINUTE_S)

    def _faded(self, now: float) -> float:
        return self._peak * math.exp(-math.log(2) * max(0.0, now - self._at) / HALF_LIFE_S)
