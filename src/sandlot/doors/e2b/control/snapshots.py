"""Snapshots. To these clients each is a template: new sandboxes are made from it by its id or its name."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.model import CreateSnapshot, Snapshot
from sandlot.core.tenancy import TenantEngine
from sandlot.doors.e2b.control import models
from sandlot.doors.e2b.control.bodies import body_of
from sandlot.doors.e2b.control.names import snapshot_named
from sandlot.doors.e2b.control.queries import integer
from sandlot.doors.e2b.control.sandboxes import found, named
from sandlot.doors.e2b.door import engine_of
from sandlot.doors.encoding import Json
from sandlot.doors.streaming import while_connected
from sandlot.errors import NotFound

_PAGE: Final = 100


async def e2b_create_snapshot(request: Request) -> Response:
    """To these clients a name means the newest snapshot that was given it."""
    engine, id = await named(request)
    body = await body_of(request, models.Snapshot)
    await found(engine, id)
    wish = CreateSnapshot(body.name or None, body.memory, take_name=True)
    return Json(_answer(await while_connected(request.receive, engine.snapshot(id, wish))), 201)


async def e2b_list_snapshots(request: Request) -> Response:
    """A page; the next one's name is in a header."""
    engine = await engine_of(request)
    limit = integer(request, "limit")
    cursor = request.query_params.get("nextToken") or None
    sandbox_id = request.query_params.get("sandboxID", "").partition("-")[0] or None
    if name := request.query_params.get("name"):
        return Json([_answer(each) for each in await _called(engine, name, sandbox_id)])
    page = await engine.snapshots(
        sandbox_id=sandbox_id, limit=_PAGE if limit is None else limit, cursor=cursor
    )
    more = {} if page.next_cursor is None else {"x-next-token": page.next_cursor}
    return Json([_answer(each) for each in page.items], headers=more)


async def _called(engine: TenantEngine, name: str, sandbox_id: str | None) -> list[Snapshot]:
    try:
        snapshot = await engine.get_snapshot(snapshot_named(name))
    except NotFound:
        return []
    return [snapshot] if sandbox_id in (None, snapshot.sandbox_id) else []


def _answer(snapshot: Snapshot) -> dict[str, Any]:
    return {"snapshotID": snapshot.id, "names": [] if snapshot.name is None else [snapshot.name]}


ROUTES: Final = [
    Route("/sandboxes/{sandbox_id}/snapshots", e2b_create_snapshot, methods=["POST"]),
    Route("/snapshots", e2b_list_snapshots, methods=["GET"]),
]
