"""Files of the guest, through its agent: every path is resolved inside the guest, by the guest's kernel."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import TypeAlias, TypeVar

from sandlot.errors import GuestError, InvalidArgument, LimitExceeded, Unavailable
from sandlot.node.agent.calls import CALL_TIMEOUT, Caller
from sandlot.node.agent.frames import FrameType
from sandlot.node.agent.link import Channel, Link
from sandlot.node.agent.model import FileInfo, FileKind, TreeEntry, WatchEvent, WatchKind
from sandlot.node.agent.wire import Reader, Writer

LONG_TIMEOUT = 600.0
"""Seconds for what depends on how much there is: recursive copies and removals, the end of a write."""
DATA_WINDOW = 2 * 1024 * 1024
WATCH_WINDOW = 256 * 1024
MAX_ENTRIES = 100_000
MAX_LIST_BYTES = 32 * 1024 * 1024
"""Of a whole listing, on the wire; held, it takes several times as much."""
WHOLE = (1 << 64) - 1
KEEP = 0xFFFFFFFF
KEEP_TIME = -(1 << 63)
MAX_SIZE = (1 << 63) - 1
MAX_TIME = 9.2e9
"""Seconds: what 64 bits of nanoseconds hold."""

T = TypeVar("T")
Many: TypeAlias = list[T]
"""``GuestFiles.list`` hides the builtin."""

_KINDS: dict[int, FileKind] = {1: "file", 2: "dir", 3: "symlink", 4: "other"}
_KIND_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_EVENTS: dict[int, WatchKind] = {
    1: "create",
    2: "write",
    3: "remove",
    4: "rename",
    5: "chmod",
    6: "overflow",
}
_MARK = b"\x07"


class Watch(Caller):
    """Events of one watch, which stands. An async context manager that closes."""

    def __init__(self, link: Link, channel: Channel, *, takes_marks: bool) -> None:
        super().__init__(link)
        self._channel = channel
        self._takes_marks = takes_marks
        self._marks = 0
        self._over = False

    def __aiter__(self) -> AsyncIterator[WatchEvent]:
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._over:
            if (event := await self._next()) is not None:
                return event
        raise StopAsyncIteration

    async def so_far(self, limit: int) -> Many[WatchEvent]:
        """What has happened until now, without waiting for more; at most ``limit`` of it, the rest next time.

        Raises Unavailable where an older agent cannot tell.
        """
        if not self._takes_marks:
            raise Unavailable("this sandbox has an agent of before, which cannot be asked for changes")
        found: Many[WatchEvent] = []
        async with self._deadline():
            if not self._over:
                self._marks += 1
                await self._channel.send(_MARK)
            while self._marks and not self._over and len(found) < limit:
                if (event := await self._next()) is not None:
                    found.append(event)
        return found

    @property
    def over(self) -> bool:
        """Whether the path itself has gone, and no more can come."""
        return self._over

    async def _next(self) -> WatchEvent | None:
        """None for a mark, and at the end."""
        frame = await self._channel.receive()
        if frame.kind is FrameType.REPLY and frame.final:
            self._over = True
            return None
        with self._distrusting():
            if frame.kind is not FrameType.ENTRY:
                raise GuestError("the guest agent sent no event")
            if self._marks and frame.payload[:1] == _MARK:
                self._marks -= 1
                return None
            return read_event(Reader(frame.payload))

    def let_sleep(self, may: bool, /) -> None:
        """Whether the sandbox may stand still though the watch stands. At first it may not."""
        self._link.let_sleep(self._channel, may)

    def drop(self) -> None:
        """Idempotent."""
        self._channel.drop()

    async def close(self) -> None:
        self.drop()

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class GuestFiles(Caller):
    """The file calls of a GuestAgent.

    A path that does not start with "/" starts at the user's home. ``user`` None is root; else everything
    happens with that user's permissions. Raises NotFound, PermissionDenied, Conflict, NotEnoughSpace, and
    InvalidArgument for what can never be a path or user.
    """

    _version: int

    async def stat(
        self, path: str, *, user: str | None = None, follow: bool = True, resolve: bool = False
    ) -> FileInfo:
        """``resolve``: of what a link leads to, and by its own path, the one without links."""
        return await self._info(FrameType.STAT, _path(path, user).u8(2 if resolve else follow))

    async def list(self, path: str, *, depth: int = 1, user: str | None = None) -> list[FileInfo]:
        """The entries of a folder, ``depth`` levels down, by path.

        LimitExceeded above 100,000 entries or 32 MiB of them.
        """
        payload = _path(path, user).u32(max(1, min(depth, KEEP))).done()
        async with self._deadline(LONG_TIMEOUT):
            with self._link.open(FrameType.LIST, payload, window=DATA_WINDOW) as channel:
                found = await self._listed(channel)
        found.sort(key=lambda info: info.path)
        return found

    async def _listed(self, channel: Channel) -> Many[FileInfo]:
        found: Many[FileInfo] = []
        size = 0
        while True:
            async with self._deadline():
                frame = await channel.receive()
            if frame.kind is FrameType.REPLY and frame.final:
                return found
            size += len(frame.payload)
            if size > MAX_LIST_BYTES:
                raise LimitExceeded(f"the list has more than {MAX_LIST_BYTES} bytes: list a smaller part")
            with self._distrusting():
                if frame.kind is not FrameType.ENTRY:
                    raise GuestError("the guest agent sent no list")
                reader = Reader(frame.payload)
                while reader.more:
                    found.append(read_info(reader))
                if len(found) > MAX_ENTRIES:
                    raise GuestError("the guest agent sent a list without end")

    async def read(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a regular file, at most 256 KiB at a time; read only as fast as they are taken.

        ``length`` None is all of it. Errors come with the first piece.
        """
        payload = _path(path, user).u64(_size(offset)).u64(WHOLE if length is None else _size(length)).done()
        left = WHOLE if length is None else length
        with self._link.open(FrameType.READ, payload, window=DATA_WINDOW) as channel:
            await self._opened(channel)
            while True:
                async with self._deadline():
                    frame = await channel.receive()
                if frame.kind is FrameType.REPLY and frame.final:
                    return
                left -= len(frame.payload)
                if frame.kind is not FrameType.DATA or left < 0:
                    raise self._link.fail(GuestError("the guest agent sent something else than the file"))
                yield frame.payload

    async def write(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        mode: int | None = None,
        owner: str | None = None,
        user: str | None = None,
        make_parents: bool = True,
    ) -> FileInfo:
        """Write a file whole or not at all: a temporary one beside it replaces it at the end.

        Without ``mode`` and ``owner`` a file that is replaced keeps its own. ``owner`` is "user",
        "user:group" or numbers. Cancelled, or when ``chunks`` raises, nothing is left behind.
        """
        request = _path(path, user).text(owner or "", "the owner").u32(_mode(mode)).u8(make_parents)
        with self._link.open(FrameType.WRITE, request.done()) as channel:
            async for chunk in chunks:
                async with self._deadline():
                    await channel.send(chunk)
                if channel.finished:
                    break
            channel.end()
            async with self._deadline(LONG_TIMEOUT):
                reader = Reader(await channel.reply())
        return self._read_info(reader)

    async def mkdir(
        self,
        path: str,
        *,
        mode: int = 0o755,
        parents: bool = True,
        owner: str | None = None,
        user: str | None = None,
    ) -> bool:
        """Make a folder. False when it was there. Conflict when a file is in its place.

        ``owner``: of it and of the parents made, as in :meth:`write`.
        """
        request = _path(path, user).u32(_mode(mode)).u8(parents).text(owner or "", "the owner")
        reader = await self._call(FrameType.MKDIR, request.done())
        with self._distrusting():
            return bool(reader.u8())

    async def move(
        self,
        source: str,
        target: str,
        *,
        overwrite: bool = True,
        owner: str | None = None,
        user: str | None = None,
    ) -> FileInfo:
        """Rename; across file systems copy and remove. Conflict when ``target`` may not be replaced.

        ``owner``: of the folders made above ``target``.
        """
        request = _path(source, user).text(target, "the path").u8(overwrite).text(owner or "", "the owner")
        return await self._info(FrameType.MOVE, request, timeout=LONG_TIMEOUT)

    async def copy(self, source: str, target: str, *, user: str | None = None) -> FileInfo:
        """Copy a file, or a folder with all below it. Conflict when ``target`` is a folder."""
        request = _path(source, user).text(target, "the path")
        return await self._info(FrameType.COPY, request, timeout=LONG_TIMEOUT)

    async def remove(self, path: str, *, recursive: bool = True, user: str | None = None) -> None:
        """NotFound when there is none; Conflict for a folder that is not empty unless ``recursive``."""
        await self._call(FrameType.REMOVE, _path(path, user).u8(recursive).done(), timeout=LONG_TIMEOUT)

    async def chmod(self, path: str, mode: int, *, user: str | None = None) -> FileInfo:
        return await self._info(FrameType.CHMOD, _path(path, user).u32(_mode(mode)))

    async def chown(self, path: str, owner: str, *, user: str | None = None) -> FileInfo:
        """``owner`` is "user", "user:group", ":group" or numbers."""
        return await self._info(FrameType.CHOWN, _path(path, user).text(owner, "the owner"))

    async def watch(
        self, path: str, *, recursive: bool = False, user: str | None = None
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes in a folder, or of a file. Ends when the path itself is removed or renamed.

        Whoever must know from which moment on nothing is missed uses :meth:`watching`. What appears in a new
        folder before it is watched itself may be told twice.
        """
        async with await self.watching(path, recursive=recursive, user=user) as events:
            async for event in events:
                yield event

    async def watching(self, path: str, *, recursive: bool = False, user: str | None = None) -> Watch:
        """As :meth:`watch`, but returns only when the watch stands. The caller closes it."""
        payload = _path(path, user).u8(recursive).done()
        channel = await self._open_stream(FrameType.WATCH, payload, window=WATCH_WINDOW, timeout=LONG_TIMEOUT)
        return Watch(self._link, channel, takes_marks=self._version >= 3)

    async def read_tree(
        self, path: str, *, user: str | None = None
    ) -> AsyncGenerator[TreeEntry | bytes, None]:
        """A whole folder, itself first (path ""): each entry, after a file's exactly ``size`` bytes.

        What changes meanwhile is cut or filled with zeros. Sockets and devices are left out.
        """
        with self._link.open(FrameType.READ_TREE, _path(path, user).done(), window=DATA_WINDOW) as channel:
            await self._opened(channel)
            due = 0
            while True:
                async with self._deadline():
                    frame = await channel.receive()
                with self._distrusting():
                    if frame.kind is FrameType.DATA and len(frame.payload) <= due:
                        due -= len(frame.payload)
                        item: TreeEntry | bytes = frame.payload
                    elif due or frame.kind not in (FrameType.ENTRY, FrameType.REPLY):
                        raise GuestError("the guest agent sent a file of another size than it said")
                    elif frame.kind is FrameType.REPLY:
                        return
                    else:
                        item = entry = read_entry(Reader(frame.payload))
                        due = entry.size if entry.kind == "file" else 0
                yield item

    async def write_tree(
        self, path: str, items: AsyncIterator[TreeEntry | bytes], *, user: str | None = None
    ) -> int:
        """Write entries, each file followed by exactly ``size`` bytes, into a folder, made where missing.

        Returns how many there were. Each file appears whole or not at all; after an error those before
        it stay.
        """
        with self._link.open(FrameType.WRITE_TREE, _path(path, user).done()) as channel:
            async for item in items:
                async with self._deadline():
                    if isinstance(item, TreeEntry):
                        await channel.send_whole(FrameType.ENTRY, encode_entry(item))
                    else:
                        await channel.send(item)
                if channel.finished:
                    break
            channel.end()
            async with self._deadline(LONG_TIMEOUT):
                reader = Reader(await channel.reply())
        with self._distrusting():
            return reader.u32()

    async def _opened(self, channel: Channel) -> None:
        async with self._deadline():
            await channel.opened()

    async def _info(self, kind: FrameType, request: Writer, *, timeout: float = CALL_TIMEOUT) -> FileInfo:
        return self._read_info(await self._call(kind, request.done(), timeout=timeout))

    def _read_info(self, reader: Reader) -> FileInfo:
        with self._distrusting():
            info = read_info(reader)
            reader.end()
            return info


def read_info(reader: Reader) -> FileInfo:
    kind = _KINDS.get(reader.u8())
    size, mode, uid, gid, mtime = reader.u64(), reader.u32(), reader.u32(), reader.u32(), reader.i64()
    if kind is None or size > MAX_SIZE:
        raise GuestError("the guest agent sent a file of no known kind or of an impossible size")
    path, owner, group = reader.text(), reader.text(), reader.text()
    has_target, target = reader.u8(), reader.text()
    return FileInfo(
        path=path,
        name=path.rpartition("/")[2] or path,
        kind=kind,
        size=size,
        mode=mode & 0o7777,
        uid=uid,
        gid=gid,
        owner=owner,
        group=group,
        mtime=mtime / 1e9,
        target=target if has_target else None,
    )


def read_event(reader: Reader) -> WatchEvent:
    kind, is_dir, path = _EVENTS.get(reader.u8()), bool(reader.u8()), reader.text()
    reader.end()
    if kind is None:
        raise GuestError("the guest agent sent an unknown event")
    return WatchEvent(kind, path, is_dir)


def read_entry(reader: Reader) -> TreeEntry:
    kind = _KINDS.get(reader.u8())
    mode, size, uid, gid, mtime = reader.u32(), reader.u64(), reader.u32(), reader.u32(), reader.i64()
    if kind is None or kind == "other" or size > MAX_SIZE:
        raise GuestError("the guest agent sent an entry of no known kind or of an impossible size")
    path, target = reader.text(), reader.text()
    reader.end()
    # It becomes a name in an archive on somebody's own machine.
    if path.startswith("/") or ".." in path.split("/") or "\0" in path or "\0" in target:
        raise GuestError("the guest agent sent a path that leads out of its folder")
    link = target if kind == "symlink" else None
    return TreeEntry(path, kind, mode & 0o7777, size, uid, gid, mtime / 1e9, link)


def encode_entry(entry: TreeEntry) -> bytes:
    if entry.kind == "other":
        raise InvalidArgument(f"not a file, folder or link: {entry.path}")
    writer = Writer().u8(_KIND_NUMBERS[entry.kind]).u32(entry.mode & 0o7777).u64(_size(entry.size))
    writer.u32(KEEP if entry.uid is None else entry.uid).u32(KEEP if entry.gid is None else entry.gid)
    writer.i64(KEEP_TIME if entry.mtime is None else _nanoseconds(entry.mtime))
    return writer.text(entry.path, "the path").text(entry.target or "", "the link's target").done()


def _path(path: str, user: str | None) -> Writer:
    if not path:
        raise InvalidArgument("an empty path names nothing")
    return Writer().text(user or "", "the user").text(path, "the path")


def _size(value: int) -> int:
    if not 0 <= value < 1 << 63:
        raise InvalidArgument(f"an offset or length is 0 or more, not {value}")
    return value


def _nanoseconds(time: float) -> int:
    if not abs(time) < MAX_TIME:
        raise InvalidArgument(f"a time is within {MAX_TIME:g} s of 1970, not {time:g}")
    return int(time * 1e9)


def _mode(mode: int | None) -> int:
    if mode is None:
        return KEEP
    if not 0 <= mode <= 0o7777:
        raise InvalidArgument(f"a mode is 0 to 0o7777, not {mode:#o}")
    return mode
