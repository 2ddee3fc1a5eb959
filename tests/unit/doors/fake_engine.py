"""An engine whose sandboxes are in memory: it records what it is asked, and does what a test tells it to."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sandlot.core.history import Sample
from sandlot.core.interpreter import CodeEvent, Context
from sandlot.core.known import KnownCommand, KnownCommands
from sandlot.core.lifecycle import State
from sandlot.core.limits import Limits
from sandlot.core.model import (
    CreateSandbox,
    CreateSnapshot,
    Event,
    Fork,
    GuestConfig,
    ListQuery,
    Metrics,
    Page,
    Sandbox,
    Snapshot,
    StartCommand,
)
from sandlot.errors import Conflict, InvalidArgument, NotFound, SandboxGone, SandlotError
from sandlot.node import Finding, HostReport, Tier, TierStatus
from sandlot.node.agent import Exit, FileInfo, Output, ProcessInfo, TreeEntry, WatchEvent
from sandlot.store import Tenant

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ID = "sb" + "a" * 20
ENDED = "sb" + "b" * 20
UNKNOWN = "sb" + "c" * 20


def sandbox(id: str = ID, **changes: Any) -> Sandbox:
    made = Sandbox(
        id=id,
        tenant="default",
        template="base",
        template_id="base-1",
        isolation=Tier.GVISOR,
        state=State.RUNNING,
        reason=None,
        cpus=1.0,
        memory_mib=1024,
        disk_mib=10240,
        pids=512,
        internet=True,
        hostname=id,
        env={},
        metadata={},
        guest=GuestConfig("user", "/home/user", {}, {}),
        created_at=NOW,
        started_at=NOW,
        deadline=NOW + timedelta(seconds=300),
    )
    return replace(made, **changes)


def snapshot(**changes: Any) -> Snapshot:
    made = Snapshot(
        id="sn" + "a" * 20,
        tenant="default",
        name=None,
        sandbox_id=ID,
        memory=True,
        created_at=NOW,
        expires_at=None,
        size_bytes=2000,
        stored_bytes=1000,
        template="base",
        template_id="base-1",
        isolation=Tier.GVISOR,
        cpus=1.0,
        memory_mib=1024,
        disk_mib=10240,
        pids=512,
        internet=True,
        env={"SECRET": "of the sandbox"},
        guest=GuestConfig("user", "/home/user", {}, {}),
    )
    return replace(made, **changes)


class FakeProcess:
    """Give it items with ``put``; an exception among them is raised."""

    def __init__(self, id: int, request: StartCommand) -> None:
        self.id = id
        self.pid = 100 + id
        self.request = request
        self.items: asyncio.Queue[Output | Exit | Exception] = asyncio.Queue()
        self.taken = 0
        self.closed = asyncio.Event()
        self.ended = False

    def put(self, *items: Output | Exit | Exception) -> None:
        for item in items:
            self.items.put_nowait(item)

    def __aiter__(self) -> AsyncIterator[Output | Exit]:
        return self

    async def __anext__(self) -> Output | Exit:
        if self.ended:
            raise StopAsyncIteration
        item = await self.items.get()
        self.taken += 1
        if isinstance(item, Exception):
            raise item
        self.ended = isinstance(item, Exit)
        return item

    async def close(self) -> None:
        self.closed.set()

    @property
    def info(self) -> ProcessInfo:
        return ProcessInfo(
            id=self.id,
            pid=self.pid,
            args=self.request.args or ["/bin/bash", "-c", self.request.command or ""],
            cwd=self.request.cwd or "/home/user",
            user=self.request.user or "user",
            tag=self.request.tag,
            pty=self.request.terminal is not None,
            started_at=NOW.timestamp(),
            running=not self.ended,
            exit=Exit(0) if self.ended else None,
            stdout_end=0,
            stderr_end=0,
        )


class FakeWatch:
    def __init__(self, changes: asyncio.Queue[WatchEvent], closed: asyncio.Event) -> None:
        self._changes = changes
        self._closed = closed

    def __aiter__(self) -> AsyncIterator[WatchEvent]:
        return self

    async def __anext__(self) -> WatchEvent:
        return await self._changes.get()

    async def close(self) -> None:
        self._closed.set()


class FakeAgent:
    def __init__(self, live: FakeLive) -> None:
        self._live = live
        self.files: dict[str, bytes] = {}
        self.odd: dict[str, str] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.stdin: dict[int, bytearray] = {}
        self.stdin_closed: set[int] = set()
        self.stdin_gate = asyncio.Event()
        self.stdin_gate.set()
        self.changes: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self.watch_closed = asyncio.Event()
        self.read_closed = asyncio.Event()
        self.short_by = 0
        self.tree: list[TreeEntry | bytes | Exception] = []
        self.written_tree: list[TreeEntry | bytes] = []
        self.aborted_write: BaseException | None = None

    def info(self, path: str) -> FileInfo:
        if path not in self.files and path not in self.odd:
            raise NotFound(f"{path} does not exist")
        return FileInfo(
            path=path,
            name=posixpath.basename(path),
            kind=self.odd.get(path, "file"),  # type: ignore[arg-type]
            size=len(self.files.get(path, b"")),
            mode=0o644,
            uid=1000,
            gid=1000,
            owner="user",
            group="user",
            mtime=1.5,
        )

    async def attach(
        self, id: int, *, stdout_from: int | None = None, stderr_from: int | None = None
    ) -> FakeProcess:
        self.calls.append(("attach", id, stdout_from, stderr_from))
        return self._live.processes[id]

    async def write_stdin(self, id: int, data: bytes) -> None:
        await self.stdin_gate.wait()
        if id in self.stdin_closed:
            raise Conflict(f"the input of command {id} is closed")
        self.stdin.setdefault(id, bytearray()).extend(data)

    async def close_stdin(self, id: int) -> None:
        self.stdin_closed.add(id)

    async def signal(self, id: int, number: int, *, group: bool = True) -> None:
        self.calls.append(("signal", id, number, group))

    async def resize(self, id: int, rows: int, cols: int) -> None:
        self.calls.append(("resize", id, rows, cols))

    async def stat(self, path: str, *, user: str, follow: bool = True) -> FileInfo:
        self.calls.append(("stat", path, user, follow))
        return self.info(path)

    async def list(self, path: str, *, depth: int, user: str) -> list[FileInfo]:
        self.calls.append(("list", path, depth, user))
        return [self.info(name) for name in self.files]

    async def read(
        self, path: str, *, offset: int, length: int | None, user: str
    ) -> AsyncGenerator[bytes, None]:
        self.calls.append(("read", path, offset, length, user))
        data = self.files[path][offset:]
        data = data if length is None else data[:length]
        data = data[: len(data) - self.short_by]
        try:
            for start in range(0, len(data), 4):
                yield data[start : start + 4]
        finally:
            self.read_closed.set()

    async def write(
        self, path: str, chunks: AsyncIterator[bytes], *, mode: int | None, owner: str | None, user: str
    ) -> FileInfo:
        self.calls.append(("write", path, mode, owner, user))
        try:
            self.files[path] = b"".join([chunk async for chunk in chunks])
        except BaseException as error:
            self.aborted_write = error
            raise
        return self.info(path)

    async def mkdir(self, path: str, *, mode: int, parents: bool, user: str) -> bool:
        self.calls.append(("mkdir", path, mode, parents, user))
        return True

    async def move(self, source: str, target: str, *, overwrite: bool, user: str) -> FileInfo:
        if target in self.files and not overwrite:
            raise Conflict(f"{target} exists")
        self.files[target] = self.files.pop(source)
        return self.info(target)

    async def copy(self, source: str, target: str, *, user: str) -> FileInfo:
        self.files[target] = self.files[source]
        return self.info(target)

    async def remove(self, path: str, *, recursive: bool, user: str) -> None:
        self.info(path)
        self.calls.append(("remove", path, recursive, user))
        self.files.pop(path, None)

    async def watching(self, path: str, *, recursive: bool, user: str) -> FakeWatch:
        self.calls.append(("watching", path, recursive, user))
        self.info(path)
        return FakeWatch(self.changes, self.watch_closed)

    async def read_tree(self, path: str, *, user: str) -> AsyncGenerator[TreeEntry | bytes, None]:
        for item in self.tree:
            if isinstance(item, Exception):
                raise item
            yield item

    async def write_tree(self, path: str, items: AsyncIterator[TreeEntry | bytes], *, user: str) -> int:
        self.calls.append(("write_tree", path, user))
        async for item in items:
            self.written_tree.append(item)
        return sum(isinstance(item, TreeEntry) for item in self.written_tree)


class FakeInterpreter:
    def __init__(self) -> None:
        self.events: asyncio.Queue[CodeEvent | Exception | None] = asyncio.Queue()
        self.calls: list[tuple[Any, ...]] = []
        self.closed = asyncio.Event()
        self.known = [Context("python", "python", "/home/user")]

    async def run(
        self,
        code: str,
        *,
        context: str | None,
        language: str,
        env: dict[str, str],
        timeout: float | None = None,
    ) -> AsyncGenerator[CodeEvent, None]:
        self.calls.append(("run", code, context, language, env, timeout))
        try:
            if context is not None:
                self._find(context)
            while (event := await self.events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed.set()

    async def create_context(
        self, *, language: str, cwd: str | None, env: dict[str, str] | None = None
    ) -> Context:
        if language != "python":
            raise InvalidArgument(f"this template has no kernel for {language!r}; it has python")
        self.known.append(Context(f"ctx{len(self.known)}", language, cwd or "/home/user"))
        return self.known[-1]

    async def contexts(self) -> list[Context]:
        return self.known

    async def remove_context(self, id: str) -> None:
        self.known.remove(self._find(id))

    async def restart(self, id: str) -> None:
        self.calls.append(("restart", self._find(id).id))

    async def interrupt(self, id: str) -> None:
        self.calls.append(("interrupt", self._find(id).id))

    def _find(self, id: str) -> Context:
        for context in self.known:
            if context.id == id:
                return context
        raise NotFound(f"no context {id!r}")


class FakeLive:
    id = ID
    default_user = "user"

    def __init__(self) -> None:
        self.agent = FakeAgent(self)
        self.interpreter = FakeInterpreter()
        self.sandbox = sandbox()
        self.processes: dict[int, FakeProcess] = {}
        self.prepared: list[Output | Exit | Exception] = []
        self.memory = KnownCommands()

    def path(self, path: str, user: str | None = None) -> str:
        if not path or "\0" in path:
            raise InvalidArgument("path must not be empty and must not hold NUL")
        return posixpath.join("/root" if user == "root" else "/home/user", path)

    async def start_command(self, request: StartCommand) -> FakeProcess:
        if (request.command is None) == (request.args is None):
            raise InvalidArgument("give either command or args")
        process = FakeProcess(len(self.processes) + 1, request)
        process.put(*self.prepared)
        self.processes[process.id] = process
        return process

    async def close_stdin(self, id: int) -> None:
        await self.command(id)
        await self.agent.close_stdin(id)

    async def commands(self) -> list[ProcessInfo]:
        return [process.info for process in self.processes.values()]

    async def known(self, id: int) -> KnownCommand:
        info = await self.command(id)
        return KnownCommand(info.id, info.pid, info.pty)

    def remembered(self, pid: int) -> KnownCommand | None:
        return self.memory.by_pid(pid)

    async def command(self, id: int) -> ProcessInfo:
        if id not in self.processes:
            raise NotFound(f"no command {id}")
        return self.processes[id].info


class FakeEngine:
    """``failure``, where it is set, is raised by every use case."""

    def __init__(self) -> None:
        self.sandboxes = {
            ID: sandbox(),
            ENDED: sandbox(ENDED, state=State.KILLED, reason="its timeout ran out", ended_at=NOW),
        }
        self.lives = {ID: FakeLive()}
        self.failure: BaseException | None = None
        self.requests: list[Any] = []
        self.started = asyncio.Event()
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.start_failure: Exception | None = None
        self.stopping = False
        self.last_page = False
        self.killed: list[str] = []
        self.snapshots_by_name: dict[str, Snapshot] = {}
        self.forks: list[Fork] = []
        self.stopped = False

    @property
    def only(self) -> FakeLive:
        return self.lives[ID]

    async def start(self) -> None:
        self.started.set()
        await self.may_start.wait()
        if self.start_failure is not None:
            raise self.start_failure

    def begin_stop(self) -> None:
        self.stopping = True

    async def stop(self) -> None:
        self.stopped = True

    limits = Limits()

    def of(self, tenant: Tenant) -> FakeEngine:
        return self

    async def create(self, request: CreateSandbox) -> Sandbox:
        self._ask(request)
        return sandbox("sb" + "d" * 20, metadata=request.metadata, env=request.env)

    async def get(self, id: str) -> Sandbox:
        self._ask(id)
        if id not in self.sandboxes:
            raise NotFound(f"no sandbox has the id {id!r}")
        return self.sandboxes[id]

    async def list(self, query: ListQuery) -> Page[Sandbox]:
        self._ask(query)
        return Page([self.sandboxes[ID]], None if self.last_page else "next")

    async def kill(self, id: str, reason: str = "") -> bool:
        self.killed.append(id)
        return not (await self.get(id)).state.ended

    async def set_timeout(self, id: str, timeout_s: float | None) -> Sandbox:
        await self.live(id)
        deadline = None if timeout_s is None else NOW + timedelta(seconds=timeout_s)
        return replace(self.sandboxes[id], deadline=deadline)

    async def pause(self, id: str, *, memory: bool = True) -> Sandbox:
        self._ask(("pause", id, memory))
        return replace(
            self.sandboxes[id], state=State.PAUSED, depth="disk" if memory else "files", paused_at=NOW
        )

    async def resume(self, id: str, timeout_s: float | None = None) -> Sandbox:
        self._ask(("resume", id, timeout_s))
        return replace(self.sandboxes[id], generation=1)

    async def snapshot(self, id: str, request: CreateSnapshot) -> Snapshot:
        self._ask(("snapshot", id, request))
        return snapshot(sandbox_id=id, name=request.name)

    async def get_snapshot(self, id_or_name: str) -> Snapshot:
        self._ask(("get_snapshot", id_or_name))
        if id_or_name not in self.snapshots_by_name:
            raise NotFound(f"there is no snapshot {id_or_name!r}")
        return self.snapshots_by_name[id_or_name]

    async def snapshots(
        self, *, sandbox_id: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Snapshot]:
        self._ask(("snapshots", sandbox_id, limit, cursor))
        return Page(list(self.snapshots_by_name.values()), None if self.last_page else "next")

    async def delete_snapshot(self, id_or_name: str) -> bool:
        self._ask(("delete_snapshot", id_or_name))
        return self.snapshots_by_name.pop(id_or_name, None) is not None

    async def roll_back(self, id: str, snapshot: str) -> Sandbox:
        self._ask(("roll_back", id, snapshot))
        return replace(self.sandboxes[id], snapshot_id="sn" + "a" * 20, generation=2)

    async def fork(self, id: str, *, count: int = 1, timeout_s: float | None = 300.0) -> list[Fork]:
        self._ask(("fork", id, count, timeout_s))
        return self.forks

    async def expire(self, id: str) -> None:
        self._ask(("expire", id))

    async def extend(self, id: str, timeout_s: float) -> Sandbox:
        self._ask(("extend", timeout_s))
        return await self.set_timeout(id, timeout_s)

    async def history(
        self, id: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[Sample]:
        self._ask((start, end))
        await self.live(id)
        return [Sample(NOW, 0.25, 1, 2, 3)]

    async def live(self, id: str) -> FakeLive:
        found = await self.get(id)
        if found.state.ended:
            raise SandboxGone(
                f"sandbox {id} is {found.state}: {found.reason}", state=found.state.value, reason=found.reason
            )
        return self.lives[id]

    async def explain(self, id: str, error: SandlotError) -> SandlotError:
        return error

    async def metrics(self, id: str) -> Metrics:
        await self.live(id)
        return Metrics(NOW, 1.5, 1, 2, 3, 4, 5, 6, 7)

    async def events(self, id: str) -> list[Event]:
        await self.get(id)
        return [Event(NOW, "started", State.CREATING, State.RUNNING, "its agent answers", {"n": 1})]

    async def templates(self) -> list[Any]:
        self._ask(None)
        return [SimpleNamespace(name="base", id="base-1", size_bytes=1, built_at=NOW, description="Debian")]

    async def host(self) -> HostReport:
        self._ask(None)
        tiers = [
            TierStatus(Tier.GVISOR, True, "runsc", "1"),
            TierStatus(Tier.CONTAINER, False, missing=["runc"]),
        ]
        return HostReport(tiers, [Finding("nft", True, "works")], "6.18", "v1", "systrap")

    def _ask(self, request: Any) -> None:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
