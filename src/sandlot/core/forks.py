"""Forks: sandboxes made from one that runs, with its memory, processes and files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from sandlot.core.admission import Admission
from sandlot.core.creation import Creation
from sandlot.core.drafting import amounts_of, drafted_child, spec_of
from sandlot.core.hooks import HookRunner
from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.limits import Limits, check_timeout
from sandlot.core.model import Fork, Sandbox
from sandlot.core.refusal import why_not
from sandlot.core.roster import Roster
from sandlot.core.starting import Plan
from sandlot.core.tasks import Tasks
from sandlot.core.turnstile import Turnstile
from sandlot.errors import Conflict, InvalidArgument, LimitExceeded, SandboxGone, SandlotError, Unavailable
from sandlot.node import Node, NodeSandbox
from sandlot.store import Tenant

_log = structlog.get_logger(__name__)

Outcome = NodeSandbox | SandlotError


class Forks:
    """The children of one fork are let in together, copied together, and each then lives or fails alone."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        node: Node,
        limits: Limits,
        admission: Admission,
        roster: Roster,
        tasks: Tasks,
        turnstile: Turnstile,
        creation: Creation,
        hooks: HookRunner,
        abandon: Callable[[str], None],
    ) -> None:
        """``abandon`` is called with the id of a child whose creator went away before it learned that."""
        self._ledger = ledger
        self._node = node
        self._limits = limits
        self._admission = admission
        self._roster = roster
        self._tasks = tasks
        self._turnstile = turnstile
        self._creation = creation
        self._hooks = hooks
        self._abandon = abandon

    async def fork(self, id: str, tenant: Tenant, *, count: int, timeout_s: float | None) -> Sequence[Fork]:
        """In no order; where there is none at all this raises what the first has failed of.

        Raises NotFound, SandboxGone, SandboxPaused, InvalidArgument, Conflict, LimitExceeded, NotEnoughSpace,
        Unavailable. A caller that goes away before it learns the ids leaves no children.
        """
        if not 1 <= count <= self._limits.max_forks:
            raise InvalidArgument(
                f"count must be from 1 to {self._limits.max_forks} (max_forks), not {count}"
            )
        if timeout_s is not None:
            check_timeout(timeout_s, self._limits)
        parent = await self._running(id)
        if not parent.isolation.keeps_memory:
            raise Conflict(
                f"sandbox {id} is of tier {parent.isolation}, whose memory and processes cannot be copied;"
                " make a snapshot of its files with memory=false, and sandboxes from that"
            )
        children = [drafted_child(parent, timeout_s) for _ in range(count)]
        forking: asyncio.Task[Sequence[Fork] | SandlotError] = self._tasks.spawn(
            self._fork(parent, children, tenant), name=f"fork {id}"
        )
        try:
            outcome = await asyncio.shield(forking)
        except asyncio.CancelledError:
            if forking.cancelled():
                raise Unavailable("the server is stopping") from None
            forking.add_done_callback(lambda _: [self._abandon(child.id) for child in children])
            raise
        if isinstance(outcome, SandlotError):
            raise outcome
        return outcome

    async def _running(self, id: str) -> Sandbox:
        sandbox = await self._roster.sandbox(id)
        if id not in self._roster or sandbox.state is not State.RUNNING:
            raise why_not(sandbox)
        return sandbox

    async def _fork(
        self, parent: Sandbox, children: Sequence[Sandbox], tenant: Tenant
    ) -> Sequence[Fork] | SandlotError:
        """Errors are given, not raised: a task that fails is told to whoever runs the server."""
        asked = time.perf_counter()
        try:
            refused = await self._admit(children, tenant)
        except SandlotError as error:
            return error
        admitted = [child for child in children if child.id not in refused]
        copying = self._tasks.spawn(self._copy(parent.id, admitted), name=f"copy {parent.id}")
        within_s = self._limits.create_timeout_s * len(admitted)
        making = [
            self._creation.launch(
                self._plan(child, copying, place), child.timeout_s, asked=asked, within_s=within_s
            )
            for place, child in enumerate(admitted)
        ]
        await asyncio.wait(making)
        await self._forget_copies(admitted, making, await copying)
        forks = [*map(_outcome, making), *(Fork(None, error) for error in refused.values())]
        made = [fork.sandbox.id for fork in forks if fork.sandbox is not None]
        if not made:
            return forks[0].error or Unavailable("the sandbox could not be copied")
        await self._note(parent.id, made, failed=len(forks) - len(made))
        return forks

    async def _admit(self, children: Sequence[Sandbox], tenant: Tenant) -> dict[str, LimitExceeded]:
        """Those that were refused, where not all were. The first waits for its turn, for all of them."""
        first, *others = children
        await self._admission.enter(first.id, tenant, amounts_of(first))
        refused = {}
        for child in others:
            try:
                self._admission.join(child.id, tenant, amounts_of(child))
            except LimitExceeded as error:
                refused[child.id] = error
        return refused

    async def _copy(self, id: str, children: Sequence[Sandbox]) -> Sequence[Outcome]:
        async def work() -> Sequence[Outcome]:
            await self._running(id)
            return await self._node.fork(id, [spec_of(child) for child in children])

        try:
            return await self._turnstile.run(id, "fork", work)
        except SandlotError as error:
            return [error] * len(children)

    def _plan(self, child: Sandbox, copying: asyncio.Task[Sequence[Outcome]], place: int) -> Plan:
        async def make() -> NodeSandbox:
            try:
                outcomes = await asyncio.shield(copying)
            except asyncio.CancelledError:
                await asyncio.wait([copying])  # nothing can be removed of what is only being made
                raise
            if isinstance(outcome := outcomes[place], SandlotError):
                raise outcome
            return outcome

        return Plan(child, make, self._hooks.restored)

    async def _forget_copies(
        self,
        children: Sequence[Sandbox],
        making: Sequence[asyncio.Task[Sandbox]],
        outcomes: Sequence[Outcome],
    ) -> None:
        """A child that had failed before it was copied has left its copy."""
        for child, task, outcome in zip(children, making, outcomes, strict=True):
            failed = task.cancelled() or task.exception() is not None
            if failed and not isinstance(outcome, SandlotError):
                await self._node.destroy(child.id)

    async def _note(self, parent_id: str, children: Sequence[str], *, failed: int) -> None:
        details = {"children": list(children), "failed": failed}
        try:
            await self._ledger.note(
                parent_id, EventKind.FORKED, reason=f"{len(children)} were made from it", details=details
            )
        except SandlotError as error:
            _log.warning("fork not written down", sandbox=parent_id, reason=error.message)


def _outcome(making: asyncio.Task[Sandbox]) -> Fork:
    if making.cancelled():
        return Fork(None, SandboxGone("it was ended while it was being made"))
    error = making.exception()
    if error is None:
        return Fork(making.result())
    if isinstance(error, SandlotError):
        return Fork(None, error)
    raise error
