"""From a sandbox that was let in to one that runs and is found, or to nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from sandlot.core.admission import Admission
from sandlot.core.drafting import deadline_after
from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind
from sandlot.core.limits import Limits
from sandlot.core.live import LiveSandbox
from sandlot.core.model import Sandbox
from sandlot.core.roster import Roster
from sandlot.core.tasks import Tasks
from sandlot.errors import DeadlineExceeded, SandboxGone, SandlotError
from sandlot.node import Node, NodeSandbox

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """A sandbox that is to be, how the node makes it, and what is done in it before it is handed over."""

    sandbox: Sandbox
    make: Callable[[], Awaitable[NodeSandbox]]
    welcome: Callable[[LiveSandbox], Awaitable[None]]
    """Run once its agent answers. The sandbox fails with it."""


class Starter:
    """Where anything fails, and when cancelled, nothing of the sandbox is left but its history."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        node: Node,
        limits: Limits,
        admission: Admission,
        roster: Roster,
        tasks: Tasks,
    ) -> None:
        self._ledger = ledger
        self._node = node
        self._limits = limits
        self._admission = admission
        self._roster = roster
        self._tasks = tasks

    async def start(self, plan: Plan, timeout_s: float | None, within_s: float | None = None) -> Sandbox:
        """``within_s`` its agent must answer; without it within ``create_timeout_s``.

        Raises what making it raises, what welcoming it raises, DeadlineExceeded, and SandboxGone where it was
        ended meanwhile.
        """
        sandbox, live = plan.sandbox, None
        try:
            live = await self._made(plan, within_s or self._limits.create_timeout_s)
            self._admission.started(sandbox.id)  # what its user lets run in it first holds up nobody else
            await plan.welcome(live)
            started = await self._ledger.started(sandbox, deadline_after(timeout_s))
            if started is None:
                raise SandboxGone(f"sandbox {sandbox.id} was ended while it was being made")
        except BaseException as error:
            if live is not None:
                await live.close()
            await self._node.destroy(sandbox.id)
            await self._ledger.ended(sandbox.id, EventKind.FAILED, _describe(error))
            raise
        live.sandbox = started
        self._enter(live, timeout_s)
        if "python" in sandbox.guest.kernels:
            self._tasks.spawn(_warm(live), name=f"warm {sandbox.id}")
        return started

    async def hand_over(self, sandbox: Sandbox, live: LiveSandbox, timeout_s: float | None) -> Sandbox:
        """What ran and was nobody's is this sandbox from now on."""
        try:
            # It thaws while this is written down, and its user's first command finds it awake.
            with live.node.held_awake():
                async with asyncio.timeout(self._limits.create_timeout_s):
                    live.become(await self._ledger.take(sandbox, deadline_after(timeout_s)))
        except BaseException as error:
            await live.close()
            await self._node.destroy(sandbox.id)
            await self._ledger.ended(sandbox.id, EventKind.DIED, _describe(error))  # where it was written
            if isinstance(error, TimeoutError):
                raise _late(self._limits.create_timeout_s) from error
            raise
        self._enter(live, timeout_s)
        return live.sandbox

    async def _made(self, plan: Plan, within_s: float) -> LiveSandbox:
        try:
            async with asyncio.timeout(within_s):
                await self._ledger.open(plan.sandbox)
                return LiveSandbox(plan.sandbox, await plan.make())
        except TimeoutError as error:
            raise _late(within_s) from error

    def _enter(self, live: LiveSandbox, timeout_s: float | None) -> None:
        self._roster.take(live)
        self._roster.arm(live.id, timeout_s)


async def _warm(live: LiveSandbox) -> None:
    """Start the interpreter while its user still thinks, so that the first line of code need not wait."""
    try:
        await live.interpreter.warm()
    except SandlotError as error:
        _log.info("interpreter not warmed", sandbox=live.id, reason=error.message)


def _late(within_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"the sandbox did not start within {within_s:g} s; the machine is busy")


def _describe(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | TimeoutError):
        return "it took too long, or the server stopped"
    return error.message if isinstance(error, SandlotError) else f"{type(error).__name__}: {error}"
