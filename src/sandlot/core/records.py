"""Between the model and the store's rows."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sandlot.core.lifecycle import EventKind, State
from sandlot.core.model import Event, GuestConfig, Hooks, Sandbox, Snapshot
from sandlot.node import Tier
from sandlot.store import Row


def to_row(sandbox: Sandbox) -> Row:
    return asdict(sandbox) | {"isolation": sandbox.isolation.value, "state": sandbox.state.value}


def from_row(row: Row) -> Sandbox:
    typed = {
        "isolation": Tier(row["isolation"]),
        "state": State(row["state"]),
        "guest": GuestConfig(**row["guest"]),
        "hooks": Hooks(**row["hooks"]),
    }
    return Sandbox(**(row | typed))


def snapshot_to_row(snapshot: Snapshot) -> Row:
    return asdict(snapshot) | {"isolation": snapshot.isolation.value}


def snapshot_from_row(row: Row) -> Snapshot:
    typed = {
        "isolation": Tier(row["isolation"]),
        "guest": GuestConfig(**row["guest"]),
        "hooks": Hooks(**row["hooks"]),
    }
    return Snapshot(**(row | typed))


def event_row(
    sandbox_id: str,
    kind: EventKind,
    *,
    target: State | None = None,
    reason: str | None = None,
    details: dict[str, Any] | None = None,
) -> Row:
    return {
        "sandbox_id": sandbox_id,
        "at": datetime.now(UTC),
        "kind": kind,
        "from_state": None,
        "to_state": target.value if target else None,
        "reason": reason,
        "details": details or {},
    }


def event_from_row(row: Row) -> Event:
    return Event(
        at=row["at"],
        kind=row["kind"],
        from_state=State(row["from_state"]) if row["from_state"] else None,
        to_state=State(row["to_state"]) if row["to_state"] else None,
        reason=row["reason"],
        details=row["details"],
    )
