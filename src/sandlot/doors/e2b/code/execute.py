"""POST /execute: run code, and tell line by line what comes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.interpreter import CodeEvent
from sandlot.core.live import LiveSandbox
from sandlot.doors.e2b.code import lines
from sandlot.doors.e2b.code.languages import language_named
from sandlot.doors.e2b.code.requests import body_of
from sandlot.doors.e2b.door import Door, door_of, sandbox_of
from sandlot.doors.e2b.errors import SandboxNotFound
from sandlot.doors.streaming import ResponseAborted, Stream
from sandlot.errors import InvalidArgument, SandboxGone, SandboxPaused, SandlotError

_NDJSON: Final = "application/x-ndjson"
_KEEPALIVE_S: Final = 15.0
_STATUS_S: Final = 0.5
"""What is wrong with a run is known by then. Later its sandbox may end, which clients know by an answer that
has begun and breaks off.
"""


class ExecuteBody(msgspec.Struct):
    """``context_id`` or ``language``; neither means the default context of Python."""

    code: str
    context_id: str | None = None
    language: str | None = None
    env_vars: dict[str, str] | None = None


async def e2b_execute(request: Request) -> Response:
    """There is no limit of time: clients keep their own, and interrupt the run by going away."""
    live = await sandbox_of(request)
    body = await body_of(request, ExecuteBody)
    if body.context_id and body.language:
        raise InvalidArgument("a run has a context_id or a language, not both")
    door = door_of(request)
    return Stream(
        _events(door, live, body),
        lines.encoded,
        streams=door.streams,
        media_type=_NDJSON,
        keepalive=lines.KEEPALIVE,
        keepalive_s=_KEEPALIVE_S,
        status_s=_STATUS_S,
        last_words=_last_words,
    )


async def _events(door: Door, live: LiveSandbox, body: ExecuteBody) -> AsyncGenerator[CodeEvent, None]:
    run = live.interpreter.run(
        body.code,
        context=body.context_id or None,
        language=language_named(body.language),
        env=body.env_vars,
    )
    try:
        async with aclosing(run):
            async for event in run:
                yield event
    except SandlotError as error:
        explained = await door.access.explain(live.id, error)
        if isinstance(explained, SandboxGone | SandboxPaused):
            raise SandboxNotFound.because(explained, live.id) from error
        raise explained from error


async def _last_words(error: Exception) -> bytes:
    """Clients take a connection that breaks for a sandbox that may have ended, and ask."""
    if isinstance(error, SandlotError) and not isinstance(error, SandboxNotFound):
        return lines.broken_off(error)
    raise ResponseAborted(str(error)) from error


ROUTES: Final = [Route("/execute", e2b_execute, methods=["POST"])]
