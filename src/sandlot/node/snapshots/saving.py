"""Writing one file of a snapshot: pages that the last snapshot has are named, others are written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from sandlot.errors import NotEnoughSpace
from sandlot.node.snapshots.known import KnownPages, Place
from sandlot.node.snapshots.manifest import Part, Run
from sandlot.node.snapshots.packs import Packs
from sandlot.node.snapshots.pages import PAGE, ZEROS, stretches, sums_of, write


class Space:
    """What the host's file system has to give, less what is kept."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._make_room: Callable[[], None] | None = None

    def made_by(self, make_room: Callable[[], None]) -> None:
        """Who removes what can be made again, when space is short."""
        self._make_room = make_room

    def check(self, more_bytes: int = 0) -> None:
        if self._free() < more_bytes and self._make_room is not None:
            self._make_room()
        if (free := self._free()) < more_bytes:
            raise NotEnoughSpace(
                f"a snapshot needs {more_bytes >> 20} MiB more, and the host has {max(0, free) >> 20} MiB to"
                f" give: the file system of {self._folder}, less {self._reserve_bytes >> 20} MiB kept."
                " Delete snapshots, or free space on the host"
            )

    def _free(self) -> int:
        usage = os.statvfs(self._folder)
        return usage.f_bavail * usage.f_frsize - self._reserve_bytes


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
    """The file itself becomes the pack ``name``, by a second link. None where it lies on another disk."""
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
