"""Files in a sandbox."""

from __future__ import annotations

import builtins
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from sandlot.sdk import _wire
from sandlot.sdk._aio import AsyncBody, chunks, content, feed, run
from sandlot.sdk._errors import NotFoundError, ServerUnavailableError
from sandlot.sdk._models import FileInfo, WatchEvent
from sandlot.sdk._tar import PulledFile, pack, read_local, unpack, write_local

from ._api import AsyncApi, AsyncEvents


class AsyncWatch:
    """Changes under a path, from the moment the ``with`` block is entered.

    Made by ``sandbox.files.watch``.
    """

    def __init__(self, api: AsyncApi, path: str, params: dict[str, object]) -> None:
        self._api = api
        self._path = path
        self._params = params
        self._events: AsyncEvents | None = None

    async def __aenter__(self) -> Self:
        self._events = await self._api.events("GET", self._path, params=self._params)
        first = await self._events.next()
        if first is None:
            await self._events.close()
            raise ServerUnavailableError("the server closed the connection before the watch had started")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._events is not None:
            await self._events.close()

    def __aiter__(self) -> AsyncIterator[WatchEvent]:
        return self

    async def __anext__(self) -> WatchEvent:
        """The next change.

        Raises ServerUnavailableError when the connection is lost; changes may have been missed then.
        """
        if self._events is None:
            raise RuntimeError(
                "a watch is used as a context manager: `with sandbox.files.watch(...) as events`"
            )
        event = await self._events.next()
        if event is None:
            raise ServerUnavailableError("the watch ended: the server closed the connection")
        return WatchEvent._of(event)


