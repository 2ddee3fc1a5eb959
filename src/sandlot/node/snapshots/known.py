"""The pages of an earlier snapshot's file, to be found by their checksums.

A checkpoint holds committed pages one after the other: a page that came or went moves all that follow. So
pages are looked for by what they are, near the place where the last one was found: in a window, which bounds
the memory that this takes.
"""

from __future__ import annotations

from typing import NamedTuple

from sandlot.node.snapshots.manifest import Part
from sandlot.node.snapshots.pages import SUM_BYTES

_STEP = 1 << 16
_STEPS = 4
"""A window of 1 GiB: some 40 MB of memory."""
_AHEAD = 2
"""Where more than 512 MiB went at once, what follows is kept again."""


class Place(NamedTuple):
    """A page of a pack; ``pack`` is a position in a Part's list."""

    pack: int
    at: int


class KnownPages:
    """Looked up in about the order in which they lie in the file."""

    def __init__(self, part: Part | None) -> None:
        self._sums = part.sums if part else b""
        self._places = (
            [Place(run.pack, run.at + i) for run in part.runs for i in range(run.length)] if part else []
        )
        self._window: dict[bytes, int] = {}
        self._begin = self._end = 0
        self._extend(_STEPS)

    def find(self, sum: bytes) -> Place | None:
        number = self._window.get(sum)
        if number is None:
            return None
        while number + _AHEAD * _STEP > self._end and self._end < len(self._places):
            self._extend(1)
        return self._places[number]

    def _extend(self, steps: int) -> None:
        end = min(len(self._places), self._end + steps * _STEP)
        for number in range(self._end, end):
            self._window[self._sum(number)] = number
        self._end = end
        begin = max(0, end - _STEPS * _STEP)
        for number in range(self._begin, begin):
            if self._window.get(sum := self._sum(number)) == number:
                del self._window[sum]
        self._begin = begin

    def _sum(self, number: int) -> bytes:
        return self._sums[number * SUM_BYTES : (number + 1) * SUM_BYTES]
