"""How many to make and how many to give up: arithmetic, and no more."""

from __future__ import annotations

from dataclasses import dataclass

from sandlot.core.pools.model import Bounds


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the machine, MiB: what it could give without touching the hot ones, and what it keeps for itself.

    Hot ones are made while it has twice what it keeps, and the first to go when that shrinks to less than
    one and a half times, so that nothing is made only to be given up.
    """

    available: int
    kept: int

    def allows(self, each: int) -> int:
        """How many more of that size may be made."""
        return max(0, (self.available - 2 * self.kept) // max(1, each))

    def missing(self) -> int:
        """What hot ones must give back."""
        return max(0, self.kept + self.kept // 2 - self.available)


def wanted(demand: int, bounds: Bounds) -> int:
    """What a pool is kept at."""
    return max(bounds.min, min(bounds.max, demand))


def to_make(wanted: int, *, ready: int, making: int, makers: int, places: int, memory: int) -> int:
    """How many to begin now, where ``makers`` may be at work for all pools, ``places`` are free on the server
    and there is ``memory`` for so many.
    """
    return max(0, min(wanted - ready - making, makers, places, memory))


def to_drop(wanted: int, *, ready: int, overbooked: int) -> int:
    """How many of those that stand ready to end now, where the server has so many sandboxes too many."""
    return max(0, min(ready, max(ready - wanted, overbooked)))
