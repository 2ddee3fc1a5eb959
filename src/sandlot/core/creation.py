"""From a request to a sandbox whose agent answers, or to nothing at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import structlog

from sandlot.core.admission import Admission
from sandlot.core.drafting import amounts_of, drafted, drafted_from, spec_of
from sandlot.core.hooks import HookRunner
from sandlot.core.ledger import Ledger
from sandlot.core.limits import Limits, settle
from sandlot.core.model import CreateSandbox, Sandbox
from sandlot.core.pools import Pools
from sandlot.core.roster import Roster
from sandlot.core.snapshots import Snapshots
from sandlot.core.starting import Plan, Starter
from sandlot.core.tasks import Tasks
from sandlot.images import Templates
from sandlot.node import Node
from sandlot.store import Tenant
from sandlot.tally import Durations

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
        snapshots: Snapshots,
        hooks: HookRunner,
    ) -> None:
        self._node = node
        self._templates = templates
        self._limits = limits
        self._admission = admission
        self._tasks = tasks
        self._pools = pools
        self._snapshots = snapshots
        self._hooks = hooks
        self._starter = Starter(
            ledger=ledger, node=node, limits=limits, admission=admission, roster=roster, tasks=tasks
        )
        self._making: dict[str, asyncio.Task[Sandbox]] = {}

    async def begin(self, request: CreateSandbox, tenant: Tenant) -> tuple[str, asyncio.Task[Sandbox]]:
        """The id of what will be, and the work, once there is room for it; until then who asks waits.

        Raises InvalidArgument, NotFound (template, snapshot), LimitExceeded, Unavailable.
        """
        if request.snapshot is not None:
            return await self._begin_from(request.snapshot, request, tenant)
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
        if hot is not None:
            work = self._starter.hand_over(sandbox, hot.live, request.timeout_s)
            return sandbox.id, self._spawn(sandbox, work, asked)
        spec = spec_of(sandbox, template)
        plan = Plan(sandbox, lambda: self._node.create(spec), self._hooks.created)
        return sandbox.id, self.launch(plan, request.timeout_s, asked=asked)

    def launch(
        self, plan: Plan, timeout_s: float | None, *, asked: float, within_s: float | None = None
    ) -> asyncio.Task[Sandbox]:
        """Start a sandbox that was let in; ``asked`` for when ``time.perf_counter`` said that."""
        return self._spawn(plan.sandbox, self._starter.start(plan, timeout_s, within_s), asked)

    def _spawn(
        self, sandbox: Sandbox, work: Coroutine[Any, Any, Sandbox], asked: float
    ) -> asyncio.Task[Sandbox]:
        making = self._tasks.spawn(work, name=f"create {sandbox.id}")
        self._making[sandbox.id] = making
        making.add_done_callback(lambda _: self._made(sandbox, making, asked))
        return making

    async def cancel(self, id: str) -> None:
        """If it is still being made, stop that and wait until nothing of it is left."""
        if (making := self._making.get(id)) is not None:
            making.cancel()
            await asyncio.wait([making])

    async def _begin_from(
        self, name: str, request: CreateSandbox, tenant: Tenant
    ) -> tuple[str, asyncio.Task[Sandbox]]:
        """As the snapshot of that id or name."""
        snapshot = await self._snapshots.get(tenant, name)
        sandbox = drafted_from(request, settle(request, self._limits, snapshot), snapshot, tenant)
        structlog.contextvars.bind_contextvars(sandbox=sandbox.id)
        asked = time.perf_counter()
        await self._admission.enter(sandbox.id, tenant, amounts_of(sandbox))
        QUEUE_SECONDS.observe(time.perf_counter() - asked)
        memory, spec = snapshot.memory, spec_of(sandbox)
        plan = Plan(
            sandbox,
            lambda: self._node.restore(spec, snapshot.id, memory=memory),
            lambda live: self._hooks.made_from(live, memory=memory),
        )
        return sandbox.id, self.launch(plan, request.timeout_s, asked=asked)

    def _made(self, sandbox: Sandbox, making: asyncio.Task[Sandbox], asked: float) -> None:
        self._making.pop(sandbox.id, None)
        if making.cancelled() or making.exception() is not None:
            self._admission.ended(sandbox.id)
        else:
            self._admission.started(sandbox.id)
            self._pools.stir()
            SECONDS.observe(time.perf_counter() - asked, sandbox.isolation)
