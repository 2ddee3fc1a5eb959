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
from sandlot.core.timers import Timers
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
        entered: Callable[[LiveSandbox], object],
        gone: Callable[[str], object],
    ) -> None:
        """``expire`` is called with the id of a sandbox whose time is up, ``entered`` with whoever comes.

        ``gone``: with the id of one which died by itself, once nothing of it is left.
        """
        self._ledger = ledger
        self._node = node
        self._tasks = tasks
        self._meter = meter
        self._entered = entered
        self._gone = gone
        self._live: dict[str, LiveSandbox] = {}
        self._watches: dict[str, list[asyncio.Task[None]]] = {}
        self._deadlines = Timers(tasks, "expire", expire)

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[LiveSandbox]:
        return iter(list(self._live.values()))

    def __contains__(self, id: str) -> bool:
        return id in self._live

    def get(self, id: str) -> LiveSandbox | None:
        return self._live.get(id)

    async def sandbox(self, id: str) -> Sandbox:
        """As it is now, whether it stands here or is only written down. Raises NotFound."""
        live = self._live.get(id)
        return live.sandbox if live is not None else await self._ledger.get(id)

    def enter(self, sandbox: Sandbox, node_sandbox: NodeSandbox, *, adopted: bool = False) -> LiveSandbox:
        live = LiveSandbox(sandbox, node_sandbox)
        self.take(live, adopted=adopted)
        return live

    def take(self, live: LiveSandbox, *, adopted: bool = False) -> None:
        """One that has run before, here or elsewhere: from now on it is found here, and watched."""
        self._live[live.id] = live
        self._meter.begin(live.sandbox, adopted=adopted)
        self._watches[live.id] = [
            self._tasks.spawn(work, name=f"{name} {live.id}", context=about(live.id))
            for work, name in ((self._watch(live), "watch"), (self._log_oom(live), "watch memory"))
        ]
        self._entered(live)

    def watch_books(self) -> None:
        """From now on, write down what could not be removed, and what could not be written down."""
        self._tasks.spawn(self._ledger.pay_debts(), name="write down what was not")
        self._tasks.spawn(self._log_remains(), name="watch for remains")

    def leave(self, id: str) -> LiveSandbox | None:
        """Nobody finds it here any more; who holds it sees that it is being killed."""
        self.arm(id, None)
        self._watches.pop(id, None)  # they end with it
        live = self._live.pop(id, None)
        if live is not None:
            live.sandbox = replace(live.sandbox, state=State.KILLING)
        return live

    def lay_down(self, id: str) -> LiveSandbox | None:
        """Nobody finds it here, and the end of what runs of it is not its death; ``take`` it up again."""
        self.arm(id, None)
        for watch in self._watches.pop(id, []):
            watch.cancel()
        return self._live.pop(id, None)

    def arm(self, id: str, timeout_s: float | None) -> None:
        """Its time is up so many seconds from now, instead of whenever it was; None for never."""
        self._deadlines.arm(id, timeout_s)

    def disarm(self) -> None:
        """No deadline ends anything any more."""
        self._deadlines.close()

    async def close(self) -> None:
        """Let go of all; they run on."""
        await asyncio.gather(*(live.close() for live in self), return_exceptions=True)
        self._live.clear()

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