class AsyncFiles:
    """The files of one sandbox: ``sandbox.files``.

    Paths are the sandbox's, relative ones from the user's home. Every method takes ``user``: the name or
    number of the user whose rights count, the template's user if not given. Besides what is named at each
    method, all raise NotFoundError (no such path), PermissionDeniedError, SandboxGoneError and
    ServerUnavailableError.
    """

    def __init__(self, api: AsyncApi, sandbox_id: str) -> None:
        self._api = api
        self._sandbox_id = sandbox_id

    async def read(self, path: str, *, user: str | None = None) -> str:
        """The file as text, in UTF-8. The same as ``read_text(path)``.

        Example:
            ```python
            await sandbox.files.write("hello.txt", "hello")
            assert await sandbox.files.read("hello.txt") == "hello"
            ```
        """
        return await self.read_text(path, user=user)

    async def read_text(
        self, path: str, *, encoding: str = "utf-8", errors: str = "strict", user: str | None = None
    ) -> str:
        """The file as text. Raises UnicodeDecodeError where it is not, unless ``errors`` says otherwise.

        Example:
            ```python
            await sandbox.files.write("latin.txt", "café".encode("latin-1"))
            assert await sandbox.files.read_text("latin.txt", encoding="latin-1") == "café"
            ```
        """
        return (await self.read_bytes(path, user=user)).decode(encoding, errors)

    async def read_bytes(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> bytes:
        """The file's bytes, from ``offset`` on and at most ``length`` of them. ``stream`` is for large ones.

        Example:
            ```python
            await sandbox.files.write("data.bin", bytes(range(10)))
            assert await sandbox.files.read_bytes("data.bin", offset=4, length=2) == b"\\x04\\x05"
            ```
        """
        params = {"path": path, "offset": offset or None, "length": length, "user": user}
        return (await self._api.request("GET", self._route("files"), params=params)).content

    async def stream(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> AsyncGenerator[bytes]:
        """The file's bytes in pieces, as they come; nothing is kept, so any size will do.

        Example:
            ```python
            await sandbox.files.write("big.bin", b"x" * 1_000_000)
            size = 0
            async for chunk in sandbox.files.stream("big.bin"):
                size += len(chunk)
            assert size == 1_000_000
            ```
        """
        params = {"path": path, "offset": offset or None, "length": length, "user": user}
        async with aclosing(self._api.read(self._route("files"), params=params)) as data:
            async for chunk in data:
                yield chunk

    async def write(
        self,
        path: str,
        data: AsyncBody,
        *,
        mode: int | None = None,
        owner: str | None = None,
        user: str | None = None,
    ) -> FileInfo:
        """Write a file, making the folders above it. Readers see the old file or the new one, never a part.

        Args:
            path: where to.
            data: text, bytes, an open file, or an iterable of bytes; the last two are sent as they are read.
            mode: permission bits, such as ``0o755``. A file that is replaced keeps its own if not given.
            owner: who shall own it, a name or number.
            user: whose rights count.

        Raises:
            NotEnoughSpaceError: the sandbox's disk is full.

        Example:
            ```python
            info = await sandbox.files.write("bin/run.sh", "#!/bin/sh\\necho hi\\n", mode=0o755)
            assert (await sandbox.commands.run("bin/run.sh")).stdout == "hi\\n"
            assert info.size == 18
            ```
        """
        params = {"path": path, "mode": _wire.mode_text(mode), "owner": owner, "user": user}
        return FileInfo._of(await self._put("files", params, data))

    async def list(
        self, path: str = ".", *, depth: int = 1, user: str | None = None
    ) -> builtins.list[FileInfo]:
        """What is in a folder, and in the folders in it down to ``depth`` levels.

        Example:
            ```python
            await sandbox.files.write("src/main.py", "print()")
            assert [file.name for file in await sandbox.files.list("src")] == ["main.py"]
            ```
        """
        params = {"path": path, "depth": depth, "user": user}
        answer = await self._api.get(self._route("files", "list"), params)
        return [FileInfo._of(one) for one in answer["files"]]

    async def stat(self, path: str, *, follow: bool = True, user: str | None = None) -> FileInfo:
        """What is at a path; with ``follow=False`` a link itself, not what it points to.

        Example:
            ```python
            await sandbox.files.write("hello.txt", "hello")
            info = await sandbox.files.stat("hello.txt")
            assert info.is_file and info.size == 5
            ```
        """
        params = {"path": path, "follow": follow, "user": user}
        return FileInfo._of(await self._api.get(self._route("files", "stat"), params))

    async def exists(self, path: str, *, user: str | None = None) -> bool:
        """Whether there is something at a path.

        Example:
            ```python
            assert await sandbox.files.exists("/etc/passwd")
            assert not await sandbox.files.exists("/nowhere")
            ```
        """
        try:
            await self.stat(path, user=user)
        except NotFoundError as error:
            # A missing sandbox is not a missing file.
            if repr(self._sandbox_id) in error.message:
                raise
            return False
        return True

    async def make_dir(
        self, path: str, *, mode: int = 0o755, parents: bool = True, user: str | None = None
    ) -> bool:
        """Make a folder, and with ``parents`` those above it. False when it was there already.

        Raises:
            ConflictError: something that is not a folder is there.

        Example:
            ```python
            assert await sandbox.files.make_dir("a/b/c")
            assert not await sandbox.files.make_dir("a/b/c")
            ```
        """
        body: dict[str, object] = {"path": path, "mode": _wire.mode_text(mode), "parents": parents}
        answer = await self._post("mkdir", body, user)
        return bool(answer["made"])

    async def move(
        self, source: str, target: str, *, overwrite: bool = True, user: str | None = None
    ) -> FileInfo:
        """Rename a file or folder.

        Raises:
            ConflictError: with ``overwrite=False``, when the target exists.

        Example:
            ```python
            await sandbox.files.write("old.txt", "x")
            assert (await sandbox.files.move("old.txt", "new.txt")).name == "new.txt"
            ```
        """
        body: dict[str, object] = {"source": source, "target": target, "overwrite": overwrite}
        return FileInfo._of(await self._post("move", body, user))

    async def copy(self, source: str, target: str, *, user: str | None = None) -> FileInfo:
        """Copy a file, or a folder with all that is in it, inside the sandbox.

        Example:
            ```python
            await sandbox.files.write("one.txt", "x")
            await sandbox.files.copy("one.txt", "two.txt")
            assert await sandbox.files.read("two.txt") == "x"
            ```
        """
        body: dict[str, object] = {"source": source, "target": target}
        return FileInfo._of(await self._post("copy", body, user))

    async def remove(self, path: str, *, recursive: bool = True, user: str | None = None) -> None:
        """Remove a file, or a folder; with ``recursive=False`` only an empty one.

        Example:
            ```python
            await sandbox.files.write("gone.txt", "x")
            await sandbox.files.remove("gone.txt")
            assert not await sandbox.files.exists("gone.txt")
            ```
        """
        params = {"path": path, "recursive": recursive, "user": user}
        await self._api.request("DELETE", self._route("files"), params=params)

    def watch(self, path: str, *, recursive: bool = False, user: str | None = None) -> AsyncWatch:
        """Watch a folder, and with ``recursive`` those in it, for changes.

        Example:
            ```python
            await sandbox.files.make_dir("inbox")
            async with sandbox.files.watch("inbox") as events:
                await sandbox.files.write("inbox/new.txt", "x")
                async for event in events:
                    if event.path.endswith("new.txt"):
                        break
            ```
        """
        params: dict[str, object] = {"path": path, "recursive": recursive, "user": user}
        return AsyncWatch(self._api, self._route("files", "watch"), params)

    async def upload(self, local: str | os.PathLike[str], path: str, *, user: str | None = None) -> None:
        """Copy a file of this machine to ``path``, or the contents of a folder into ``path``.

        It is streamed: size does not matter. Links in a folder stay links; sockets and devices are left out.

        Raises:
            FileNotFoundError: there is nothing at ``local``.
            NotEnoughSpaceError: the sandbox's disk is full.

        Example:
            ```python
            import pathlib, tempfile

            with tempfile.TemporaryDirectory() as folder:
                pathlib.Path(folder, "data.csv").write_text("a,b\\n1,2\\n")
                await sandbox.files.upload(folder, "project")
            assert await sandbox.files.read("project/data.csv") == "a,b\\n1,2\\n"
            ```
        """
        source = Path(local)
        if await run(source.is_dir):
            await self._put("archive", {"path": path, "user": user}, chunks(pack(source)))
            return
        mode = (await run(source.stat)).st_mode
        params = {"path": path, "mode": _wire.mode_text(mode & 0o777), "user": user}
        await self._put("files", params, chunks(read_local(source)))

    async def download(self, path: str, local: str | os.PathLike[str], *, user: str | None = None) -> Path:
        """Copy a file to ``local``, or the contents of a folder into ``local``. Returns where it is.

        It is streamed: size does not matter. What a sandbox holds is not trusted: names and links that would
        lead out of ``local`` are refused, and so are devices.

        Raises:
            UnsafeArchiveError: entries of the folder were refused; the others have been written.
            OSError: it cannot be written here.

        Example:
            ```python
            import tempfile

            await sandbox.files.write("out/result.json", "{}")
            with tempfile.TemporaryDirectory() as folder:
                target = await sandbox.files.download("out", folder)
                assert (target / "result.json").read_text() == "{}"
            ```
        """
        target = Path(local)
        info = await self.stat(path, user=user)
        params: dict[str, object] = {"path": path, "user": user}

        def unpacked(stream: PulledFile) -> object:
            return unpack(stream, target)

        def written(stream: PulledFile) -> object:
            return write_local(stream, target)

        route = self._route("archive" if info.is_dir else "files")
        data = self._api.read(route, params=params)
        async with aclosing(data):
            await feed(data, unpacked if info.is_dir else written)
        return target

    def _route(self, *parts: str) -> str:
        return _wire.path("sandboxes", self._sandbox_id, *parts)

    async def _put(self, what: str, params: dict[str, str | None], data: AsyncBody) -> dict[str, object]:
        answer = await self._api.request(
            "PUT", self._route(what), params=params, content=content(data), timeout=_wire.ARCHIVE_TIMEOUT
        )
        body: dict[str, object] = answer.json()
        return body

    async def _post(self, what: str, body: dict[str, object], user: str | None) -> dict[str, object]:
        answer = await self._api.request(
            "POST",
            self._route("files", what),
            params={"user": user},
            json=body,
            timeout=_wire.ARCHIVE_TIMEOUT,
        )
        result: dict[str, object] = answer.json()
        return result
