"""The sandboxes that run: who watches each, and when its time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict, replace
from typing import Any

import structlog

from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.live import LiveSandbox
from sandlot.core.metering import Meter
from sandlot.core.model import Sandbox
from sandlot.core.tasks import Tasks
from sandlot.errors import SandlotError
from sandlot.log_context import about
from sandlot.node import Node, NodeSandbox
from sandlot.tally import Counts

_log = structlog.get_logger(__name__)

OOMS = Counts("tier")
"""How often something inside a sandbox was ended for want of memory; several at once are one."""


class Roster:
    """Whoever enters is watched: for its death, for want of memory, for its deadline."""

    def __init__(
        self,
        ledger: Ledger,
        node: Node,
        tasks: Tasks,
        meter: Meter,
        *,
        expire: Callable[[str], Coroutine[Any, Any, object]],
        gone: Callable[[str], object],
    ) -> None:
        """``expire`` is called with the id of a sandbox whose time is up.

        ``gone``: with that of one which died by itself, once nothing of it is left.
        """
        self._ledger = ledger
        self._node = node
        self._tasks = tasks
        self._meter = meter
        self._expire = expire
        self._gone = gone
        self._live: dict[str, LiveSandbox] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[LiveSandbox]:
        return iter(list(self._live.values()))

    def __contains__(self, id: str) -> bool:
        return id in self._live

    def get(self, id: str) -> LiveSandbox | None:
        return self._live.get(id)

    def enter(self, sandbox: Sandbox, node_sandbox: NodeSandbox, *, adopted: bool = False) -> LiveSandbox:
        live = LiveSandbox(sandbox, node_sandbox)
        self._live[sandbox.id] = live
        self._meter.begin(sandbox, adopted=adopted)
        for work, name in ((self._watch(live), "watch"), (self._log_oom(live), "watch memory")):
            self._tasks.spawn(work, name=f"{name} {sandbox.id}", context=about(sandbox.id))
        return live

    def watch_books(self) -> None:
        """From now on, write down what could not be removed, and what could not be written down."""
        self._tasks.spawn(self._ledger.pay_debts(), name="write down what was not")
        self._tasks.spawn(self._log_remains(), name="watch for remains")

    def leave(self, id: str) -> LiveSandbox | None:
        """Nobody finds it here any more; who holds it sees that it is being killed."""
        self.arm(id, None)
        live = self._live.pop(id, None)
        if live is not None:
            live.sandbox = replace(live.sandbox, state=State.KILLING)
        return live

    def arm(self, id: str, timeout_s: float | None) -> None:
        """End it so many seconds from now, instead of whenever it was; None for never."""
        if (old := self._deadlines.pop(id, None)) is not None:
            old.cancel()
        if timeout_s is not None:
            self._deadlines[id] = asyncio.get_running_loop().call_later(
                timeout_s, self._time_is_up, id, context=about(id)
            )

    def disarm(self) -> None:
        """No deadline ends anything any more."""
        for timer in self._deadlines.values():
            timer.cancel()
        self._deadlines.clear()

    async def close(self) -> None:
        """Let go of all; they run on."""
        await asyncio.gather(*(live.close() for live in self), return_exceptions=True)
        self._live.clear()

    def _time_is_up(self, id: str) -> None:
        self._tasks.spawn(self._expire(id), name=f"expire {id}")

    async def _watch(self, live: LiveSandbox) -> None:
        reason = await live.node.wait_dead()
        if self._live.get(live.id) is not live:
            return
        self.leave(live.id)
        _log.warning("sandbox died", sandbox=live.id, reason=reason)
        await self._ledger.ended(live.id, EventKind.DIED, reason)
        await live.close()
        await self._meter.end(live.id)
        await self._node.destroy(live.id)
        self._gone(live.id)

    async def _log_remains(self) -> None:
        while True:
            remains = await self._node.next_remains()
            reason = f"not all of it could be removed yet: {'; '.join(remains.reasons)}"
            try:
                await self._ledger.note(remains.id, EventKind.LEFTOVER, reason=reason)
            except SandlotError as error:
                _log.warning("remains not written down", sandbox=remains.id, reason=error.message)

    async def _log_oom(self, live: LiveSandbox) -> None:
        async for event in live.node.oom_events():
            OOMS.add(live.sandbox.isolation)
            await self._ledger.note(live.id, EventKind.OOM, reason=event.reason, details=asdict(event))
