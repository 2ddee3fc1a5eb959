# Generated from ../_async/files.py by script/generate-sync: change that file, not this one.
"""Files in a sandbox."""

from __future__ import annotations

import builtins
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from sandlot.sdk import _wire
from sandlot.sdk._errors import NotFoundError, ServerUnavailableError
from sandlot.sdk._models import FileInfo, WatchEvent
from sandlot.sdk._sio import Body, chunks, content, feed, run
from sandlot.sdk._tar import PulledFile, pack, read_local, unpack, write_local

from ._api import Api, Events


class Watch:
    """Changes under a path, from the moment the ``with`` block is entered.

    Made by ``sandbox.files.watch``.
    """

    def __init__(self, api: Api, path: str, params: dict[str, object]) -> None:
        self._api = api
        self._path = path
        self._params = params
        self._events: Events | None = None

    def __enter__(self) -> Self:
        self._events = self._api.events("GET", self._path, params=self._params)
        first = self._events.next()
        if first is None:
            self._events.close()
            raise ServerUnavailableError("the server closed the connection before the watch had started")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._events is not None:
            self._events.close()

    def __iter__(self) -> Iterator[WatchEvent]:
        return self

    def __next__(self) -> WatchEvent:
        """The next change.

        Raises ServerUnavailableError when the connection is lost; changes may have been missed then.
        """
        if self._events is None:
            raise RuntimeError(
                "a watch is used as a context manager: `with sandbox.files.watch(...) as events`"
            )
        event = self._events.next()
        if event is None:
            raise ServerUnavailableError("the watch ended: the server closed the connection")
        return WatchEvent._of(event)


