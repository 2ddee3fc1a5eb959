"""A stand-in for the guest agent: real processes on this machine, with the agent's promises about them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from sandlot.errors import Conflict, NotFound, Unavailable
from sandlot.node.agent import Exit, Output, ProcessInfo, SpawnSpec

_WINDOW = 1024 * 1024


class LocalGuest:
    """``connected`` is what tests pull out to see a lost connection; processes survive that."""

    def __init__(self) -> None:
        self.connected = True
        self.spawned: list[SpawnSpec] = []
        self._processes: dict[int, _Process] = {}

    def agent(self) -> LocalGuest:
        if not self.connected:
            raise Unavailable("the guest agent cannot be reached")
        return self

    def disconnect(self) -> None:
        self.connected = False
        for process in self._processes.values():
            process.drop_reader()

    def reconnect(self) -> None:
        self.connected = True

    async def close(self) -> None:
        for process in self._processes.values():
            await process.end()

    @property
    def running(self) -> list[int]:
        """Process ids, as the operating system knows them."""
        return [process.pid for process in self._processes.values() if process.exit is None]

    async def spawn(self, spec: SpawnSpec, /) -> Reader:
        self.spawned.append(spec)
        if spec.cwd is not None and not os.path.isdir(spec.cwd):
            raise NotFound(f"no such directory: {spec.cwd}")
        try:
            child = await asyncio.create_subprocess_exec(
                *spec.args,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **spec.env},
                cwd=spec.cwd,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise NotFound(str(error)) from None
        process = _Process(len(self._processes) + 1, child, spec)
        self._processes[process.id] = process
        return process.attach({"stdout": 0, "stderr": 0})

    async def attach(
        self, process_id: int, /, *, stdout_from: int | None = None, stderr_from: int | None = None
    ) -> Reader:
        return self._find(process_id).attach({"stdout": stdout_from, "stderr": stderr_from})

    async def processes(self) -> Sequence[ProcessInfo]:
        return [process.info() for process in self._processes.values()]

    async def write_stdin(self, process_id: int, data: bytes, /) -> None:
        stdin = self._find_running(process_id).child.stdin
        assert stdin is not None
        try:
            stdin.write(data)
            await stdin.drain()
        except ConnectionError:
            raise Conflict("the process has closed its input") from None

    async def signal(self, process_id: int, signum: int, /, *, group: bool = True) -> None:
        process = self._find_running(process_id)
        with suppress(ProcessLookupError):
            if group:
                os.killpg(process.pid, signum)
            else:
                os.kill(process.pid, signum)

    def _find(self, process_id: int) -> _Process:
        if process_id not in self._processes:
            raise NotFound(f"there is no process {process_id}")
        return self._processes[process_id]

    def _find_running(self, process_id: int) -> _Process:
        process = self._find(process_id)
        if process.exit is not None:
            raise Conflict("the process has ended")
        return process


class Reader:
    def __init__(self, process: _Process, offsets: dict[str, int]) -> None:
        self.id = process.id
        self._process = process
        self._offsets = offsets
        self._dropped = False
        self._exit_told = False

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> Output | Exit:
        if self._exit_told:
            raise StopAsyncIteration
        while True:
            if self._dropped:
                raise Unavailable("the connection to the guest agent is lost")
            for name in ("stdout", "stderr"):
                if (piece := self._process.streams[name].read(self._offsets[name])) is not None:
                    self._offsets[name] = piece.offset + len(piece.data)
                    self._process.changed()
                    return piece
            if self._process.exit is not None:
                self._exit_told = True
                return self._process.exit
            await self._process.wait_for_change()

    def let_sleep(self, may: bool, /) -> None: ...

    async def close(self) -> None:
        self.drop()

    def drop(self) -> None:
        self._dropped = True
        if self._process.reader is self:
            self._process.reader = None
        self._process.changed()

    def backlog(self, name: str) -> int:
        return self._process.streams[name].end - self._offsets[name]


class _Stream:
    """A ring of the newest bytes."""

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._name = name
        self._pieces: deque[tuple[int, bytes]] = deque()
        self.end = 0

    def add(self, data: bytes) -> None:
        self._pieces.append((self.end, data))
        self.end += len(data)
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) < self.end - 2 * _WINDOW:
            self._pieces.popleft()

    def read(self, offset: int) -> Output | None:
        for start, data in self._pieces:
            if start + len(data) > offset:
                return Output(self._name, max(start, offset), data[max(0, offset - start) :])
        return None


class _Process:
    def __init__(self, id: int, child: asyncio.subprocess.Process, spec: SpawnSpec) -> None:
        self.id = id
        self.pid = child.pid
        self.child = child
        self.streams = {"stdout": _Stream("stdout"), "stderr": _Stream("stderr")}
        self.exit: Exit | None = None
        self.reader: Reader | None = None
        self._spec = spec
        self._started_at = time.time()
        self._change = asyncio.Event()
        self._watch = asyncio.create_task(self._watch_it())

    def attach(self, offsets: dict[str, int | None]) -> Reader:
        self.drop_reader()
        ends = {name: stream.end for name, stream in self.streams.items()}
        self.reader = Reader(self, {n: ends[n] if at is None else at for n, at in offsets.items()})
        return self.reader

    def drop_reader(self) -> None:
        if self.reader is not None:
            self.reader.drop()

    def changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def wait_for_change(self) -> None:
        await self._change.wait()

    def info(self) -> ProcessInfo:
        return ProcessInfo(
            id=self.id,
            pid=self.pid,
            args=self._spec.args,
            cwd=self._spec.cwd or "/",
            user=self._spec.user,
            tag=self._spec.tag,
            pty=False,
            started_at=self._started_at,
            running=self.exit is None,
            exit=self.exit,
            stdout_end=self.streams["stdout"].end,
            stderr_end=self.streams["stderr"].end,
        )

    async def end(self) -> None:
        if self.exit is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        await self._watch
        # Its input is closed on the next turn of the loop, which would be after the test's.
        await asyncio.sleep(0)

    async def _watch_it(self) -> None:
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        pumps = [
            asyncio.create_task(self._pump("stdout", self.child.stdout)),
            asyncio.create_task(self._pump("stderr", self.child.stderr)),
        ]
        code = await self.child.wait()
        await asyncio.wait(pumps, timeout=1)  # a grandchild may keep the pipes open
        for pump in pumps:
            pump.cancel()
        self.exit = Exit(code if code >= 0 else 128 - code, -code if code < 0 else None)
        self.changed()

    async def _pump(self, name: str, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(65536):
            self.streams[name].add(data)
            self.changed()
            while self.reader is not None and self.reader.backlog(name) > _WINDOW:
                await self.wait_for_change()
