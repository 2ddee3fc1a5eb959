"""Ranges of page numbers: the first, and one past the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Range = tuple[int, int]


def joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """The same pages in as few ranges as can be, in order."""
    begin = end = 0
    for first, last in sorted(ranges):
        if first > end:
            if begin < end:
                yield begin, end
            begin = first
        end = max(end, last)
    if begin < end:
        yield begin, end


def length(ranges: Iterable[Range]) -> int:
    """How many pages these are, where none is in two of them."""
    return sum(end - first for first, end in ranges)


def without(ranges: Iterable[Range], others: Iterable[Range]) -> Iterator[Range]:
    """The pages of ``ranges`` that are not in ``others``."""
    rest = joined(others)
    other = next(rest, None)
    for begin, end in joined(ranges):
        while other is not None and other[0] < end:
            if begin < other[0]:
                yield begin, other[0]
            begin = max(begin, other[1])
            if other[1] > end:
                break
            other = next(rest, None)
        if begin < end:
            yield begin, end