class Files:
    """The files of one sandbox: ``sandbox.files``.

    Paths are the sandbox's, relative ones from the user's home. Every method takes ``user``: the name or
    number of the user whose rights count, the template's user if not given. Besides what is named at each
    method, all raise NotFoundError (no such path), PermissionDeniedError, SandboxGoneError and
    ServerUnavailableError.
    """

    def __init__(self, api: Api, sandbox_id: str) -> None:
        self._api = api
        self._sandbox_id = sandbox_id

    def read(self, path: str, *, user: str | None = None) -> str:
        """The file as text, in UTF-8. The same as ``read_text(path)``.

        Example:
            ```python
            sandbox.files.write("hello.txt", "hello")
            assert sandbox.files.read("hello.txt") == "hello"
            ```
        """
        return self.read_text(path, user=user)

    def read_text(
        self, path: str, *, encoding: str = "utf-8", errors: str = "strict", user: str | None = None
    ) -> str:
        """The file as text. Raises UnicodeDecodeError where it is not, unless ``errors`` says otherwise.

        Example:
            ```python
            sandbox.files.write("latin.txt", "café".encode("latin-1"))
            assert sandbox.files.read_text("latin.txt", encoding="latin-1") == "café"
            ```
        """
        return (self.read_bytes(path, user=user)).decode(encoding, errors)

    def read_bytes(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> bytes:
        """The file's bytes, from ``offset`` on and at most ``length`` of them. ``stream`` is for large ones.

        Example:
            ```python
            sandbox.files.write("data.bin", bytes(range(10)))
            assert sandbox.files.read_bytes("data.bin", offset=4, length=2) == b"\\x04\\x05"
            ```
        """
        params = {"path": path, "offset": offset or None, "length": length, "user": user}
        return (self._api.request("GET", self._route("files"), params=params)).content

    def stream(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> Generator[bytes]:
        """The file's bytes in pieces, as they come; nothing is kept, so any size will do.

        Example:
            ```python
            sandbox.files.write("big.bin", b"x" * 1_000_000)
            size = 0
            for chunk in sandbox.files.stream("big.bin"):
                size += len(chunk)
            assert size == 1_000_000
            ```
        """
        params = {"path": path, "offset": offset or None, "length": length, "user": user}
        with closing(self._api.read(self._route("files"), params=params)) as data:
            yield from data

    def write(
        self,
        path: str,
        data: Body,
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
            info = sandbox.files.write("bin/run.sh", "#!/bin/sh\\necho hi\\n", mode=0o755)
            assert (sandbox.commands.run("bin/run.sh")).stdout == "hi\\n"
            assert info.size == 18
            ```
        """
        params = {"path": path, "mode": _wire.mode_text(mode), "owner": owner, "user": user}
        return FileInfo._of(self._put("files", params, data))

    def list(self, path: str = ".", *, depth: int = 1, user: str | None = None) -> builtins.list[FileInfo]:
        """What is in a folder, and in the folders in it down to ``depth`` levels.

        Example:
            ```python
            sandbox.files.write("src/main.py", "print()")
            assert [file.name for file in sandbox.files.list("src")] == ["main.py"]
            ```
        """
        params = {"path": path, "depth": depth, "user": user}
        answer = self._api.get(self._route("files", "list"), params)
        return [FileInfo._of(one) for one in answer["files"]]

    def stat(self, path: str, *, follow: bool = True, user: str | None = None) -> FileInfo:
        """What is at a path; with ``follow=False`` a link itself, not what it points to.

        Example:
            ```python
            sandbox.files.write("hello.txt", "hello")
            info = sandbox.files.stat("hello.txt")
            assert info.is_file and info.size == 5
            ```
        """
        params = {"path": path, "follow": follow, "user": user}
        return FileInfo._of(self._api.get(self._route("files", "stat"), params))

    def exists(self, path: str, *, user: str | None = None) -> bool:
        """Whether there is something at a path.

        Example:
            ```python
            assert sandbox.files.exists("/etc/passwd")
            assert not sandbox.files.exists("/nowhere")
            ```
        """
        try:
            self.stat(path, user=user)
        except NotFoundError as error:
            # A missing sandbox is not a missing file.
            if repr(self._sandbox_id) in error.message:
                raise
            return False
        return True

    def make_dir(
        self, path: str, *, mode: int = 0o755, parents: bool = True, user: str | None = None
    ) -> bool:
        """Make a folder, and with ``parents`` those above it. False when it was there already.

        Raises:
            ConflictError: something that is not a folder is there.

        Example:
            ```python
            assert sandbox.files.make_dir("a/b/c")
            assert not sandbox.files.make_dir("a/b/c")
            ```
        """
        body: dict[str, object] = {"path": path, "mode": _wire.mode_text(mode), "parents": parents}
        answer = self._post("mkdir", body, user)
        return bool(answer["made"])

    def move(self, source: str, target: str, *, overwrite: bool = True, user: str | None = None) -> FileInfo:
        """Rename a file or folder.

        Raises:
            ConflictError: with ``overwrite=False``, when the target exists.

        Example:
            ```python
            sandbox.files.write("old.txt", "x")
            assert (sandbox.files.move("old.txt", "new.txt")).name == "new.txt"
            ```
        """
        body: dict[str, object] = {"source": source, "target": target, "overwrite": overwrite}
        return FileInfo._of(self._post("move", body, user))

    def copy(self, source: str, target: str, *, user: str | None = None) -> FileInfo:
        """Copy a file, or a folder with all that is in it, inside the sandbox.

        Example:
            ```python
            sandbox.files.write("one.txt", "x")
            sandbox.files.copy("one.txt", "two.txt")
            assert sandbox.files.read("two.txt") == "x"
            ```
        """
        body: dict[str, object] = {"source": source, "target": target}
        return FileInfo._of(self._post("copy", body, user))

    def remove(self, path: str, *, recursive: bool = True, user: str | None = None) -> None:
        """Remove a file, or a folder; with ``recursive=False`` only an empty one.

        Example:
            ```python
            sandbox.files.write("gone.txt", "x")
            sandbox.files.remove("gone.txt")
            assert not sandbox.files.exists("gone.txt")
            ```
        """
        params = {"path": path, "recursive": recursive, "user": user}
        self._api.request("DELETE", self._route("files"), params=params)

    def watch(self, path: str, *, recursive: bool = False, user: str | None = None) -> Watch:
        """Watch a folder, and with ``recursive`` those in it, for changes.

        Example:
            ```python
            sandbox.files.make_dir("inbox")
            with sandbox.files.watch("inbox") as events:
                sandbox.files.write("inbox/new.txt", "x")
                for event in events:
                    if event.path.endswith("new.txt"):
                        break
            ```
        """
        params: dict[str, object] = {"path": path, "recursive": recursive, "user": user}
        return Watch(self._api, self._route("files", "watch"), params)

    def upload(self, local: str | os.PathLike[str], path: str, *, user: str | None = None) -> None:
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
                sandbox.files.upload(folder, "project")
            assert sandbox.files.read("project/data.csv") == "a,b\\n1,2\\n"
            ```
        """
        source = Path(local)
        if run(source.is_dir):
            self._put("archive", {"path": path, "user": user}, chunks(pack(source)))
            return
        mode = (run(source.stat)).st_mode
        params = {"path": path, "mode": _wire.mode_text(mode & 0o777), "user": user}
        self._put("files", params, chunks(read_local(source)))

    def download(self, path: str, local: str | os.PathLike[str], *, user: str | None = None) -> Path:
        """Copy a file to ``local``, or the contents of a folder into ``local``. Returns where it is.

        It is streamed: size does not matter. What a sandbox holds is not trusted: names and links that would
        lead out of ``local`` are refused, and so are devices.

        Raises:
            UnsafeArchiveError: entries of the folder were refused; the others have been written.
            OSError: it cannot be written here.

        Example:
            ```python
            import tempfile

            sandbox.files.write("out/result.json", "{}")
            with tempfile.TemporaryDirectory() as folder:
                target = sandbox.files.download("out", folder)
                assert (target / "result.json").read_text() == "{}"
            ```
        """
        target = Path(local)
        info = self.stat(path, user=user)
        params: dict[str, object] = {"path": path, "user": user}

        def unpacked(stream: PulledFile) -> object:
            return unpack(stream, target)

        def written(stream: PulledFile) -> object:
            return write_local(stream, target)

        route = self._route("archive" if info.is_dir else "files")
        data = self._api.read(route, params=params)
        with closing(data):
            feed(data, unpacked if info.is_dir else written)
        return target

    def _route(self, *parts: str) -> str:
        return _wire.path("sandboxes", self._sandbox_id, *parts)

    def _put(self, what: str, params: dict[str, str | None], data: Body) -> dict[str, object]:
        answer = self._api.request(
            "PUT", self._route(what), params=params, content=content(data), timeout=_wire.ARCHIVE_TIMEOUT
        )
        body: dict[str, object] = answer.json()
        return body

    def _post(self, what: str, body: dict[str, object], user: str | None) -> dict[str, object]:
        answer = self._api.request(
            "POST",
            self._route("files", what),
            params={"user": user},
            json=body,
            timeout=_wire.ARCHIVE_TIMEOUT,
        )
        result: dict[str, object] = answer.json()
        return result
