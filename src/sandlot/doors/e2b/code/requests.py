"""What asks the code interpreter for something: whose sandbox, and the body."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from sandlot.core.live import LiveSandbox
from sandlot.doors.bodies import bounded
from sandlot.doors.e2b.door import door_of, sandbox_of
from sandlot.doors.e2b.errors import SandboxNotFound
from sandlot.errors import InvalidArgument, NotFound, SandboxGone, SandboxPaused

T = TypeVar("T", bound=msgspec.Struct)


async def visited_sandbox(request: Request) -> LiveSandbox:
    """The sandbox, for calls with which clients send its access token or, by their habit, nothing at all.

    Without a token the port is to them what any web port of the sandbox is: open, or open to those with the
    token of its ports. A token that is sent has to be right.

    Raises SandboxNotFound, Unauthenticated, Conflict, Unavailable.
    """
    if "x-access-token" in request.headers:
        return await sandbox_of(request)
    door = door_of(request)
    door.check_ready()
    sandbox_id: str = request.scope["state"]["ingress"].sandbox_id
    try:
        return await door.access.ingress(sandbox_id, request.headers.get("e2b-traffic-access-token"))
    except (NotFound, SandboxGone, SandboxPaused) as error:
        raise SandboxNotFound.because(error, sandbox_id) from error


async def body_of(request: Request, kind: type[T]) -> T:
    """Raises InvalidArgument that names the field, BodyTooLarge, BodyTooSlow."""
    door = door_of(request)
    receive = bounded(request.scope, request.receive, limit=door.max_body_bytes, idle_s=door.body_idle_s)
    body = await Request(request.scope, receive).body()
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"the body cannot be read: {error}") from None
