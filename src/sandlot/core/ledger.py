"""What is decided about a sandbox, written down: each change of state beside the event that explains it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from sandlot.core.clock import Clock
from sandlot.core.headcount import Headcount
from sandlot.core.lifecycle import EventKind, State, sources_of, target_of
from sandlot.core.mending import Mending
from sandlot.core.model import Event, ListQuery, Page, Sandbox
from sandlot.core.paging import decode_cursor, encode_cursor
from sandlot.core.records import event_from_row, event_row, from_row, to_row
from sandlot.errors import InvalidArgument, NotEnoughSpace, NotFound, Unavailable
from sandlot.store import SandboxStore

_log = structlog.get_logger(__name__)

MAX_PAGE = 1000
MAX_EVENTS = 1000
_PAY_EVERY_S = 1.0


def unknown(id: str) -> NotFound:
    """What is said of an id that never was, and of one that is none of the asker's business."""
    return NotFound(f"no sandbox has the id {id!r}")


class Ledger:
    """The one writer of states. A change that the life cycle does not know is not made."""

    def __init__(self, store: SandboxStore, clock: Clock | None = None) -> None:
        self._store = store
        self.headcount = Headcount()
        self._clock = clock or Clock()
        self._owed: dict[str, tuple[EventKind, str]] = {}
        self._owing = asyncio.Event()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    async def get(self, id: str) -> Sandbox:
        """Raises NotFound."""
        row = await self._store.get(id)
        if row is None:
            raise unknown(id)
        sandbox = from_row(row)
        if (owed := self._owed.get(id)) is not None:
            kind, reason = owed
            return replace(sandbox, state=target_of(kind), reason=reason)
        return sandbox

    async def made_with(self, tenant: str, idempotency_key: str) -> Sandbox | None:
        """What a tenant's earlier creation with this key has made."""
        row = await self._store.made_with(tenant, idempotency_key)
        return None if row is None else from_row(row)

    async def page(self, query: ListQuery, tenant: str | None = None) -> Page[Sandbox]:
        """In the order of creation; everybody's without a tenant.

        Raises InvalidArgument for a limit or cursor that cannot be.
        """
        if not 1 <= query.limit <= MAX_PAGE:
            raise InvalidArgument(f"limit must be from 1 to {MAX_PAGE}, not {query.limit}")
        rows = await self._store.page(
            tenant=tenant,
            states=query.states,
            metadata=query.metadata,
            template=query.template,
            since=query.since,
            beyond=decode_cursor(query.cursor) if query.cursor else None,
            oldest_first=query.oldest_first,
            limit=query.limit + 1,
        )
        items = [from_row(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(items, encode_cursor(items[-1].created_at, items[-1].id) if more else None)

    async def left_s(self, sandbox: Sandbox) -> float | None:
        """How long it may run on; None without end. By the clock that does not jump, where it is known."""
        if sandbox.deadline is None:
            return None
        for event in reversed(await self.events(sandbox.id)):
            if (set_at := event.details.get("uptime_s")) is not None:
                return float(event.details["timeout_s"]) - (self._clock.uptime_s() - float(set_at))
        return (sandbox.deadline - self._clock.now()).total_seconds()

    async def living(self) -> tuple[list[Sandbox], list[str]]:
        """Those that have not ended, oldest first, and the ids of those whose rows could not be read: they
        were set aside and have failed, and something of them may run.
        """
        sandboxes, aside = await Mending(self._store).living()
        for sandbox in sandboxes:
            self.headcount.enter(sandbox)
        return sandboxes, aside

    async def events(self, id: str) -> Sequence[Event]:
        """The newest thousand, oldest first."""
        return [event_from_row(row) for row in await self._store.events(id, limit=MAX_EVENTS)]

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    async def open(self, sandbox: Sandbox) -> None:
        """The first line of a new sandbox."""
        created = event_row(sandbox.id, EventKind.CREATED, target=State.CREATING, reason="requested")
        await self._store.add(to_row(sandbox), created)
        self.headcount.enter(sandbox)

    async def started(self, sandbox: Sandbox, deadline: datetime | None) -> Sandbox | None:
        """It runs; None where it was ended meanwhile."""
        now = self._clock.now()
        started = replace(sandbox, state=State.RUNNING, started_at=now, deadline=deadline)
        values = {"started_at": now, "deadline": deadline}
        details = self._timed(None if deadline is None else (deadline - now).total_seconds())
        moved = await self._move(sandbox.id, EventKind.STARTED, "its agent answers", values, details)
        return started if moved else None

    async def killing(self, id: str, reason: str) -> None:
        """Somebody wants it ended; from here it can only end."""
        await self._move(id, EventKind.KILLING, reason, {})

    async def ended(self, id: str, kind: EventKind, reason: str) -> None:
        """It is gone, and why. A sandbox that had ended before keeps its first reason.

        Where the database takes nothing now, it is written by ``pay_debts``, and told by ``get`` meanwhile.
        """
        try:
            await self._move(id, kind, reason, {"ended_at": self._clock.now()})
        except (NotEnoughSpace, Unavailable) as error:
            _log.error("a sandbox's end is not written down yet", sandbox=id, reason=error.message)
            self._owed[id] = kind, reason
            self._owing.set()

    async def pay_debts(self) -> None:
        """Write down what the database did not take, as soon as it does. Runs until it is cancelled."""
        while True:
            await self._owing.wait()
            await asyncio.sleep(_PAY_EVERY_S)
            for id, (kind, reason) in list(self._owed.items()):
                try:
                    await self._move(id, kind, reason, {"ended_at": self._clock.now()})
                except (NotEnoughSpace, Unavailable):
                    break
                del self._owed[id]
            if not self._owed:
                self._owing.clear()

    async def deadline(self, id: str, deadline: datetime | None, timeout_s: float | None) -> bool:
        """A new deadline; False where it does not run any more."""
        details = {"timeout_s": timeout_s, **self._timed(timeout_s)}
        event = event_row(id, EventKind.TIMEOUT, reason="set by request", details=details)
        return await self._store.change(id, {State.RUNNING}, {"deadline": deadline}, event)

    async def note(
        self, id: str, kind: EventKind, *, reason: str, details: Mapping[str, Any] | None = None
    ) -> None:
        """Something happened that changes no state."""
        await self._store.add_event(event_row(id, kind, reason=reason, details=dict(details or {})))

    async def forget_ended_before(self, age: timedelta) -> int:
        """Delete the history of sandboxes that ended longer ago than ``age``; how many."""
        return await self._store.forget_ended_before(self._clock.now() - age)

    def _timed(self, timeout_s: float | None) -> dict[str, Any]:
        """When a deadline was set, by the clock that does not jump."""
        if timeout_s is None:
            return {}
        return {"timeout_s": timeout_s, "uptime_s": round(self._clock.uptime_s(), 3)}

    async def _move(
        self,
        id: str,
        kind: EventKind,
        reason: str,
        values: Mapping[str, Any],
        details: dict[str, Any] | None = None,
    ) -> bool:
        target = target_of(kind)
        values = {**values, "state": target}
        if kind is EventKind.FAILED:
            values["idempotency_key"] = None  # who asks again with it gets another
        if target is not State.RUNNING:
            values["reason"] = reason
        event = event_row(id, kind, target=target, reason=reason, details=details)
        moved = await self._store.change(id, sources_of(kind), values, event)
        if moved:
            self.headcount.move(id, target, kind, reason)
        return moved
