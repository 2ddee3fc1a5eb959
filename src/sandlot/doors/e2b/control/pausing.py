"""Pausing a sandbox, and coming back to it."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.model import Sandbox
from sandlot.core.tenancy import TenantEngine
from sandlot.doors.e2b.control.answers import opened, paused
from sandlot.doors.e2b.control.bodies import body_of
from sandlot.doors.e2b.control.models import DEFAULT_TIMEOUT_S, Connect, Pause
from sandlot.doors.e2b.control.sandboxes import found, named
from sandlot.doors.e2b.door import door_of
from sandlot.doors.e2b.errors import NotYet
from sandlot.doors.encoding import Json
from sandlot.errors import Conflict, InvalidArgument, Unavailable

_HEALTHY_S: Final = 5.0
"""So soon an agent has to answer where a pause is wanted only of one that does."""


async def e2b_pause_sandbox(request: Request) -> Response:
    engine, id = await named(request)
    body = await body_of(request, Pause)
    sandbox = await found(engine, id)
    if body.require_healthy_guest and not paused(sandbox):
        await _check_answers(engine, id)
    try:
        await engine.pause(id, memory=body.memory is not False)
    except Conflict as error:
        if paused(await found(engine, id)):
            raise
        # A conflict is to clients a sandbox that is paused already, and this one is not.
        raise InvalidArgument(error.message) from error
    return Response(status_code=204)


async def e2b_connect_sandbox(request: Request) -> Response:
    """Wakes a paused one. The time of one that runs may become longer by this, never shorter."""
    engine, id = await named(request)
    body = await body_of(request, Connect)
    before = await found(engine, id)
    _check_possible(body, before)
    timeout_s = DEFAULT_TIMEOUT_S if body.timeout is None else body.timeout
    sandbox = await engine.resume(id, timeout_s)
    resumed = paused(before) or request.url.path.endswith("/resume")
    return Json(opened(sandbox, door_of(request)), 201 if resumed else 200)


def _check_possible(body: Connect, sandbox: Sandbox) -> None:
    """Raises NotYet."""
    if body.memory is False and paused(sandbox) and sandbox.depth != "files":
        raise NotYet(
            "memory=false (on_resume 'reboot') is not supported yet by this server: a sandbox that was"
            " paused with its memory comes back with it; leave it out"
        )
    if body.auto_pause and sandbox.on_timeout != "pause":
        raise NotYet(
            "autoPause is not supported yet by this server where a sandbox resumes: say it when you create it"
        )


async def _check_answers(engine: TenantEngine, id: str) -> None:
    """Raises Unavailable."""
    live = await engine.live(id)
    try:
        async with asyncio.timeout(_HEALTHY_S):
            await live.agent.stat("/", user="root")
    except TimeoutError:
        raise Unavailable(
            f"the agent of sandbox {id} does not answer, so it was not paused; without 'strict' it would be"
        ) from None


_ONE: Final = "/sandboxes/{sandbox_id}"
ROUTES: Final = [
    Route(f"{_ONE}/pause", e2b_pause_sandbox, methods=["POST"]),
    Route(f"{_ONE}/connect", e2b_connect_sandbox, methods=["POST"]),
    Route(f"/v2{_ONE}/connect", e2b_connect_sandbox, methods=["POST"]),
    Route(f"{_ONE}/resume", e2b_connect_sandbox, methods=["POST"]),
]
