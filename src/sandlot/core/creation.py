"""From a request to a sandbox whose agent answers, or to nothing at all."""

from __future__ import annotations

import asyncio
import time

import structlog

from sandlot.core.admission import Admission
from sandlot.core.drafting import amounts_of, deadline_after, drafted, spec_of
from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind
from sandlot.core.limits import Limits, settle
from sandlot.core.live import LiveSandbox
from sandlot.core.model import CreateSandbox, Sandbox
from sandlot.core.pools import Hot, Pools
from sandlot.core.roster import Roster
from sandlot.core.tasks import Tasks
from sandlot.errors import DeadlineExceeded, SandboxGone, SandlotError
from sandlot.images import Template, Templates
from sandlot.node import Node
from sandlot.store import Tenant
from sandlot.tally import Durations

_log = structlog.get_logger(__name__)

SECONDS = Durations("tier")
"""Of creations that succeeded, the wait for room included."""
QUEUE_SECONDS = Durations()
"""Of waits for room that ended well."""


class Creation:
    """What is being made. Each piece of work is a task of its own, so that who asked may go away."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        node: Node,
        templates: Templates,
        limits: Limits,
        admission: Admission,
        roster: Roster,
        tasks: Tasks,
        pools: Pools,
    ) -> None:
        self._ledger = ledger
        self._node = node
        self._templates = templates
        self._limits = limits
        self._admission = admission
        self._roster = roster
        self._tasks = tasks
        self._pools = pools
        self._making: dict[str, asyncio.Task[Sandbox]] = {}

    async def begin(self, request: CreateSandbox, tenant: Tenant) -> tuple[str, asyncio.Task[Sandbox]]:
        """The id of what will be, and the work, once there is room for it; until then who asks waits.

        Raises InvalidArgument, NotFound (template), LimitExceeded, Unavailable.
        """
        settled = settle(request, self._limits)
        template = await asyncio.to_thread(self._templates.resolve, request.template)
        asked = time.perf_counter()
        pool = self._pools.asked(request, template)
        hot = self._pools.take(pool) if pool else None
        sandbox = drafted(request, settled, template, tenant, hot.id if hot else None)
        structlog.contextvars.bind_contextvars(sandbox=sandbox.id)
        try:
            await self._admission.enter(sandbox.id, tenant, amounts_of(sandbox), made=hot is not None)
        except BaseException:
            if pool and hot:
                self._pools.give_back(pool, hot)
            raise
        QUEUE_SECONDS.observe(time.perf_counter() - asked)
        if pool and not hot and (hot := self._pools.take(pool)):
            # One that was made while this request waited.
            self._admission.rename(sandbox.id, hot.id)
            sandbox = drafted(request, settled, template, tenant, hot.id)
            structlog.contextvars.bind_contextvars(sandbox=sandbox.id)
        if pool:
            pool.served(hot is not None)
        work = self._make(sandbox, template, request.timeout_s, hot)
        making = self._tasks.spawn(work, name=f"create {sandbox.id}")
        self._making[sandbox.id] = making
        making.add_done_callback(lambda _: self._made(sandbox, making, asked))
        return sandbox.id, making

    async def cancel(self, id: str) -> None:
        """If it is still being made, stop that and wait until nothing of it is left."""
        if (making := self._making.get(id)) is not None:
            making.cancel()
            await asyncio.wait([making])

    def _made(self, sandbox: Sandbox, making: asyncio.Task[Sandbox], asked: float) -> None:
        self._making.pop(sandbox.id, None)
        if making.cancelled() or making.exception() is not None:
            self._admission.ended(sandbox.id)
        else:
            self._admission.started(sandbox.id)
            self._pools.stir()
            SECONDS.observe(time.perf_counter() - asked, sandbox.isolation)

    async def _make(
        self, sandbox: Sandbox, template: Template, timeout_s: float | None, hot: Hot | None
    ) -> Sandbox:
        try:
            async with asyncio.timeout(self._limits.create_timeout_s):
                if hot is not None:
                    return await self._hand_over(sandbox, hot.live, timeout_s)
                return await self._make_admitted(sandbox, template, timeout_s)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the sandbox did not start within {self._limits.create_timeout_s:g} s; the machine is busy"
            ) from error

    async def _hand_over(self, sandbox: Sandbox, live: LiveSandbox, timeout_s: float | None) -> Sandbox:
        """What ran and was nobody's is this sandbox from now on."""
        try:
            live.sandbox = await self._ledger.take(sandbox, deadline_after(timeout_s))
        except BaseException as error:
            await live.close()
            await self._node.destroy(sandbox.id)
            await self._ledger.ended(sandbox.id, EventKind.DIED, _describe(error))  # where it was written
            raise
        self._roster.take(live)
        self._roster.arm(sandbox.id, timeout_s)
        return live.sandbox

    async def _make_admitted(self, sandbox: Sandbox, template: Template, timeout_s: float | None) -> Sandbox:
        await self._ledger.open(sandbox)
        try:
            node_sandbox = await self._node.create(spec_of(sandbox, template))
            started = await self._ledger.started(sandbox, deadline_after(timeout_s))
            if started is None:
                raise SandboxGone(f"sandbox {sandbox.id} was ended while it was being made")
        except BaseException as error:
            await self._node.destroy(sandbox.id)
            await self._ledger.ended(sandbox.id, EventKind.FAILED, _describe(error))
            raise
        live = self._roster.enter(started, node_sandbox)
        self._roster.arm(sandbox.id, timeout_s)
        if "python" in sandbox.guest.kernels:
            self._tasks.spawn(_warm(live), name=f"warm {sandbox.id}")
        return started


async def _warm(live: LiveSandbox) -> None:
    """Start the interpreter while its user still thinks, so that the first line of code need not wait."""
    try:
        await live.interpreter.warm()
    except SandlotError as error:
        _log.info("interpreter not warmed", sandbox=live.id, reason=error.message)


def _describe(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "it took too long, or the server stopped"
    return error.message if isinstance(error, SandlotError) else f"{type(error).__name__}: {error}"
