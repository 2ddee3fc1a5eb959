"""One context: its kernel, whose turn it is, and what a run of it says."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sandlot.core.interpreter import protocol
from sandlot.core.interpreter.channel import Channel
from sandlot.core.interpreter.ending import Ending, Reason
from sandlot.core.interpreter.events import CodeEvent, Context, Done, ErrorEvent, Stderr
from sandlot.core.interpreter.kernel import Kernel, KernelGone
from sandlot.core.interpreter.protocol import (
    ContextSettings,
    DoneFrame,
    ErrorFrame,
    ResultFrame,
    StderrFrame,
    StdoutFrame,
)
from sandlot.core.tasks import Tasks
from sandlot.errors import DeadlineExceeded, GuestError, LimitExceeded, NotFound, SandlotError, Unavailable
from sandlot.node.agent import Waiting

_ANSWER_S = 0.5
"""How long a kernel that is taken over may be busy before it is interrupted."""
_TELL_S = 1.0
"""How long a kernel that is asked what it has to do holds up whoever wants to run something meanwhile."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one sandbox. Output is counted as it arrives: text, results and their encoding."""

    contexts: int = 16
    waiting_runs: int = 16
    output_bytes: int = 64 * 1024 * 1024
    code_bytes: int = 8 * 1024 * 1024


@dataclass(slots=True)
class Run:
    """One run on its way."""

    code: str
    env: Mapping[str, str]
    timeout: float | None
    channel: Channel
    id: str
    started: float
    output_bytes: int = 0
    error_told: bool = False
    abandoned: bool = False
    ending: Ending | None = None

    def abandon(self) -> None:
        self.abandoned = True
        if self.ending is not None:
            self.ending.begin(Reason.ABANDONED)


