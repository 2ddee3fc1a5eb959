"""Writing one file of a snapshot: pages that the last snapshot has are named, others are written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from sandlot.node.snapshots.known import KnownPages, Place
from sandlot.node.snapshots.manifest import Part, Run
from sandlot.node.snapshots.packs import Packs
from sandlot.node.snapshots.pages import PAGE, ZEROS, stretches, sums_of, write
from sandlot.node.snapshots.space import Space


class _Map:
    """Which page lies where, as it becomes known, in order."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.sums = bytearray()
        self._page = self._length = self._pack = self._at = 0

    def add(self, page: int, place: Place, sum: bytes) -> None:
        self.sums += sum
        pack, at = place
        length = self._length
        if length and page == self._page + length and pack == self._pack and at == self._at + length:
            self._length += 1
            return
        self.end()
        self._page, self._length, self._pack, self._at = page, 1, pack, at

    def end(self) -> None:
        if self._length:
            self.runs.append(Run(self._page, self._length, self._pack, self._at))
            self._length = 0


def take(source: Path, packs: Packs, name: str, space: Space) -> Part | None:
    """The file itself becomes the pack ``name``, by a second link.

    None where it lies on another disk, or has another name already: whoever uses that one needs all of it,
    and a pack may get holes.
    """
    if source.stat().st_nlink > 1:
        return None
    try:
        os.link(source, packs.path(name))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return None
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        space.check()
        size = os.fstat(descriptor).st_size
        found = _Map()
        for first, content in stretches(descriptor, size):
            for page, sum in enumerate(sums_of(content), first):
                if sum != ZEROS:
                    found.add(page, Place(0, page), sum)
        found.end()
        os.fsync(descriptor)
        return Part(size, True, [name], found.runs, bytes(found.sums))
    finally:
        os.close(descriptor)


def compare(source: Path, packs: Packs, name: str, space: Space, former: Part | None) -> Part:
    """Pages that ``former`` lacks are written to the new pack ``name``."""
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writing = os.open(packs.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            part = _compare(reading, writing, name, space, former)
            os.fsync(writing)
            return part
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _compare(reading: int, writing: int, name: str, space: Space, former: Part | None) -> Part:
    known = KnownPages(former)
    names = [*(former.packs if former else ()), name]
    own = len(names) - 1
    size = os.fstat(reading).st_size
    found = _Map()
    written = 0
    for first, content in stretches(reading, size):
        fresh: list[int] = []
        for number, sum in enumerate(sums_of(content)):
            if sum == ZEROS:
                continue
            place = known.find(sum)
            if place is None:
                place = Place(own, written + len(fresh))
                fresh.append(number)
            found.add(first + number, place, sum)
        if fresh:
            space.check(len(fresh) * PAGE)
            pages = b"".join([content[number * PAGE : (number + 1) * PAGE] for number in fresh])
            write(writing, memoryview(pages), written * PAGE)
            written += len(fresh)
    found.end()
    return _slim(Part(size, False, names, found.runs, bytes(found.sums)))


def _slim(part: Part) -> Part:
    """Name only packs that are used."""
    used = sorted({run.pack for run in part.runs})
    position = {pack: i for i, pack in enumerate(used)}
    runs = [run._replace(pack=position[run.pack]) for run in part.runs]
    return Part(part.size, False, [part.packs[pack] for pack in used], runs, part.sums)
