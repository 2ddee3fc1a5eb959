"""A sandbox's own log, its events, as lines of the vendor's. It is kept for some days after the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.lifecycle import EventKind
from sandlot.core.model import Event
from sandlot.doors.e2b.control.answers import instant
from sandlot.doors.e2b.control.queries import choice, integer
from sandlot.doors.e2b.control.sandboxes import named
from sandlot.doors.encoding import Json
from sandlot.errors import InvalidArgument

_MOST: Final = 1000
_LOGGER: Final = "sandlot"


class Level(StrEnum):
    """In the order of their weight."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class Direction(StrEnum):
    FORWARD = "forward"
    BACKWARD = "backward"


_WEIGHTS: Final = list(Level)
_LEVELS: Final[Mapping[str, Level]] = {
    EventKind.DIED: Level.ERROR,
    EventKind.FAILED: Level.ERROR,
    EventKind.OOM: Level.WARN,
    EventKind.DEGRADED: Level.WARN,
    EventKind.LEFTOVER: Level.WARN,
}


async def e2b_get_logs(request: Request) -> Response:
    """The older generation's: each line is text of JSON, from the millisecond ``start``."""
    engine, id = await named(request)
    start, limit = integer(request, "start") or 0, _limit(request)
    events = [event for event in await engine.events(id) if _ms(event) >= start][:limit]
    lines = [{"timestamp": instant(event.at), "line": json.dumps(_line(event))} for event in events]
    return Json({"logs": lines, "logEntries": [_entry(event) for event in events]})


async def e2b_query_logs(request: Request) -> Response:
    """Back from the millisecond ``cursor``, or on from there; of a level and above, with a text in it."""
    engine, id = await named(request)
    forward = choice(request, "direction", Direction) is Direction.FORWARD
    level, search = choice(request, "level", Level), request.query_params.get("search", "")
    cursor, limit = integer(request, "cursor"), _limit(request)
    events: Iterable[Event] = await engine.events(id)
    if not forward:
        events = reversed(list(events))
    found = [
        event
        for event in events
        if (level is None or _WEIGHTS.index(_level(event)) >= _WEIGHTS.index(level))
        and search in _message(event)
        and (cursor is None or (_ms(event) >= cursor if forward else _ms(event) <= cursor))
    ]
    return Json({"logs": [_entry(event) for event in found[:limit]]})


def _limit(request: Request) -> int:
    limit = integer(request, "limit")
    if limit is not None and not 0 <= limit <= _MOST:
        raise InvalidArgument(f"limit must be from 0 to {_MOST}, not {limit}")
    return _MOST if limit is None else limit


def _entry(event: Event) -> dict[str, Any]:
    fields = {"logger": _LOGGER, "kind": event.kind}
    fields |= {name: str(value) for name, value in event.details.items()}
    return {
        "timestamp": instant(event.at),
        "message": _message(event),
        "level": _level(event),
        "fields": fields,
    }


def _line(event: Event) -> dict[str, Any]:
    named = {"level": _level(event), "logger": _LOGGER, "message": _message(event), "kind": event.kind}
    return {**event.details, **named}


def _message(event: Event) -> str:
    return f"{event.kind}: {event.reason}" if event.reason else event.kind


def _level(event: Event) -> Level:
    return _LEVELS.get(event.kind, Level.INFO)


def _ms(event: Event) -> int:
    return int(event.at.timestamp() * 1000)


ROUTES: Final = [
    Route("/sandboxes/{sandbox_id}/logs", e2b_get_logs, methods=["GET"]),
    Route("/v2/sandboxes/{sandbox_id}/logs", e2b_query_logs, methods=["GET"]),
]