class Session:
    """Runs in one context take turns; everything that touches the kernel's stream has the turn."""

    def __init__(
        self,
        id: str,
        language: str,
        settings: ContextSettings,
        *,
        limits: Limits,
        tasks: Tasks,
        start: Callable[[Session], Awaitable[Kernel]],
    ) -> None:
        self.id = id
        self.language = language
        self.settings = settings
        self._limits = limits
        self._tasks = tasks
        self._start = start
        self._kernel: Kernel | None = None
        self._lost_track = False  # of what the kernel has read and said
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._running: Run | None = None
        self._settling = False  # a kernel that was taken over, and may still run something
        self._untold: dict[str, str] = {}  # variables that the kernel must have from the next run on
        self._executions = 0
        self._news: str | None = None  # that variables are lost, where no run has said so yet
        self._ended_by: str | None = None
        self._removed = False

    @property
    def context(self) -> Context:
        return Context(self.id, self.language, self.settings.cwd)

    async def open(self) -> None:
        """Start the kernel, unless it runs."""
        async with self._turn:
            if self._kernel is None:
                self._kernel = await self._begin_kernel()

    async def run(
        self, code: str, env: Mapping[str, str], timeout: float | None
    ) -> AsyncGenerator[CodeEvent, None]:
        """Raises LimitExceeded when too many wait, DeadlineExceeded after waiting ``timeout`` seconds."""
        await self._take_turn(timeout)
        run = Run(
            code=code,
            env=env,
            timeout=timeout,
            channel=Channel(lambda: run.abandon()),
            id=secrets.token_hex(8),
            started=asyncio.get_running_loop().time(),
        )
        self._tasks.spawn(self._drive(run), name=f"run in context {self.id}")
        try:
            while (event := await run.channel.get()) is not None:
                yield event
        finally:
            # A client that left does not want the rest: the run is interrupted, and the turn is passed on.
            run.channel.abandon()

    async def interrupt(self) -> None:
        """KeyboardInterrupt in what runs now, if anything does."""
        if (self._running is not None or self._settling) and self._kernel is not None:
            await self._kernel.interrupt(group=False)

    async def restart(self) -> None:
        """A new kernel, at once: what runs is ended."""
        old = self._kernel
        if old is not None:
            self._ended_by = "was restarted by request"
            await old.kill()
        async with self._turn:
            if self._kernel is not None and self._kernel is not old:
                return  # a run that waited has begun anew already
            if self._kernel is not None:
                await self._kernel.bury()
            self._kernel, self._lost_track, self._news, self._ended_by = None, False, None, None
            self._kernel = await self._begin_kernel()

    async def remove(self) -> None:
        """End the kernel and everything that waits for it. Raises Unavailable, and then has done nothing."""
        self._removed = True
        self._ended_by = "was removed by request"
        try:
            if self._kernel is not None:
                await self._kernel.kill()
        except Unavailable:
            self._removed = False
            raise
        async with self._turn:
            kernel, self._kernel = self._kernel, None
            if kernel is not None:
                await kernel.bury()

    async def waiting(self) -> Waiting | None:
        """Its kernel's processes, where they only wait for a run; None where it does not say so."""
        if self._turn.locked():
            return None
        async with self._turn:
            kernel = self._kernel
            if kernel is None or self._lost_track:
                return None
            try:
                async with asyncio.timeout(_TELL_S):
                    return await kernel.waiting()
            except KernelGone as gone:
                self._forget(gone)
            except GuestError:
                self._lost_track = True
            except (SandlotError, TimeoutError):
                pass  # it is at work, or cannot be asked
            return None

    async def adopt(self, kernel: Kernel, *, interrupt: bool) -> None:
        """Take over a kernel that somebody else started; what it runs has no listener, and goes on to its end
        before anything else has its turn, or with ``interrupt`` is brought to it.
        """
        await self._turn.acquire()
        self._kernel, self._lost_track, self._settling = kernel, True, True
        patience = _ANSWER_S if interrupt else None
        self._tasks.spawn(self._settle(kernel, patience), name=f"take over context {self.id}")

    def adopt_env(self, env: Mapping[str, str]) -> None:
        """Variables of the whole sandbox that came after the kernel; the context's own go before them."""
        self._untold.update(env)

    async def detach(self) -> None:
        if self._kernel is not None:
            await self._kernel.detach()

    async def _take_turn(self, timeout: float | None) -> None:
        if self._waiting >= self._limits.waiting_runs:
            raise LimitExceeded(
                f"context {self.id} has {self._waiting} runs waiting, which is its limit; "
                "wait for one, or make another context"
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                await self._turn.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                f"waited {timeout:g} s for context {self.id}, which is still running something else"
            ) from None
        finally:
            self._waiting -= 1

    async def _settle(self, kernel: Kernel, patience: float | None) -> None:
        """Has the turn from before anybody could ask for it."""
        try:
            await self._find_track(kernel, patience)
        except KernelGone as gone:
            self._forget(gone)
        except GuestError as error:
            with suppress(GuestError):
                await self._distrust(error)
            self._news = "the interpreter did not answer when it was taken over"
        except Unavailable:
            pass  # the next run tries again
        finally:
            self._settling = False
            self._turn.release()

    async def _drive(self, run: Run) -> None:
        """Owns the turn and the kernel until the run is over."""
        failure: BaseException | None = Unavailable("the server let go of the run")
        try:
            self._running = run
            await self._execute(run)
            failure = None
        except SandlotError as error:
            failure = error
        finally:
            self._running = None
            self._turn.release()
            run.channel.finish(failure)

    async def _execute(self, run: Run) -> None:
        try:
            kernel = await self._begin(run)
            if kernel is not None:
                with kernel.awaited():
                    await self._follow(run, kernel)
        except KernelGone as gone:
            await self._bury(run, gone)
        except GuestError as error:
            await self._distrust(error)
        except (Unavailable, asyncio.CancelledError):
            self._lost_track = True
            raise

    async def _begin_kernel(self) -> Kernel:
        self._executions = 0
        self._untold.clear()  # it starts with them; what comes meanwhile it must be told
        return await self._start(self)

    async def _begin(self, run: Run) -> Kernel | None:
        """The kernel, with the run sent to it; None when nobody wants it any more."""
        for _ in range(2):
            if self._removed:
                raise NotFound(f"there is no context {self.id}: it was removed")
            kernel = self._kernel
            if kernel is None:
                kernel = self._kernel = await self._begin_kernel()
            if run.abandoned:
                return None
            try:
                if self._lost_track:
                    await self._find_track(kernel, _ANSWER_S)
                run.ending = Ending(kernel, run.timeout, run.channel.overflow)
                await self._send(run, kernel)
            except KernelGone as gone:
                self._forget(gone)
                continue
            self._tell_news(run)
            return kernel
        raise GuestError("the kernel ends as soon as it is started")

    async def _send(self, run: Run, kernel: Kernel) -> None:
        own = self.settings.env  # known by now of a kernel that was taken over, too
        lasting = {name: value for name, value in self._untold.items() if name not in own}
        if not kernel.takes_setenv:
            await kernel.send(protocol.run(run.id, run.code, {**lasting, **run.env}, {}))
            return
        await kernel.send(protocol.run(run.id, run.code, run.env, lasting))
        for name, value in lasting.items():
            if self._untold.get(name) == value:
                del self._untold[name]

    async def _find_track(self, kernel: Kernel, patience: float | None) -> None:
        """Whatever it still runs has no listener any more, and after ``patience`` seconds is ended."""
        pong = await Ending(kernel, patience, lambda: None).within(kernel.resync)
        self._lost_track = False
        self.settings = protocol.settings_of(pong) or self.settings

    def _tell_news(self, run: Run) -> None:
        if self._news is not None:
            note = f"sandlot: {self._news}; this run starts with no variables\n"
            run.channel.put(Stderr(note), len(note))
            self._news = None

    async def _follow(self, run: Run, kernel: Kernel) -> None:
        ending = run.ending
        assert ending is not None  # noqa: S101 - _begin made it
        while True:
            frame, size = await ending.within(kernel.receive)
            match frame:
                case DoneFrame(id=run.id):
                    self._executions = frame.execution_count
                    self._finish(run)
                    return
                case ErrorFrame(id=run.id) if not run.error_told:
                    run.channel.put(self._error_of(run, frame), size)
                    run.error_told = True
                case StdoutFrame(id=run.id) | StderrFrame(id=run.id) | ResultFrame(id=run.id):
                    await self._pass_on(run, ending, frame, size)
                case _:
                    raise GuestError(f"the kernel sent {type(frame).__name__}, which is not of this run")

    async def _pass_on(
        self, run: Run, ending: Ending, frame: StdoutFrame | StderrFrame | ResultFrame, size: int
    ) -> None:
        run.output_bytes += size
        if run.output_bytes > self._limits.output_bytes:
            ending.begin(Reason.TOO_MUCH_OUTPUT)
            return
        event = protocol.event_of(frame)
        await ending.within(run.channel.room)
        if not run.channel.saturated:  # else the run is being ended, and its listener does not take it
            run.channel.put(event, size)

    def _error_of(self, run: Run, frame: ErrorFrame) -> ErrorEvent:
        reason = run.ending.reason if run.ending else None
        if reason is None:
            return ErrorEvent(frame.name, frame.value, frame.traceback)
        return self._ended_early(run, reason, "it was interrupted; variables are kept", frame.traceback)

    def _ended_early(self, run: Run, reason: Reason, outcome: str, traceback: str) -> ErrorEvent:
        if reason is Reason.TOO_MUCH_OUTPUT:
            name, what = "OutputLimitExceeded", f"the run put out more than {self._limits.output_bytes} bytes"
        else:
            name, what = "TimeoutError", f"the run took longer than its timeout of {run.timeout or 0:g} s"
        return ErrorEvent(name, f"{what}: {outcome}", traceback)

    def _finish(self, run: Run) -> None:
        reason = run.ending.reason if run.ending else None
        if reason is not None and not run.error_told:
            outcome = "it was interrupted, but caught that; variables are kept"
            run.channel.put(self._ended_early(run, reason, outcome, ""), 0)
        duration = asyncio.get_running_loop().time() - run.started
        run.channel.put(Done(self._executions, duration * 1000), 0)

    async def _bury(self, run: Run, gone: KernelGone) -> None:
        """The kernel ended while it ran the code."""
        ending = run.ending
        if ending is not None and ending.killed and ending.reason is not None:
            outcome = "it could not be interrupted, so the interpreter was ended; its variables are lost"
            error = self._ended_early(run, ending.reason, outcome, "")
        else:
            how = self._ended_by or gone.how
            error = ErrorEvent(
                "KernelDied", f"the interpreter {how}; its variables are lost", gone.diagnostics
            )
        self._forget(gone)
        if ending is None or ending.reason is not Reason.ABANDONED:
            self._news = None  # the error says it
        self._executions += 1
        run.channel.put(error, len(error.traceback))
        run.error_told = True
        self._finish(run)

    async def _distrust(self, error: GuestError) -> None:
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            with suppress(SandlotError):
                await kernel.bury()
            raise GuestError(
                f"{error.message}; the interpreter was ended and its variables are lost, "
                "the next run starts a new one"
            ) from error
        raise error

    def _forget(self, gone: KernelGone) -> None:
        self._kernel, self._lost_track = None, False
        self._news = f"the interpreter {self._ended_by or gone.how}"
        self._ended_by = None
