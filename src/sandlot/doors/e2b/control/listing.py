"""Lists of the sandboxes that are there."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.lifecycle import State
from sandlot.core.model import ListQuery
from sandlot.doors.e2b.control.answers import PAUSED, listed
from sandlot.doors.e2b.control.names import ours
from sandlot.doors.e2b.control.queries import choice, integer, moment, pairs
from sandlot.doors.e2b.door import engine_of
from sandlot.doors.encoding import Json
from sandlot.errors import InvalidArgument

_STATES: Final = {"running": frozenset({State.RUNNING}), "paused": PAUSED}
_WHOLE: Final = 1000


class Order(StrEnum):
    ASC = "asc"
    DESC = "desc"


async def e2b_list_sandboxes(request: Request) -> Response:
    """A page; the next one's name is in a header."""
    engine = await engine_of(request)
    template = request.query_params.get("template")
    query = ListQuery(
        states=_states(request.query_params.get("state")),
        metadata=pairs(request, "metadata"),
        limit=100 if (limit := integer(request, "limit")) is None else limit,
        cursor=request.query_params.get("nextToken") or None,
        template=ours(template) if template else None,
        since=moment(request, "startedAfter"),
        oldest_first=choice(request, "order", Order) is Order.ASC,
    )
    page = await engine.list(query)
    more = {} if page.next_cursor is None else {"x-next-token": page.next_cursor}
    return Json([listed(sandbox) for sandbox in page.items], headers=more)


async def e2b_list_all_sandboxes(request: Request) -> Response:
    """The older generation's, which knows no pages and no paused ones."""
    engine = await engine_of(request)
    found = []
    query = ListQuery(states=_STATES["running"], metadata=pairs(request, "metadata"), limit=_WHOLE)
    page = await engine.list(query)
    found += page.items
    while page.next_cursor is not None:
        page = await engine.list(ListQuery(query.states, query.metadata, _WHOLE, page.next_cursor))
        found += page.items
    return Json([listed(sandbox) for sandbox in found])


def _states(text: str | None) -> frozenset[State]:
    """Raises InvalidArgument."""
    wanted = {word.strip() for word in (text or "running,paused").split(",")}
    if unknown := wanted - _STATES.keys():
        raise InvalidArgument(f"state: {min(unknown)[:40]!r} is none of running, paused")
    return frozenset().union(*(_STATES[word] for word in wanted))


ROUTES: Final = [
    Route("/sandboxes", e2b_list_all_sandboxes, methods=["GET"]),
    Route("/v2/sandboxes", e2b_list_sandboxes, methods=["GET"]),
]
