"""Tar archives, read and written piece by piece: no file is held in memory and no thread is kept.

The standard library's ``TarInfo`` packs and unpacks single headers; only the walk from header to header is
here, because ``tarfile`` itself can only pull from a blocking file. Read: POSIX (pax), GNU and old tar.
Written: POSIX with UTF-8 names, pax records where a header has no room.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from tarfile import TarInfo
from typing import Final

from sandlot.errors import InvalidArgument

BLOCK: Final = tarfile.BLOCKSIZE
MAX_NAME_BYTES: Final = 64 * 1024
MAX_PAX_BYTES: Final = 1024 * 1024
_RECORD: Final = tarfile.RECORDSIZE
_FILES: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_DATA: Final = (
    tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
)  # fmt: skip
_LONG: Final[Mapping[bytes, str]] = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_PAX: Final = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_TEXTS: Final[Mapping[str, str]] = {
    "path": "name",
    "linkpath": "linkname",
    "uname": "uname",
    "gname": "gname",
}
_NUMBERS: Final = ("size", "uid", "gid")


async def read_tar(chunks: AsyncIterator[bytes]) -> AsyncGenerator[TarInfo | bytes, None]:
    """Each member, followed by its data where it is a file; data pieces are as large as they came.

    Raises InvalidArgument for what is not a tar archive, is cut short, or is of a kind not read here (sparse
    files, volumes). What follows the end mark is read and ignored.
    """
    source = _Source(chunks)
    common: dict[str, str] = {}
    own: dict[str, str] = {}
    if not await source.any():
        raise InvalidArgument("the archive is empty: not even an end mark came")
    while (info := await _header(source)) is not None:
        if info.type in _PAX or info.type == tarfile.XGLTYPE:
            records = _records(await _extension(source, info, MAX_PAX_BYTES))
            if info.type == tarfile.XGLTYPE:
                common.update(records)
            else:
                own = records | own
        elif info.type in _LONG:
            text = (await _extension(source, info, MAX_NAME_BYTES)).split(b"\0", 1)[0]
            own = {_LONG[info.type]: _text(text)} | own
        else:
            _apply(info, common | own)
            own = {}
            yield info
            if info.isreg():
                async for piece in source.pieces(info.size):
                    yield piece
                await source.skip(-info.size % BLOCK)
    if own:
        raise InvalidArgument("the archive is cut short: a name without its file")


async def write_tar(items: AsyncIterator[TarInfo | bytes]) -> AsyncGenerator[bytes, None]:
    """The reverse of ``read_tar``. Raises ValueError where a file's data is not of the announced size."""
    written = 0
    owed = 0
    padding = b""
    async for item in items:
        if isinstance(item, TarInfo):
            if owed:
                raise ValueError(f"a file's data ended {owed} bytes early")
            owed = item.size if item.isreg() else 0
            header = padding + item.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            padding = bytes(-owed % BLOCK)
            piece = header
        else:
            owed -= len(item)
            if owed < 0:
                raise ValueError("a file's data is longer than its header says")
            piece = item
        written += len(piece)
        yield piece
    if owed:
        raise ValueError(f"a file's data ended {owed} bytes early")
    end = padding + bytes(2 * BLOCK)
    yield end + bytes(-(written + len(end)) % _RECORD)


class _Source:
    """Chunks of any size, taken in pieces of a wanted size; holds at most one chunk and one wanted piece."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._held = memoryview(b"")

    async def exactly(self, size: int) -> bytes:
        """``size`` bytes, or none at all at the very end. Raises InvalidArgument in between."""
        taken = bytearray()
        while len(taken) < size:
            piece = await self._some(size - len(taken))
            if not piece:
                break
            taken += piece
        if taken and len(taken) < size:
            raise InvalidArgument("the archive is cut short")
        return bytes(taken)

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        while size:
            piece = await self._some(size)
            if not piece:
                raise InvalidArgument("the archive is cut short: it ends within a file")
            size -= len(piece)
            yield bytes(piece)

    async def skip(self, size: int) -> None:
        async for _ in self.pieces(size):
            pass

    async def drain(self) -> None:
        while await self._some(_RECORD):
            pass

    async def any(self) -> bool:
        """Whether there is anything left."""
        while not self._held:
            try:
                self._held = memoryview(await anext(self._chunks))
            except StopAsyncIteration:
                return False
        return True

    async def _some(self, most: int) -> memoryview:
        await self.any()
        piece, self._held = self._held[:most], self._held[most:]
        return piece


async def _header(source: _Source) -> TarInfo | None:
    """The next header; None at the end mark, or where the archive ends without one."""
    block = await source.exactly(BLOCK)
    if not block:
        return None
    if block.count(0) == BLOCK:
        await source.drain()
        return None
    try:
        info = TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise InvalidArgument(f"this is not a tar archive, or a damaged one: {error}") from None
    if info.type not in (*_FILES, *_WITHOUT_DATA, *_PAX, *_LONG, tarfile.XGLTYPE):
        raise InvalidArgument(
            f"the archive holds {info.name!r} of type {info.type!r}, which is not read here"
        )
    if info.size < 0:
        raise InvalidArgument("this is not a tar archive, or a damaged one: negative size")
    return info


async def _extension(source: _Source, info: TarInfo, most: int) -> bytes:
    if info.size > most:
        raise InvalidArgument(f"the archive holds a header of {info.size} bytes; at most {most} are read")
    data = await source.exactly(info.size)
    if len(data) < info.size:
        raise InvalidArgument("the archive is cut short: it ends within a header")
    await source.skip(-info.size % BLOCK)
    return data


def _records(data: bytes) -> dict[str, str]:
    """Pax records, each ``"<length> <key>=<value>\\n"`` with the length counting itself (POSIX.1-2001)."""
    records: dict[str, str] = {}
    while data and data[0] != 0:
        length, space, _ = data[:24].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 3 < int(length) <= len(data):
            raise InvalidArgument("the archive holds a damaged pax header")
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or record[-1:] != b"\n":
            raise InvalidArgument("the archive holds a damaged pax header")
        if key.startswith(b"GNU.sparse."):
            raise InvalidArgument(
                "the archive holds sparse files, which are not read here; make it without -S"
            )
        records[_text(key)] = _text(value)
    return records


def _apply(info: TarInfo, records: Mapping[str, str]) -> None:
    """Let ``records`` say what the header had no room for. An empty value takes one from before back."""
    for key, attribute in _TEXTS.items():
        if records.get(key):
            setattr(info, attribute, records[key])
    for key in _NUMBERS:
        if records.get(key):
            setattr(info, key, _number(key, records[key]))
    if records.get("mtime"):
        info.mtime = _time(records["mtime"])
    info.name = info.name.rstrip("/") or info.name[:1]
    if "\0" in info.name or "\0" in info.linkname:
        raise InvalidArgument("the archive holds a name with NUL in it")


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise InvalidArgument(f"the archive holds a damaged pax header: {key} is {text[:32]!r}")
    return int(text)


def _time(text: str) -> float:
    try:
        time = float(text)
    except ValueError:
        time = math.nan
    if not math.isfinite(time):
        raise InvalidArgument(f"the archive holds a damaged pax header: mtime is {text[:32]!r}")
    return time


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
