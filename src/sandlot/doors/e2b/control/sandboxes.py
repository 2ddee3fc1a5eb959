"""Sandboxes: make, find, time, end."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.ids import is_sandbox_id
from sandlot.core.lifecycle import State
from sandlot.core.model import Sandbox
from sandlot.core.tenancy import TenantEngine
from sandlot.doors.e2b.control.answers import detailed, opened, paused
from sandlot.doors.e2b.control.bodies import body_of
from sandlot.doors.e2b.control.creating import made, wish_of
from sandlot.doors.e2b.control.models import (
    LEAST_REFRESH_S,
    NewSandbox,
    Refresh,
    Timeout,
)
from sandlot.doors.e2b.door import door_of, engine_of
from sandlot.doors.encoding import Json
from sandlot.doors.streaming import while_connected
from sandlot.errors import NotFound


async def e2b_create_sandbox(request: Request) -> Response:
    """In the older generation only who says so gets a sandbox that asks for its token."""
    engine = await engine_of(request)
    body = await body_of(request, NewSandbox)
    secured = bool(body.secure) or request.url.path.startswith("/v2/")
    wish = wish_of(body, secured=secured, idempotency_key=request.headers.get("idempotency-key"))
    sandbox = await while_connected(request.receive, made(engine, wish, body.template))
    structlog.contextvars.bind_contextvars(sandbox=sandbox.id)
    return Json(opened(sandbox, door_of(request)), 201)


async def e2b_get_sandbox(request: Request) -> Response:
    engine, id = await named(request)
    return Json(detailed(await found(engine, id), door_of(request)))


async def e2b_kill_sandbox(request: Request) -> Response:
    engine, id = await named(request)
    if not await engine.kill(id):
        raise NotFound(f"sandbox {id} had ended before")
    return Response(status_code=204)


async def e2b_set_timeout(request: Request) -> Response:
    """To these clients a timeout of 0 is that its time is over."""
    engine, id = await named(request)
    body = await body_of(request, Timeout)
    await running(engine, id)
    if body.timeout == 0:
        await engine.expire(id)
    else:
        await engine.set_timeout(id, body.timeout)
    return Response(status_code=204)


async def e2b_refresh_sandbox(request: Request) -> Response:
    engine, id = await named(request)
    body = await body_of(request, Refresh)
    await running(engine, id)
    await engine.extend(id, max(body.duration or 0, LEAST_REFRESH_S))
    return Response(status_code=204)


async def found(engine: TenantEngine, id: str) -> Sandbox:
    """Ended ones are not found here: these clients know no other way to hear of an end. Raises NotFound."""
    sandbox = await engine.get(id)
    if sandbox.state is not State.RUNNING and not paused(sandbox):
        raise NotFound(f"sandbox {id} does not run: it is {sandbox.state} ({sandbox.reason})")
    return sandbox


async def running(engine: TenantEngine, id: str) -> Sandbox:
    """For what these clients ask only of sandboxes that run. Raises NotFound."""
    sandbox = await found(engine, id)
    if paused(sandbox):
        raise NotFound(f"sandbox {id} does not run: it is paused; connect to it, and it runs again")
    return sandbox


def sandbox_id_of(request: Request) -> str:
    """The sandbox that the path names; older clients write a second id behind it. Raises NotFound."""
    text: str = request.path_params["sandbox_id"]
    id = text.partition("-")[0]
    if not is_sandbox_id(id):
        raise NotFound(f"no sandbox has the id {text[:64]!r}")
    structlog.contextvars.bind_contextvars(sandbox=id)
    return id


async def named(request: Request) -> tuple[TenantEngine, str]:
    """The caller's engine, and the sandbox that the path names. Raises NotFound, Unauthenticated."""
    engine = await engine_of(request)
    return engine, sandbox_id_of(request)


_ONE: Final = "/sandboxes/{sandbox_id}"
ROUTES: Final = [
    Route("/sandboxes", e2b_create_sandbox, methods=["POST"]),
    Route("/v2/sandboxes", e2b_create_sandbox, methods=["POST"]),
    Route(_ONE, e2b_get_sandbox, methods=["GET"]),
    Route(_ONE, e2b_kill_sandbox, methods=["DELETE"]),
    Route(f"{_ONE}/timeout", e2b_set_timeout, methods=["POST"]),
    Route(f"{_ONE}/refreshes", e2b_refresh_sandbox, methods=["POST"]),
]
