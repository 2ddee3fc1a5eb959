"""Which part of this door a request is for, or none: by headers, by a signature, by the path."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sandlot.doors.bodies import read_out
from sandlot.doors.e2b.door import ENVD_PORT, Door
from sandlot.doors.e2b.errors import SandboxNotFound, response_for
from sandlot.doors.e2b.services import control_plane
from sandlot.doors.e2b.signatures import query_of, sandbox_that_signed, signature_of
from sandlot.doors.ingress.hosts import Address
from sandlot.errors import InvalidArgument, SandlotError, Unauthenticated

_CONTROL: Final = re.compile(
    r"/(v[23]/)?(sandboxes|templates|default-templates|snapshots|volumes|volumecontent|secrets|teams)(/|$)"
)
_AGENT: Final = re.compile(r"/(process\.Process/|filesystem\.Filesystem/|(files|health)$)")


class Addressing:
    """Before ``app``, which gets what is for none. A client that was given one address for all sandboxes
    names the one it means in a header; the file addresses that it signs name none at all.
    """

    def __init__(self, app: ASGIApp, *, door: Door, services: Mapping[int, ASGIApp]) -> None:
        self._app = app
        self._door = door
        self._services = services
        self._control = control_plane(door)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sandbox_id = headers.get("e2b-sandbox-id")
        if _asks_leave(scope, headers):
            await self._services[ENVD_PORT](scope, receive, send)
        elif _is_control(scope) and (sandbox_id is None or _names_agent(headers)):
            await self._control(scope, receive, send)
        elif sandbox_id is not None:
            await self._serve(sandbox_id, scope, receive, send)
        elif scope["type"] == "http" and "x-access-token" in headers and _AGENT.match(scope["path"]):
            await self._held(headers["x-access-token"], scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == "/files":
            await self._signed(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, sandbox_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        port = Headers(scope=scope).get("e2b-sandbox-port", str(ENVD_PORT))
        if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
            error = InvalidArgument(f"e2b-sandbox-port: a port is 1 to 65535, not {port[:20]!r}")
            await _refuse(error, scope, receive, send)
            return
        await self._to(Address(int(port), sandbox_id), scope, receive, send)

    async def _to(self, address: Address, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["ingress"] = address
        await self._services.get(address.port, self._door.elsewhere)(scope, receive, send)

    async def _held(self, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Older clients that connected to a sandbox say nothing of it but its token."""
        try:
            self._door.check_ready()
            live = self._door.access.signed(lambda known: hmac.compare_digest(known.encode(), token.encode()))
            if live is None:
                raise SandboxNotFound("with this access token")
        except SandlotError as error:
            await _refuse(error, scope, receive, send)
        else:
            await self._to(Address(ENVD_PORT, live.id), scope, receive, send)

    async def _signed(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            # A browser asks for leave before it uploads, and names no sandbox yet.
            await self._services[ENVD_PORT](scope, receive, send)
            return
        try:
            signer = self._signer(scope)
        except SandlotError as error:
            await _refuse(error, scope, receive, send)
        else:
            await self._to(Address(ENVD_PORT, signer), scope, receive, send)

    def _signer(self, scope: Scope) -> str:
        """Raises Unavailable, InvalidArgument, Unauthenticated."""
        self._door.check_ready()
        signature = signature_of(scope["method"], query_of(scope))
        if signature is None:
            raise InvalidArgument(
                "whose file? An address without a sandbox's name is found by its signature, and this one has"
                " none: send E2b-Sandbox-Id, or use the sandbox's own host name"
            )
        if (signer := sandbox_that_signed(self._door.access, signature)) is None:
            raise Unauthenticated(
                "no sandbox that runs here has signed this: it has ended, or path, user, operation or"
                " expiration are not those that were signed"
            )
        return signer


async def _refuse(error: SandlotError, scope: Scope, receive: Receive, send: Send) -> None:
    await response_for(error)(scope, *read_out(receive, send))


def _asks_leave(scope: Scope, headers: Headers) -> bool:
    """A browser asks before it sends the header that names a sandbox, so what it asks names none."""
    asked = headers.get("access-control-request-headers", "")
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and "e2b-sandbox-id" in asked.lower()


def _is_control(scope: Scope) -> bool:
    return scope["type"] == "http" and _CONTROL.match(scope["path"]) is not None


def _names_agent(headers: Headers) -> bool:
    """Older clients name a sandbox's agent in calls to the control plane too; the agent has no such paths."""
    return headers.get("e2b-sandbox-port", str(ENVD_PORT)) == str(ENVD_PORT)
