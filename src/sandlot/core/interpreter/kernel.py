"""One kernel in the guest, as the host sees it: it is started, told things, heard, interrupted, ended."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from sandlot.core.interpreter import protocol
from sandlot.core.interpreter.lines import Lines
from sandlot.core.interpreter.protocol import (
    Activity,
    AnyFrame,
    ContextSettings,
    DoneFrame,
    Invalid,
    Pong,
    Ready,
)
from sandlot.core.interpreter.spawner import KernelProcess, Spawner
from sandlot.errors import Conflict, GuestError, NotFound, StandsStill, Unavailable
from sandlot.node.agent import Exit, Output, SpawnSpec, Waiting

START_S = 60.0
SEND_S = 30.0
KILL_S = 10.0
RECONNECT_S = 15.0
_RECONNECT_EVERY_S = 0.1
_DIAGNOSTICS_BYTES = 8 * 1024


class KernelGone(Exception):
    """The kernel's process has ended. ``how`` completes "the kernel …"."""

    def __init__(self, how: str, diagnostics: str) -> None:
        super().__init__(how)
        self.how = how
        self.diagnostics = diagnostics


class Kernel:
    """Not for several tasks at once, but for ``interrupt`` and ``kill``."""

    def __init__(self, spawner: Callable[[], Spawner], process: KernelProcess) -> None:
        self.id = process.id
        self.takes_setenv = False
        self._spawner = spawner
        self._awaited = False
        self._listen(process)
        self._question: str | None = None  # about its activity, not answered yet
        self._cannot_tell = False
        self._lines = Lines(protocol.LINE_LIMIT)
        self._complete: deque[bytes] = deque()
        self._stdout_at: int | None = None
        self._diagnostics = b""
        self._gone: KernelGone | None = None

    @classmethod
    async def start(
        cls,
        spawner: Callable[[], Spawner],
        command: Sequence[str],
        *,
        user: str,
        env: Mapping[str, str],
        settings: ContextSettings,
        tag: str,
    ) -> Kernel:
        """Raises GuestError when it does not come up, NotFound when its program or directory is not there."""
        spec = SpawnSpec(
            args=list(command),
            env={**env, **settings.env},
            cwd=settings.cwd,
            user=user,
            stdin=True,
            tag=tag,
        )
        kernel = cls(spawner, await spawner().spawn(spec))
        kernel._stdout_at = 0
        try:
            async with asyncio.timeout(START_S):
                await kernel._greet(settings)
        except KernelGone as gone:
            await kernel.detach()
            last_line = gone.diagnostics.strip().rpartition("\n")[2]
            raise GuestError(f"the kernel did not start, it {gone.how}: {last_line}") from None
        except BaseException as error:
            with suppress(Unavailable):
                await kernel.kill()
            await kernel.detach()
            if isinstance(error, TimeoutError):
                raise GuestError(f"the kernel did not start in {START_S:g} s") from None
            raise
        return kernel

    @classmethod
    async def adopt(cls, spawner: Callable[[], Spawner], process_id: int) -> Kernel:
        """One that an earlier server started; :meth:`resync` before use. Raises NotFound."""
        return cls(spawner, await spawner().attach(process_id))

    async def send(self, line: bytes) -> None:
        """Raises KernelGone, GuestError when it does not read, Unavailable when it may have got it or not."""
        try:
            async with asyncio.timeout(SEND_S):
                await self._spawner().write_stdin(self.id, line)
        except (Conflict, NotFound):
            raise await self._last_words() from None
        except TimeoutError:
            raise GuestError(f"the kernel did not take a request in {SEND_S:g} s") from None

    async def receive(self) -> tuple[AnyFrame, int]:
        """The next event and its size in bytes. May be cancelled without loss.

        Raises KernelGone, GuestError for what is no event, Unavailable when the guest agent stays away.
        """
        while True:
            frame, size = await self._next()
            if self._is_answer(frame):
                continue  # later than was waited for
            if isinstance(frame, DoneFrame):
                self._question = None  # never arrived, or it would have been answered before
            return frame, size

    async def waiting(self) -> Waiting | None:
        """Its processes, where they only wait for us: nothing that its code left behind goes on by itself.

        May be cancelled: the answer is then taken for what it is whenever it comes. Raises as receive does.
        """
        if self._cannot_tell:
            return None
        if self._question is None:
            self._question = secrets.token_hex(8)
            await self.send(protocol.activity(self._question))
        frame, _ = await self._next()
        if not self._is_answer(frame):
            raise GuestError(f"the kernel sent {type(frame).__name__} while nothing ran")
        if not isinstance(frame, Activity) or frame.reasons:
            return None
        return Waiting([self.id], frame.processes)

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """It runs something inside. Else that somebody listens is no reason for the sandbox to stay awake."""
        self._awaited = True
        self._process.let_sleep(False)
        try:
            yield
        finally:
            self._awaited = False
            self._process.let_sleep(True)

    async def resync(self) -> Pong:
        """Find the place again after not knowing what it has read and said: skip all until it answers this.

        Takes as long as what it is running.
        """
        await self.detach()
        self._lines, self._stdout_at = Lines(protocol.LINE_LIMIT), None
        self._complete.clear()
        self._question = None
        try:
            self._listen(await self._spawner().attach(self.id))
        except NotFound:
            raise KernelGone("is gone", "") from None
        id = secrets.token_hex(8)
        # The line end completes a request that may have been cut; the kernel calls it invalid.
        await self.send(b"\n" + protocol.ping(id))
        while True:
            line = await self._line()
            with suppress(GuestError):
                frame = protocol.decode(line)
                if isinstance(frame, Pong) and frame.id == id:
                    self.takes_setenv = frame.setenv
                    return frame

    async def interrupt(self, *, group: bool) -> None:
        """SIGINT to the kernel; with ``group`` also to the children of its code. One that is gone is left."""
        with suppress(Conflict, NotFound):
            await self._spawner().signal(self.id, signal.SIGINT, group=group)

    async def kill(self) -> None:
        """End it and its children. Idempotent. Raises Unavailable."""
        with suppress(Conflict, NotFound):
            await self._spawner().signal(self.id, signal.SIGKILL, group=True)

    async def bury(self) -> None:
        """Kill it and read until its end."""
        await self.kill()
        try:
            async with asyncio.timeout(KILL_S):
                await self._last_words()
        except TimeoutError:
            raise GuestError(f"the kernel still runs {KILL_S:g} s after it was killed") from None
        finally:
            await self.detach()

    async def detach(self) -> None:
        """Stop listening; the kernel goes on."""
        await self._process.close()

    def _listen(self, process: KernelProcess) -> None:
        process.let_sleep(not self._awaited)
        self._process = process

    async def _next(self) -> tuple[AnyFrame, int]:
        line = await self._line()
        return protocol.decode(line), len(line)

    def _is_answer(self, frame: AnyFrame) -> bool:
        """To the question about its activity. A kernel of an older template does not know the question."""
        if self._question is None:
            return False
        unknown = isinstance(frame, Invalid)
        if not unknown and not (isinstance(frame, Activity) and frame.id == self._question):
            return False
        self._question = None
        self._cannot_tell = unknown
        return True

    async def _greet(self, settings: ContextSettings) -> None:
        id = secrets.token_hex(8)
        await self.send(protocol.hello(id, settings))
        frame, _ = await self.receive()
        if not isinstance(frame, Ready) or frame.id != id:
            raise GuestError(f"the kernel did not introduce itself: {type(frame).__name__}")
        if frame.protocol != protocol.PROTOCOL:
            raise GuestError(
                f"the kernel speaks version {frame.protocol} of the protocol, this server "
                f"{protocol.PROTOCOL}: build the template anew"
            )
        self.takes_setenv = frame.setenv

    async def _line(self) -> bytes:
        while not self._complete:
            data = await self._read()
            self._complete.extend(self._lines.feed(data))
        return self._complete.popleft()

    async def _last_words(self) -> KernelGone:
        try:
            while True:
                await self._read()
        except KernelGone as gone:
            return gone

    async def _read(self) -> bytes:
        """The next piece of its standard output."""
        if self._gone is not None:
            raise self._gone
        while True:
            try:
                piece = await self._process.__anext__()
            except Unavailable as lost:
                await self._reattach(lost)
                continue
            except StopAsyncIteration:
                raise GuestError("the guest agent did not say how the kernel ended") from None
            if isinstance(piece, Exit):
                self._gone = KernelGone(_describe(piece), self._diagnostics.decode("utf-8", "replace"))
                raise self._gone
            if piece.stream == "stdout":
                return self._accept(piece)
            self._diagnostics = (self._diagnostics + piece.data)[-_DIAGNOSTICS_BYTES:]

    def _accept(self, piece: Output) -> bytes:
        if self._stdout_at is not None and piece.offset != self._stdout_at:
            self._stdout_at = piece.offset + len(piece.data)
            raise GuestError("a part of what the kernel sent was lost")
        self._stdout_at = piece.offset + len(piece.data)
        return piece.data

    async def _reattach(self, lost: Unavailable) -> None:
        """The connection to the agent broke, not the kernel: go on where it broke, on the next one.

        Not while the sandbox is paused: who listens must hear of that, and not wait for who resumes it.
        """
        try:
            async with asyncio.timeout(RECONNECT_S):
                while True:
                    try:
                        process = await self._spawner().attach(
                            self.id, stdout_from=self._stdout_at, stderr_from=None
                        )
                        self._listen(process)
                        return
                    except StandsStill:
                        raise
                    except Unavailable:
                        pass
                    await asyncio.sleep(_RECONNECT_EVERY_S)
        except TimeoutError:
            raise lost from None
        except NotFound:
            self._gone = KernelGone("is gone", "")
            raise self._gone from None


def _describe(exit: Exit) -> str:
    if exit.oom:
        return "was ended because the sandbox ran out of memory"
    if exit.signal is not None:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(exit.signal).name}"
        return f"was ended by signal {exit.signal}"
    return f"ended with exit code {exit.code}"
