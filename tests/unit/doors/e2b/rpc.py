"""The Connect protocol from a client's side, over an application in process."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from sandlot.doors.e2b import envd
from sandlot.doors.e2b.door import ENVD_PORT, Door
from sandlot.doors.ingress.hosts import Address
from sandlot.doors.streaming import Streams
from sandlot.errors import SandlotError, Unauthenticated
from tests.unit.doors.fake_engine import ID, FakeEngine, FakeLive

TOKEN = "the sandbox's token"
UNARY = "application/json"
STREAM = "application/connect+json"

Frame = tuple[int, dict[str, Any]]


class FakeAccess:
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    async def agent(self, sandbox_id: str, token: str | None) -> FakeLive:
        live = await self._engine.live(sandbox_id)
        if token != TOKEN:
            raise Unauthenticated("another token is needed")
        return live

    async def explain(self, sandbox_id: str, error: SandlotError) -> SandlotError:
        return await self._engine.explain(sandbox_id, error)


class AtSandbox:
    """What comes before the application in the server: whom it is for. ``headers`` are the client's."""

    def __init__(self, app: ASGIApp, sandbox_id: str, headers: dict[str, str]) -> None:
        self._app = app
        self._address = Address(ENVD_PORT, sandbox_id)
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [pair for pair in scope["headers"] if pair[0] not in dict(self._headers)]
        scope = {**scope, "headers": [*given, *self._headers], "state": {"ingress": self._address}}
        await self._app(scope, receive, send)


def application(
    engine: FakeEngine,
    *,
    routes: Sequence[BaseRoute] | None = None,
    streams: Streams | None = None,
    sandbox_id: str = ID,
    headers: dict[str, str] | None = None,
    body_idle_s: float = 30.0,
) -> ASGIApp:
    """envd of one sandbox, or other ``routes`` in its place."""
    door = Door(
        check_ready=lambda: None,
        authenticate=None,  # type: ignore[arg-type]
        engine_of=None,  # type: ignore[arg-type]
        streams=Streams() if streams is None else streams,
        access=FakeAccess(engine),  # type: ignore[arg-type]
        domain="localhost",
        elsewhere=None,  # type: ignore[arg-type]
        max_body_bytes=1000,
        body_idle_s=body_idle_s,
    )
    app = Starlette(routes=envd.routes() if routes is None else routes)
    app.state.e2b = door
    return AtSandbox(app, sandbox_id, {"x-access-token": TOKEN, **(headers or {})})


def framed(*messages: Any, flags: int = 0) -> bytes:
    bodies = [message if isinstance(message, bytes) else json.dumps(message).encode() for message in messages]
    return b"".join(struct.pack(">BI", flags, len(body)) + body for body in bodies)


def frames(data: bytes) -> list[Frame]:
    found = []
    while data:
        flags, size = struct.unpack_from(">BI", data)
        assert len(data) >= 5 + size, "the last frame is not complete"
        found.append((flags, json.loads(data[5 : 5 + size])))
        data = data[5 + size :]
    return found


async def post(
    app: ASGIApp, path: str, content: bytes | Iterable[bytes], *, type: str, **headers: str
) -> httpx.Response:
    """Iterables are sent piece by piece. An underscore in a header's name is a dash."""
    named = {"content-type": type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox") as client:
        body = content if isinstance(content, bytes) else _pieces(content)
        return await client.post(path, content=body, headers=named)


async def unary(app: ASGIApp, path: str, message: Any, **headers: str) -> httpx.Response:
    return await post(app, path, json.dumps(message).encode(), type=UNARY, **headers)


async def stream(app: ASGIApp, path: str, *messages: Any, **headers: str) -> list[Frame]:
    """All of a stream's answers; the last frame says how it ended."""
    answer = await post(app, path, framed(*messages), type=STREAM, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, STREAM)
    return frames(answer.content)


def refusal(found: Sequence[Frame]) -> tuple[str, str]:
    """Code and message of a stream that was refused."""
    [(flags, end)] = found
    assert flags == 2
    return end["error"]["code"], end["error"]["message"]


async def _pieces(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece
