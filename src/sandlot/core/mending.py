"""Rows that cannot be read any more: set aside so that everything else goes on, and said."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import structlog

from sandlot.core.lifecycle import EventKind, State
from sandlot.core.model import GuestConfig, Hooks, Sandbox
from sandlot.core.records import event_row, from_row
from sandlot.node import Tier
from sandlot.store import Row, SandboxStore

_log = structlog.get_logger(__name__)

_ENDED = tuple(state for state in State if state.ended)
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)
_NOBODY = asdict(GuestConfig("root", "/", {}, {}))
_NEEDED = {"user", "workdir", "env", "kernels"}
_KEPT_CHARACTERS = 4000


class Mending:
    """For the start of a server: afterwards every row can be read."""

    def __init__(self, store: SandboxStore) -> None:
        self._store = store

    async def living(self) -> tuple[list[Sandbox], list[str]]:
        """Those that have not ended, oldest first, and the ids of those that were set aside."""
        aside = [
            id for id in await self._store.ids_with_broken_json() if await self._set_aside(id, "no JSON")
        ]
        sandboxes = []
        for id in await self._store.ids_outside(_ENDED):
            try:
                row = await self._store.get(id)
                if row is not None:
                    sandboxes.append(from_row(row))
            except _UNREADABLE as error:
                await self._set_aside(id, f"{type(error).__name__}: {error}")
                aside.append(id)
        return sandboxes, aside

    async def _set_aside(self, id: str, problem: str) -> bool:
        """True where it had not ended before, so that something of it may run."""
        raw = await self._store.raw(id)
        lived = raw["state"] not in _ENDED
        reason = f"its row in the database cannot be read ({problem})"
        _log.error("a row that cannot be read was set aside", sandbox=id, reason=problem)
        kept = {name: str(value)[:_KEPT_CHARACTERS] for name, value in raw.items()}
        written = [event_row(id, EventKind.DEGRADED, reason=reason, details={"row": kept})]
        values = _readable(raw)
        if lived:
            values |= {"state": State.FAILED, "reason": reason, "ended_at": datetime.now(UTC)}
            event = event_row(id, EventKind.FAILED, target=State.FAILED, reason=reason)
            written.append(event | {"from_state": raw["state"] if raw["state"] in set(State) else None})
        await self._store.mend(id, values, written)
        return lived


def _readable(raw: Row) -> Row:
    """Every value of the row that may be wrong, made into one that can be read."""
    values: Row = {name: _object(raw[name]) for name in ("env", "metadata")}
    guest = _object(raw["guest"])
    known = _NEEDED <= guest.keys() <= _NOBODY.keys()
    values["guest"] = guest if known else _NOBODY
    hooks = _object(raw["hooks"])
    values["hooks"] = hooks if hooks.keys() <= asdict(Hooks()).keys() else {}
    values["isolation"] = raw["isolation"] if raw["isolation"] in set(Tier) else Tier.GVISOR
    for name in ("created_at", "started_at", "deadline", "ended_at"):
        if not isinstance(raw[name], int | None):
            values[name] = datetime.now(UTC) if name == "created_at" else None
    for name in ("cpus", "memory_mib", "disk_mib", "pids"):
        if not isinstance(raw[name], int | float):
            values[name] = 0
    return values


def _object(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}
