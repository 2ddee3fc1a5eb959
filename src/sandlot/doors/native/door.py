"""What the server hands to this door, and the route class that every request passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, APIRouter
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from sandlot.core.ids import is_sandbox_id
from sandlot.core.tenancy import TenantEngine
from sandlot.doors.bodies import bounded
from sandlot.doors.encoding import Json
from sandlot.doors.streaming import Streams
from sandlot.errors import SandlotError, Unavailable
from sandlot.store import Tenant

WHOLE_BODY: Final = 4
"""How many times ``body_idle_s`` a JSON body may take, however steadily it comes."""


@dataclass(frozen=True, slots=True)
class Ports:
    """How sandboxes' web ports are reached: what their host names end with, and what the others' token is."""

    domain: str
    scheme: str
    token: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Door:
    """The server's side of this door.

    ``check_ready`` and ``engine_of`` raise Unavailable while the server starts or stops. ``authenticate``
    takes the key that came with a request, or None, and gives its tenant or raises Unauthenticated: there is
    no other way to a tenant, nor past it to another's sandboxes.
    """

    check_ready: Callable[[], None]
    authenticate: Callable[[str | None], Awaitable[Tenant]]
    engine_of: Callable[[Tenant], TenantEngine]
    streams: Streams
    ports: Ports
    max_body_bytes: int = 1024 * 1024
    max_upload_bytes: int | None = None
    body_idle_s: float = 30.0


def door_of(connection: HTTPConnection) -> Door:
    return cast(Door, connection.app.state.native)


def engine_of(connection: HTTPConnection) -> TenantEngine:
    """The engine as the caller's tenant sees it. Raises Unavailable."""
    return door_of(connection).engine_of(connection.state.tenant)


async def admit(connection: HTTPConnection) -> None:
    """Ready, and holding a key; raises Unavailable, Unauthenticated. Log lines then name whose and what."""
    door_of(connection).check_ready()
    await identify(connection)
    if is_sandbox_id(sandbox_id := connection.path_params.get("sandbox_id", "")):
        structlog.contextvars.bind_contextvars(sandbox=sandbox_id)


async def identify(connection: HTTPConnection) -> Tenant:
    """Whose key came with this. Raises Unauthenticated. Log lines then name the tenant."""
    tenant: Tenant = await door_of(connection).authenticate(_key_of(connection))
    connection.state.tenant = tenant
    structlog.contextvars.bind_contextvars(tenant=tenant.name)
    if (on_key := connection.scope.get("state", {}).get("on_key")) is not None:
        on_key()
    return tenant


async def explained(connection: HTTPConnection, error: SandlotError) -> SandlotError:
    """The engine's word on why a talk with a sandbox broke off."""
    sandbox_id = connection.path_params.get("sandbox_id")
    admitted = hasattr(connection.state, "tenant")
    if sandbox_id is None or not admitted or not isinstance(error, Unavailable):
        return error
    try:
        return await engine_of(connection).explain(sandbox_id, error)
    except Unavailable:
        return error


def routes(prefix: str, tag: str) -> APIRouter:
    """A router of this door."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=NativeRoute, default_response_class=Json)


class NativeRoute(APIRoute):
    """Admits before a byte of the body is read, and bounds the body: a stranger costs next to nothing."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_json = self.body_field is not None
        known = frozenset(parameter.alias for parameter in self.dependant.query_params)

        async def admitted(request: Request) -> Response:
            await admit(request)
            _check_query(request, known)
            door = door_of(request)
            scope = request.scope
            if takes_json:
                # Nothing but JSON can be meant, and `curl -d` says that it sends a form.
                scope = dict(scope, headers=_as_json(scope["headers"]))
            limit = door.max_body_bytes if takes_json else door.max_upload_bytes
            receive = bounded(
                scope,
                request.receive,
                limit=limit,
                idle_s=door.body_idle_s,
                whole_s=WHOLE_BODY * door.body_idle_s if takes_json else None,
            )
            return await handle(Request(scope, receive))

        return admitted


def _check_query(request: Request, known: frozenset[str]) -> None:
    """A misspelt parameter is not left out in silence: it may be the one that makes the request harmless."""
    for name in request.query_params:
        if name not in known:
            raise RequestValidationError(
                [{"type": "extra_forbidden", "loc": ("query", name), "msg": "", "known": known}]
            )


def _as_json(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [item for item in headers if item[0] != b"content-type"] + [(b"content-type", b"application/json")]


def _key_of(connection: HTTPConnection) -> str | None:
    if (key := connection.headers.get("x-api-key")) is not None:
        return key
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if connection.scope["type"] == "websocket":
        # A browser cannot set headers on a WebSocket.
        return connection.query_params.get("api_key")
    return None
