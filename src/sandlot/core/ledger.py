"""What is decided about a sandbox, written down: each change of state beside the event that explains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sandlot.core.headcount import Headcount
from sandlot.core.lifecycle import LIVE, EventKind, State, sources_of, target_of
from sandlot.core.model import Event, ListQuery, Page, Sandbox
from sandlot.core.paging import decode_cursor, encode_cursor
from sandlot.core.records import event_from_row, event_row, from_row, to_row
from sandlot.errors import InvalidArgument, NotFound
from sandlot.store import SandboxStore

MAX_PAGE = 1000
MAX_EVENTS = 1000


def unknown(id: str) -> NotFound:
    """What is said of an id that never was, and of one that is none of the asker's business."""
    return NotFound(f"no sandbox has the id {id!r}")


class Ledger:
    """The one writer of states. A change that the life cycle does not know is not made."""

    def __init__(self, store: SandboxStore) -> None:
        self._store = store
        self.headcount = Headcount()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    async def get(self, id: str) -> Sandbox:
        """Raises NotFound."""
        row = await self._store.get(id)
        if row is None:
            raise unknown(id)
        return from_row(row)

    async def page(self, query: ListQuery, tenant: str | None = None) -> Page[Sandbox]:
        """Newest first; everybody's without a tenant.

        Raises InvalidArgument for a limit or cursor that cannot be.
        """
        if not 1 <= query.limit <= MAX_PAGE:
            raise InvalidArgument(f"limit must be from 1 to {MAX_PAGE}, not {query.limit}")
        rows = await self._store.page(
            tenant=tenant,
            states=query.states,
            metadata=query.metadata,
            before=decode_cursor(query.cursor) if query.cursor else None,
            limit=query.limit + 1,
        )
        items = [from_row(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(items, encode_cursor(items[-1].created_at, items[-1].id) if more else None)

    async def living(self) -> list[Sandbox]:
        """Those that have not ended, oldest first."""
        sandboxes = [from_row(row) for row in await self._store.in_states(LIVE)]
        for sandbox in sandboxes:
            self.headcount.enter(sandbox)
        return sandboxes

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
        started = replace(sandbox, state=State.RUNNING, started_at=datetime.now(UTC), deadline=deadline)
        values = {"started_at": started.started_at, "deadline": deadline}
        moved = await self._move(sandbox.id, EventKind.STARTED, "its agent answers", values)
        return started if moved else None

    async def killing(self, id: str, reason: str) -> None:
        """Somebody wants it ended; from here it can only end."""
        await self._move(id, EventKind.KILLING, reason, {})

    async def ended(self, id: str, kind: EventKind, reason: str) -> None:
        """It is gone, and why. A sandbox that had ended before keeps its first reason."""
        await self._move(id, kind, reason, {"ended_at": datetime.now(UTC)})

    async def deadline(self, id: str, deadline: datetime | None, timeout_s: float | None) -> bool:
        """A new deadline; False where it does not run any more."""
        event = event_row(id, EventKind.TIMEOUT, reason="set by request", details={"timeout_s": timeout_s})
        return await self._store.change(id, {State.RUNNING}, {"deadline": deadline}, event)

    async def note(
        self, id: str, kind: EventKind, *, reason: str, details: Mapping[str, Any] | None = None
    ) -> None:
        """Something happened that changes no state."""
        await self._store.add_event(event_row(id, kind, reason=reason, details=dict(details or {})))

    async def forget_ended_before(self, age: timedelta) -> int:
        """Delete the history of sandboxes that ended longer ago than ``age``; how many."""
        return await self._store.forget_ended_before(datetime.now(UTC) - age)

    async def _move(self, id: str, kind: EventKind, reason: str, values: Mapping[str, Any]) -> bool:
        target = target_of(kind)
        values = {**values, "state": target}
        if target is not State.RUNNING:
            values["reason"] = reason
        event = event_row(id, kind, target=target, reason=reason)
        moved = await self._store.change(id, sources_of(kind), values, event)
        if moved:
            self.headcount.move(id, target, kind, reason)
        return moved
