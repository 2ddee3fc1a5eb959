"""What the server hands to this door, and whose request it is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

import structlog
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from sandlot.core.access import Access
from sandlot.core.live import LiveSandbox
from sandlot.core.tenancy import TenantEngine
from sandlot.doors.e2b.errors import SandboxNotFound
from sandlot.doors.streaming import Streams
from sandlot.errors import InvalidArgument, NotFound, SandboxGone, SandboxPaused
from sandlot.store import Tenant

ENVD_PORT: Final = 49983
CODE_PORT: Final = 49999
KEY_PREFIX: Final = "e2b_"
"""Older clients refuse, by themselves, a key that does not begin so; ours is behind it."""


@dataclass(frozen=True, slots=True)
class Door:
    """The server's side of this door; see the native one's for the first four.

    ``access`` leads to one sandbox without a key. ``domain`` is what sandboxes' host names end with, with the
    port where it is not the scheme's own. ``elsewhere`` answers for a sandbox's port that is not this door's:
    it finds which in ``scope["state"]["ingress"]``.
    """

    check_ready: Callable[[], None]
    authenticate: Callable[[str | None], Awaitable[Tenant]]
    engine_of: Callable[[Tenant], TenantEngine]
    streams: Streams
    access: Access
    domain: str
    elsewhere: ASGIApp
    max_body_bytes: int = 1024 * 1024
    max_upload_bytes: int | None = None
    body_idle_s: float = 30.0


def door_of(connection: HTTPConnection) -> Door:
    return cast(Door, connection.app.state.e2b)


async def engine_of(connection: HTTPConnection) -> TenantEngine:
    """The engine as the key's tenant sees it. Raises Unauthenticated, Unavailable."""
    door = door_of(connection)
    door.check_ready()
    tenant = await door.authenticate(_key_of(connection))
    structlog.contextvars.bind_contextvars(tenant=tenant.name)
    _is_known(connection)
    return door.engine_of(tenant)


async def sandbox_of(connection: HTTPConnection, signed: Callable[[str], bool] | None = None) -> LiveSandbox:
    """The sandbox that a request to its own address is for. ``signed`` says whether it carries, in place of
    the token, a signature made with it.

    Raises SandboxNotFound, Unauthenticated, Conflict, Unavailable.
    """
    door = door_of(connection)
    door.check_ready()
    sandbox_id: str = connection.scope["state"]["ingress"].sandbox_id
    structlog.contextvars.bind_contextvars(sandbox=sandbox_id)
    try:
        if signed is not None:
            live = await door.access.agent_signed(sandbox_id, signed)
        else:
            live = await door.access.agent(sandbox_id, connection.headers.get("x-access-token"))
    except (NotFound, SandboxGone, SandboxPaused) as error:
        raise SandboxNotFound.because(error, sandbox_id) from error
    _is_known(connection)
    return live


def user_of(connection: HTTPConnection) -> str | None:
    """The user inside whom the request names, as HTTP's basic authentication without a password.

    Raises InvalidArgument.
    """
    scheme, _, encoded = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, _ = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidArgument("authorization: basic credentials are 'user:' in base64") from None
    return user or None


def _is_known(connection: HTTPConnection) -> None:
    """Who has shown a key or a token keeps its connection when there are too many."""
    if (on_key := connection.scope.get("state", {}).get("on_key")) is not None:
        on_key()


def _key_of(connection: HTTPConnection) -> str | None:
    key = connection.headers.get("x-api-key")
    if key is None:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else None
    if key is not None and key.startswith(KEY_PREFIX):
        return "sl_" + key.removeprefix(KEY_PREFIX)
    return key
