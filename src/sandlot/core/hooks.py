"""What runs in a sandbox before whoever asked for it gets it: its template's start, and its own hooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind
from sandlot.core.limits import Limits
from sandlot.core.live import LiveSandbox
from sandlot.core.model import StartCommand
from sandlot.errors import Conflict, SandboxGone, SandlotError, Unavailable
from sandlot.node.agent import Output, Process

_log = structlog.get_logger(__name__)

_OUTPUT_KEPT: Final = 4096
_TRY_AGAIN_S: Final = (0.05, 1.0)
"""Between two tries of a readiness probe: at first, and at last."""
_ITS_END_S: Final = 5.0
"""What a command has beyond its time to be ended in; a guest that takes longer does not answer."""
_RECOVER_S: Final = 10.0


class HookFailed(Conflict):
    """A command that was to run inside before the sandbox is handed over did not succeed.

    ``details``: which ``hook``, its ``exit_code`` (None where it did not end in time), and the end of what it
    printed as ``output``.
    """

    code = "hook_failed"


@dataclass(frozen=True, slots=True)
class _Outcome:
    exit_code: int | None
    output: str


class HookRunner:
    """Each hook is a line for the sandbox's shell, run as its user. Each has ``create_timeout_s``."""

    def __init__(self, ledger: Ledger, limits: Limits) -> None:
        self._ledger = ledger
        self._limits = limits

    async def created(self, live: LiveSandbox) -> None:
        """For a sandbox that has just booted for the first time: its template's start command, which runs on,
        and its readiness; then ``on_create``, then ``ready``.

        Raises HookFailed, and what talking to a sandbox may raise.
        """
        async with _alive(live):
            await self._boot(live)
            await self._first(live)

    async def booted(self, live: LiveSandbox) -> None:
        """For one that has just booted and is nobody's yet: its template's start command, and its readiness.

        Raises as ``created`` does.
        """
        async with _alive(live):
            await self._boot(live)

    async def made_from(self, live: LiveSandbox, *, memory: bool) -> None:
        """For a new one that begins as a snapshot: it comes back, and then is as new as ``created`` ones.

        Raises as ``created`` does.
        """
        async with _alive(live):
            if memory:
                await recover(live)
                live.interpreter.adopt_env(live.sandbox.env)
            else:
                await self._boot(live)
            await self.resumed(live)
            await self._first(live)

    async def rebooted(self, live: LiveSandbox) -> None:
        """For one that came back with its files alone. What fails is written down; the sandbox stays."""
        try:
            await self._boot(live)
        except SandlotError as error:
            await self._tell(live, error)
        await self.resumed(live)

    async def restored(self, live: LiveSandbox) -> None:
        """For one that came back with its memory: its kernels are found again, then as ``resumed``."""
        await recover(live)
        await self.resumed(live)

    async def resumed(self, live: LiveSandbox) -> None:
        """``on_resume``, for one that came back. What fails is written down; the sandbox stays."""
        if (line := live.sandbox.hooks.on_resume) is None:
            return
        try:
            await self._once(live, "on_resume", line)
        except SandlotError as error:
            await self._tell(live, error)

    async def _boot(self, live: LiveSandbox) -> None:
        guest = live.sandbox.guest
        if guest.start is not None:
            command = StartCommand(command=guest.start, timeout_s=None, tag="hook/start")
            await (await live.start_command(command)).close()
        if guest.ready is not None:
            await self._until_ready(live, guest.ready)

    async def _first(self, live: LiveSandbox) -> None:
        hooks = live.sandbox.hooks
        if hooks.on_create is not None:
            await self._once(live, "on_create", hooks.on_create)
        if hooks.ready is not None:
            await self._until_ready(live, hooks.ready)

    async def _once(self, live: LiveSandbox, hook: str, line: str) -> None:
        allowed_s = self._limits.create_timeout_s
        outcome = await _run(live, hook, line, allowed_s)
        if outcome.exit_code == 0:
            return
        late = f"did not end within {allowed_s:g} s (create_timeout_s); what runs on belongs behind an &"
        how = late if outcome.exit_code is None else f"exited with {outcome.exit_code}"
        raise _failed(hook, how, outcome)

    async def _until_ready(self, live: LiveSandbox, line: str) -> None:
        """Try it until it exits with 0."""
        loop = asyncio.get_running_loop()
        allowed_s = self._limits.create_timeout_s
        deadline = loop.time() + allowed_s
        pause, longest = _TRY_AGAIN_S
        outcome = _Outcome(None, "")
        while (left := deadline - loop.time()) > 0:
            outcome = await _run(live, "ready", line, left)
            if outcome.exit_code == 0:
                return
            await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
            pause = min(longest, pause * 2)
        ended = "did not end" if outcome.exit_code is None else f"exited with {outcome.exit_code}"
        how = f"did not succeed within {allowed_s:g} s (create_timeout_s): its last try {ended}"
        raise _failed("ready", how, outcome)

    async def _tell(self, live: LiveSandbox, error: SandlotError) -> None:
        try:
            await self._ledger.note(
                live.id, EventKind.HOOK, reason=error.message, details=dict(error.details)
            )
        except SandlotError as unwritten:
            _log.warning("hook failed", sandbox=live.id, reason=error.message, unwritten=unwritten.message)


@asynccontextmanager
async def _alive(live: LiveSandbox) -> AsyncIterator[None]:
    """A sandbox that ends under its own hook is no fault of the server's."""
    try:
        yield
    except (Unavailable, SandboxGone) as error:
        if (reason := await live.noticed_death()) is None:
            raise
        raise HookFailed(f"the sandbox ended while its hooks ran: {reason}") from error


async def recover(live: LiveSandbox) -> None:
    """Take over the kernels that run in it already. Without an answer in time the sandbox goes on without."""
    try:
        async with asyncio.timeout(_RECOVER_S):
            await live.interpreter.recover(interrupt=False)
    except TimeoutError:
        _log.warning("interpreter contexts not recovered in time", sandbox=live.id)
    except SandlotError as error:
        _log.warning("interpreter contexts not recovered", sandbox=live.id, reason=error.message)


async def _run(live: LiveSandbox, hook: str, line: str, allowed_s: float) -> _Outcome:
    command = StartCommand(command=line, timeout_s=max(0.001, allowed_s), tag=f"hook/{hook}")
    try:
        async with asyncio.timeout(allowed_s + _ITS_END_S):
            process = await live.start_command(command)
            try:
                return await _outcome(process)
            finally:
                await process.close()
    except TimeoutError:
        return _Outcome(None, "")


async def _outcome(process: Process) -> _Outcome:
    output = b""
    async for item in process:
        if isinstance(item, Output):
            output = (output + item.data)[-_OUTPUT_KEPT:]
        else:
            code = None if item.timed_out else item.code
            return _Outcome(code, output.decode(errors="replace").strip())
    raise RuntimeError("a process ended without an exit")


def _failed(hook: str, how: str, outcome: _Outcome) -> HookFailed:
    printed = f"; it printed: {outcome.output}" if outcome.output else "; it printed nothing"
    return HookFailed(f"{hook} {how}{printed}", hook=hook, exit_code=outcome.exit_code, output=outcome.output)
