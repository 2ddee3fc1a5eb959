"""The engine: every use case that a door may ask for. It decides; doors translate."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sandlot.core.adoption import Adoption
from sandlot.core.creation import Creation, deadline_after
from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.limits import Limits, check_timeout
from sandlot.core.live import LiveSandbox
from sandlot.core.model import CreateSandbox, Event, ListQuery, Metrics, Page, Sandbox
from sandlot.core.roster import Roster
from sandlot.core.tasks import Tasks
from sandlot.errors import Conflict, SandboxGone, SandlotError, Unavailable
from sandlot.images import TemplateInfo, Templates
from sandlot.node import HostReport, Node
from sandlot.store import SandboxStore

_SWEEP_HISTORY_EVERY_S = 3600.0
_DEATH_IS_NOTICED_S = 2.0


class Engine:
    """All sandboxes of one server. State lives in the store and on the node; this holds only connections."""

    def __init__(self, *, store: SandboxStore, node: Node, templates: Templates, limits: Limits) -> None:
        self.limits = limits
        self._node = node
        self._templates = templates
        self._ledger = Ledger(store)
        self._tasks = Tasks()
        self._roster = Roster(self._ledger, node, self._tasks, expire=self._expire)
        self._creation = Creation(
            ledger=self._ledger,
            node=node,
            templates=templates,
            limits=limits,
            roster=self._roster,
            tasks=self._tasks,
        )
        self._kills: dict[str, asyncio.Task[bool]] = {}
        self._accepting = False

    # ── the server's life ────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Adopt what a former server left running, end what it left half-made, then accept requests."""
        await self._node.start()
        await Adoption(self._ledger, self._node, self._roster).run()
        self._tasks.spawn(self._forget_history(), name="forget ended sandboxes")
        self._accepting = True

    async def stop(self) -> None:
        """Let go of everything. Sandboxes go on running; the next start adopts them."""
        self._accepting = False
        self._roster.disarm()
        await asyncio.gather(*self._kills.values(), return_exceptions=True)
        await self._tasks.close()
        await self._roster.close()
        await self._node.stop()

    # ── use cases ────────────────────────────────────────────────────────────────────────────────────

    async def create(self, request: CreateSandbox) -> Sandbox:
        """A sandbox whose agent answers.

        Raises InvalidArgument, NotFound (template), TierUnavailable, LimitExceeded, NotEnoughSpace,
        DeadlineExceeded, Unavailable. A caller that goes away before it learns the id leaves no sandbox.
        """
        if not self._accepting:
            raise Unavailable("the server is starting or stopping; try again in a moment")
        id, making = await self._creation.begin(request)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            if making.cancelled():
                raise await self._gone(id) from None
            making.add_done_callback(lambda _: self._abandon(id))
            raise

    async def get(self, id: str) -> Sandbox:
        """Raises NotFound."""
        if (live := self._roster.get(id)) is not None:
            return live.sandbox
        return await self._ledger.get(id)

    async def list(self, query: ListQuery) -> Page[Sandbox]:
        """Newest first. Raises InvalidArgument for a limit or cursor that cannot be."""
        return await self._ledger.page(query)

    async def kill(self, id: str, reason: str = "killed by request") -> bool:
        """End a sandbox; True where this call or one beside it ended it, False where it had ended before.

        Raises NotFound. Returns when nothing of it runs any more.
        """
        await self.get(id)
        if (running := self._kills.get(id)) is None:
            running = self._tasks.spawn(self._kill(id, reason), name=f"kill {id}")
            self._kills[id] = running
            running.add_done_callback(lambda _: self._kills.pop(id, None))
        return await asyncio.shield(running)

    async def set_timeout(self, id: str, timeout_s: float | None) -> Sandbox:
        """A new deadline, counted from now. Raises NotFound, SandboxGone, InvalidArgument."""
        live = await self.live(id)
        if timeout_s is not None:
            check_timeout(timeout_s, self.limits)
        deadline = deadline_after(timeout_s)
        if not await self._ledger.deadline(id, deadline, timeout_s):
            raise await self._gone(id)
        live.sandbox = replace(live.sandbox, deadline=deadline)
        self._roster.arm(id, timeout_s)
        return live.sandbox

    async def live(self, id: str) -> LiveSandbox:
        """The running sandbox. Raises NotFound, SandboxGone (state and reason), Conflict, Unavailable."""
        live = self._roster.get(id)
        if live is None or live.sandbox.state is not State.RUNNING:
            raise await self._gone(id)
        return live

    async def explain(self, id: str, error: SandlotError) -> SandlotError:
        """What a caller should hear whose talk with a sandbox broke off: its end, where that is why."""
        if not isinstance(error, Unavailable):
            return error
        if (live := self._roster.get(id)) is None:
            return await self._gone(id)
        try:
            async with asyncio.timeout(_DEATH_IS_NOTICED_S):
                reason = await live.node.wait_dead()
        except TimeoutError:
            return error
        return SandboxGone(f"sandbox {id} has ended: {reason}", reason=reason)

    async def metrics(self, id: str) -> Metrics:
        return await (await self.live(id)).metrics()

    async def events(self, id: str) -> Sequence[Event]:
        """The newest thousand, oldest first. Raises NotFound."""
        await self.get(id)
        return await self._ledger.events(id)

    async def templates(self) -> Sequence[TemplateInfo]:
        return await asyncio.to_thread(self._templates.list)

    async def host(self) -> HostReport:
        return await self._node.report()

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────

    async def _kill(self, id: str, reason: str) -> bool:
        sandbox = await self.get(id)
        if sandbox.state.ended:
            return False
        await self._ledger.killing(id, reason)
        await self._creation.cancel(id)
        live = self._roster.leave(id)
        if live is not None:
            await live.close()
        await self._node.destroy(id)
        await self._ledger.ended(id, EventKind.KILLED, reason)
        return True

    def _expire(self, id: str) -> Coroutine[Any, Any, bool]:
        return self.kill(id, "its timeout ran out")

    def _abandon(self, id: str) -> None:
        if id in self._roster:
            work = self.kill(id, "its creator went away before it was ready")
            self._tasks.spawn(work, name=f"abandon {id}")

    async def _gone(self, id: str) -> SandlotError:
        sandbox = await self.get(id)
        if sandbox.state is State.CREATING:
            return Conflict(f"sandbox {id} is still being created")
        if sandbox.state is State.RUNNING:
            return Unavailable(f"sandbox {id} is being adopted after a restart of the server; try again")
        now = "being killed" if sandbox.state is State.KILLING else sandbox.state
        return SandboxGone(
            f"sandbox {id} is {now}: {sandbox.reason}",
            state=sandbox.state.value,
            reason=sandbox.reason,
        )

    async def _forget_history(self) -> None:
        while True:
            await self._ledger.forget_ended_before(timedelta(seconds=self.limits.history_s))
            await asyncio.sleep(_SWEEP_HISTORY_EVERY_S)
