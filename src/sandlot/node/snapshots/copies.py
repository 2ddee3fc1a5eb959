"""Files of snapshots, put together and verified, that are kept a while for the next restore."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandlot.node.snapshots.manifest import Manifest, Part, Run, damaged
from sandlot.node.snapshots.packs import Packs
from sandlot.node.snapshots.pages import (
    PAGE,
    SUM_BYTES,
    ZEROS,
    page_count,
    read,
    stretches,
    sums_of,
    write,
)
from sandlot.node.snapshots.space import Space

_BATCH = 256
"""Pages that are read from wherever they lie and written at once."""


@dataclass(frozen=True)
class Materialised:
    """A folder with the files asked for, for reading only: other restores, and the store itself, share
    them.
    """

    folder: Path
    files: dict[str, Path]


@dataclass
class _Copy:
    folder: Path
    making: threading.Lock = field(default_factory=threading.Lock)
    names: set[str] = field(default_factory=set)
    own_bytes: int = 0
    users: int = 0
    forgotten: bool = False


class Copies:
    """``limit_bytes`` bound what copies take that nobody uses at the moment."""

    def __init__(self, folder: Path, packs: Packs, space: Space, *, limit_bytes: int) -> None:
        self._folder = folder
        self._packs = packs
        self._space = space
        space.made_by(lambda: self._trim(0))
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()

    @contextmanager
    def of(self, manifest: Manifest, names: Sequence[str]) -> Iterator[Materialised]:
        """Raises NotFound, Conflict where it is damaged, NotEnoughSpace."""
        key = manifest.head.key
        with self._lock:
            copy = self._copies.setdefault(key, _Copy(self._folder / key))
            copy.users += 1
            self._copies.move_to_end(key)
        try:
            with copy.making:
                self._complete(copy, manifest, names)
            yield Materialised(copy.folder, {name: copy.folder / name for name in names})
        finally:
            with self._lock:
                copy.users -= 1
                if copy.forgotten and not copy.users:
                    shutil.rmtree(copy.folder, ignore_errors=True)
            self._trim(self._limit_bytes)

    def forget(self, key: str) -> None:
        """Who uses it may go on."""
        with self._lock:
            if (copy := self._copies.pop(key, None)) is not None:
                copy.forgotten = True
                if not copy.users:
                    shutil.rmtree(copy.folder, ignore_errors=True)

    def _complete(self, copy: _Copy, manifest: Manifest, names: Sequence[str]) -> None:
        copy.folder.mkdir(mode=0o700, exist_ok=True)
        for name in names:
            if name in copy.names:
                continue
            part, path = manifest.parts[name], copy.folder / name
            try:
                copy.own_bytes += self._make(path, part)
            except BaseException as error:
                path.unlink(missing_ok=True)
                if isinstance(error, _Damage | FileNotFoundError):
                    raise damaged(manifest.head.id, f"{error} ({name})") from error
                raise
            copy.names.add(name)

    def _make(self, path: Path, part: Part) -> int:
        """How many bytes this took."""
        if part.whole:
            os.link(self._packs.path(part.packs[0]), path)
            _verify(path, part)
            return 0
        wanted = part.pages() * PAGE
        self._space.check(wanted)
        self._put_together(path, part)
        return wanted

    def _put_together(self, path: Path, part: Part) -> None:
        with contextlib.ExitStack() as stack:
            packs = [self._open(stack, self._packs.path(name), os.O_RDONLY) for name in part.packs]
            target = self._open(stack, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.ftruncate(target, part.size)
            buffer = memoryview(bytearray(_BATCH * PAGE))
            number = 0
            for batch in _batches(part.runs):
                content = buffer[: min(batch.end * PAGE, part.size) - batch.page * PAGE]
                batch.read(packs, content)
                sums = b"".join(sums_of(content))
                if sums != part.sums[number * SUM_BYTES :][: len(sums)]:
                    raise _Damage(f"pages {batch.page} to {batch.end - 1} have other checksums")
                write(target, content, batch.page * PAGE)
                number += batch.end - batch.page

    def _open(self, stack: contextlib.ExitStack, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, descriptor)
        return descriptor

    def _trim(self, limit_bytes: int) -> None:
        """Remove what nobody uses, oldest first, until the rest takes no more than this."""
        with self._lock:
            idle = [(key, copy) for key, copy in self._copies.items() if not copy.users]
            total = sum(copy.own_bytes for _, copy in idle)
            for key, copy in idle:
                if total <= limit_bytes:
                    break
                total -= copy.own_bytes
                del self._copies[key]
                shutil.rmtree(copy.folder, ignore_errors=True)


class _Damage(Exception):
    pass


@dataclass
class _Batch:
    """Runs that follow each other in the file, from ``page`` to ``end``."""

    page: int
    end: int
    runs: list[Run]

    def read(self, packs: Sequence[int], into: memoryview) -> None:
        for run in self.runs:
            piece = into[(run.page - self.page) * PAGE :][: run.length * PAGE]
            read(packs[run.pack], piece, run.at * PAGE)


def _batches(runs: Iterable[Run]) -> Iterator[_Batch]:
    batch: _Batch | None = None
    for run in runs:
        for done in range(0, run.length, _BATCH):
            piece = Run(run.page + done, min(run.length - done, _BATCH), run.pack, run.at + done)
            end = piece.page + piece.length
            if batch is not None and piece.page == batch.end and end <= batch.page + _BATCH:
                batch.runs.append(piece)
                batch.end = end
                continue
            if batch is not None:
                yield batch
            batch = _Batch(piece.page, end, [piece])
    if batch is not None:
        yield batch


def _verify(path: Path, part: Part) -> None:
    """The file is what it was when it was saved."""
    pages = (page for run in part.runs for page in range(run.page, run.page + run.length))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size != part.size:
            raise _Damage(f"{size} bytes are left of {part.size}")
        number = 0
        for first, content in stretches(descriptor, size):
            for page, sum in enumerate(sums_of(content), first):
                if sum == ZEROS:
                    continue
                told = part.sums[number * SUM_BYTES : (number + 1) * SUM_BYTES]
                if sum != told or page != next(pages, None):
                    raise _Damage(f"page {page} of {page_count(size)} has another checksum")
                number += 1
        if number != part.pages():
            raise _Damage(f"{part.pages() - number} pages are lost")
    finally:
        os.close(descriptor)
