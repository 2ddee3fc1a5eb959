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
from sandlot.core.model import Depth, Event, ListQuery, Page, Sandbox
from sandlot.core.paging import decode_cursor, encode_cursor
from sandlot.core.records import event_from_row, event_row, from_row, to_row
from sandlot.errors import InvalidArgument, NotEnoughSpace, NotFound, Unavailable
from sandlot.store import Row, SandboxStore

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
        self._boot = self._clock.boot()
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
                if event.details.get("boot", self._boot) != self._boot:
                    break
                return float(event.details["timeout_s"]) - (self._clock.uptime_s() - float(set_at))
        return (sandbox.deadline - self._clock.now()).total_seconds()

    def machine_began(self) -> datetime:
        """When the machine was started, as near as its two clocks tell."""
        return self._clock.now() - timedelta(seconds=self._clock.uptime_s())

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
        await self._store.add(to_row(sandbox), _created(sandbox.id, "cold"))
        self.headcount.enter(sandbox)

    async def take(self, sandbox: Sandbox, deadline: datetime | None) -> Sandbox:
        """One that runs already, as hot ones do, is somebody's now."""
        now = self._clock.now()
        taken = replace(sandbox, state=State.RUNNING, started_at=now, deadline=deadline)
        details = self._timed(None if deadline is None else (deadline - now).total_seconds())
        why, target = "it ran already and was nobody's", State.RUNNING
        started = event_row(sandbox.id, EventKind.STARTED, target=target, reason=why, details=details)
        started["from_state"] = State.CREATING.value
        await self._store.add(to_row(taken), _created(sandbox.id, "hot"), started)
        self.headcount.enter(sandbox)
        self.headcount.move(sandbox.id, target, EventKind.STARTED, why)
        return taken

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
            await self._move(id, kind, reason, self._end_now())
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
                    await self._move(id, kind, reason, self._end_now())
                except (NotEnoughSpace, Unavailable):
                    break
                del self._owed[id]
            if not self._owed:
                self._owing.clear()

    async def deadline(self, id: str, deadline: datetime | None, timeout_s: float | None) -> bool:
        """A new deadline; False where it does not run any more."""
        details = {"timeout_s": timeout_s, **self._timed(timeout_s)}
        event = event_row(id, EventKind.TIMEOUT, reason="set by request", details=details)
        values = {"deadline": deadline, "timeout_s": timeout_s}
        return await self._store.change(id, {State.RUNNING}, values, event)

    async def pausing(self, id: str, depth: Depth, reason: str) -> bool:
        """It is being put on disk; False where it does not run."""
        return await self._move(id, EventKind.PAUSING, reason, {"depth": depth})

    async def paused(self, sandbox: Sandbox, depth: Depth, reason: str) -> Sandbox | None:
        """It stands still, and is kept so from now on; None where it was ended meanwhile."""
        now, kept_s = self._clock.now(), sandbox.keep_paused_s
        deadline = None if kept_s is None else now + timedelta(seconds=kept_s)
        values: dict[str, Any] = {"paused_at": now, "depth": depth, "deadline": deadline}
        details = {"depth": depth, **self._timed(kept_s)}
        moved = await self._move(sandbox.id, EventKind.PAUSED, reason, values, details)
        return replace(sandbox, state=State.PAUSED, reason=reason, **values) if moved else None

    async def pause_failed(self, id: str, reason: str) -> bool:
        """It runs on as it was."""
        return await self._move(id, EventKind.PAUSE_FAILED, reason, {"depth": None})

    async def deepened(self, id: str, depth: Depth, reason: str) -> bool:
        """It was paused before, and is kept in another way now."""
        event = event_row(id, EventKind.DEEPENED, reason=reason, details={"depth": depth})
        return await self._store.change(id, {State.PAUSED}, {"depth": depth}, event)

    async def resuming(self, id: str, reason: str) -> bool:
        """It is being read from disk; False where it is not paused."""
        return await self._move(id, EventKind.RESUMING, reason, {})

    async def rolling_back(self, id: str, reason: str) -> bool:
        """It goes back to a snapshot; False where it neither runs nor is paused."""
        return await self._move(id, EventKind.ROLLING_BACK, reason, {})

    async def roll_back_failed(self, id: str, reason: str) -> bool:
        """It runs on as it was."""
        return await self._move(id, EventKind.ROLL_BACK_FAILED, reason, {"reason": None})

    async def resumed(self, sandbox: Sandbox, timeout_s: float | None, reason: str) -> Sandbox | None:
        """It runs again, with a deadline counted from now; None where it was ended meanwhile.

        What it went back to, and which generation that is, is written down as ``sandbox`` has it.
        """
        values: dict[str, Any] = {
            "deadline": None if timeout_s is None else self._clock.now() + timedelta(seconds=timeout_s),
            "timeout_s": timeout_s,
            "paused_at": None,
            "depth": None,
            "generation": sandbox.generation,
            "snapshot_id": sandbox.snapshot_id,
            "reason": None,
        }
        moved = await self._move(sandbox.id, EventKind.RESUMED, reason, values, self._timed(timeout_s))
        return replace(sandbox, state=State.RUNNING, **values) if moved else None

    async def resume_failed(self, id: str, reason: str) -> bool:
        """It is paused as before."""
        return await self._move(id, EventKind.RESUME_FAILED, reason, {})

    async def note(
        self, id: str, kind: EventKind, *, reason: str, details: Mapping[str, Any] | None = None
    ) -> None:
        """Something happened that changes no state."""
        await self._store.add_event(event_row(id, kind, reason=reason, details=dict(details or {})))

    async def forget_ended_before(self, age: timedelta) -> int:
        """Delete the history of sandboxes that ended longer ago than ``age``; how many."""
        return await self._store.forget_ended_before(self._clock.now() - age)

    def _end_now(self) -> dict[str, Any]:
        return {"ended_at": self._clock.now(), "depth": None}

    def _timed(self, timeout_s: float | None) -> dict[str, Any]:
        """When a deadline was set, by the clock that does not jump."""
        if timeout_s is None:
            return {}
        return {"timeout_s": timeout_s, "uptime_s": round(self._clock.uptime_s(), 3), "boot": self._boot}

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


def _created(id: str, start: str) -> Row:
    details = {"start": start}
    return event_row(id, EventKind.CREATED, target=State.CREATING, reason="requested", details=details)
