"""Folders as tar streams, both ways, in constant memory.

What comes out of a sandbox is hostile. Extraction trusts no name and no link in the archive, and does not
rely on the fixes of one Python patch release either: links are made last, when nothing is written any more,
and only those that cannot leave the folder whatever other links say (relative, ``..`` only at the start,
ending inside).
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from ._errors import SandboxError, UnsafeArchiveError
from ._wire import CHUNK

MAX_LINKS = 100_000
MAX_REFUSED = 1000
SHOWN = 5


def pack(folder: Path) -> Iterator[bytes]:
    """The contents of ``folder`` as a tar stream. Links stay links; sockets and devices are left out."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    for path in _walk(folder):
        yield from _entry(path, path.relative_to(folder).as_posix())
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            yield Path(parent, name)


def _entry(path: Path, name: str) -> Iterator[bytes]:
    status = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.mtime = int(status.st_mtime)
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif not stat.S_ISREG(status.st_mode):
        return
    if not info.isreg():
        yield _header(info)
        return
    with path.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        yield _header(info)
        yield from _contents(file, info.size, path)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _contents(file: io.BufferedReader, size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left:
        data = file.read(min(CHUNK, left))
        if not data:
            raise SandboxError(f"{path} became shorter while it was being read")
        left -= len(data)
        yield data
    if size % tarfile.BLOCKSIZE:
        yield b"\0" * (tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)


class PulledFile(io.RawIOBase):
    """A readable file over a function that returns the next bytes, and nothing at the end."""

    def __init__(self, pull: Callable[[], bytes]) -> None:
        self._pull = pull
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(self._pull())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def unpack(stream: io.RawIOBase, folder: Path) -> int:
    """Write the archive into ``folder``, made if missing; returns how many files were written.

    Raises UnsafeArchiveError at the end if entries were refused; all others have been written then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()
    links: list[tuple[Path, str]] = []
    refused = _Refused()
    files = 0
    try:
        with tarfile.open(fileobj=io.BufferedReader(stream, CHUNK), mode="r|") as archive:
            for member in archive:
                place = _place(root, member.name)
                if place is None or not _is_plain(member):
                    refused.add(member.name)
                elif member.isdir():
                    _make_folder(place)
                elif member.isreg():
                    _write(archive, member, place)
                    files += 1
                elif len(links) < MAX_LINKS and _stays_inside(member):
                    links.append((place, member.linkname))
                else:
                    refused.add(f"{member.name} -> {member.linkname}")
    except tarfile.TarError as error:
        raise SandboxError(f"the folder did not arrive whole: {error}") from error
    for place, target in links:
        if not _link(place, target):
            refused.add(f"{place.relative_to(root)} -> {target}")
    refused.complain(folder)
    return files


class _Refused:
    """Entries that were not written: all are counted, the first are kept by name."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._count = 0

    def add(self, name: str) -> None:
        self._count += 1
        if len(self._names) < MAX_REFUSED:
            self._names.append(name)

    def complain(self, folder: Path) -> None:
        if not self._count:
            return
        more = f" and {self._count - SHOWN} more" if self._count > SHOWN else ""
        raise UnsafeArchiveError(
            f"not written to {folder}, because they are not plain files, lead out of it or are in the way: "
            f"{', '.join(self._names[:SHOWN])}{more}; everything else was written",
            refused=self._names,
        )


def _is_plain(member: tarfile.TarInfo) -> bool:
    # A sparse entry can claim any size for a few bytes; the server sends none.
    return (member.isreg() and not member.issparse()) or member.isdir() or member.issym()


def _place(root: Path, name: str) -> Path | None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name:
        return None
    return root.joinpath(*pure.parts)


def _stays_inside(link: tarfile.TarInfo) -> bool:
    target = PurePosixPath(link.linkname)
    up = 0
    while up < len(target.parts) and target.parts[up] == "..":
        up += 1
    depth = len(PurePosixPath(link.name).parts) - 1
    return not target.is_absolute() and up <= depth and ".." not in target.parts[up:]


def _make_folder(place: Path) -> None:
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        place.unlink()
    place.mkdir(parents=True, exist_ok=True)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    source = cast("IO[bytes]", archive.extractfile(member))
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as target:
        shutil.copyfileobj(source, target, CHUNK)
        os.fchmod(target.fileno(), (member.mode & 0o755) | 0o600)
    os.utime(place, (member.mtime, member.mtime))


def _link(place: Path, target: str) -> bool:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.is_dir():
        return False
    place.symlink_to(target)
    return True


class replacing:
    """A new file beside ``place`` that takes its name when all went well, and vanishes when not.

    It never writes through a link that stands at ``place``.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def __enter__(self) -> io.BufferedWriter:
        # Not tempfile's: its files are 0600 whatever the umask says.
        self._temporary = self._place.with_name(f".sandlot-{secrets.token_hex(8)}")
        self._file = self._temporary.open("xb")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self._file.close()
            if kind is None:
                self._temporary.replace(self._place)
        finally:
            self._temporary.unlink(missing_ok=True)


def read_local(path: Path) -> Iterator[bytes]:
    """A file of this machine, in pieces."""
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            yield data


def write_local(stream: io.RawIOBase, path: Path) -> int:
    """Write a file of this machine, which appears when it is whole; returns its size in bytes."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name the file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as target:
        shutil.copyfileobj(stream, target, CHUNK)
        return target.tell()
