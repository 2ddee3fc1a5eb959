"""A client that speaks ASGI: it sees streams as they come, and can leave, which httpx in process cannot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.types import ASGIApp, Message, Scope

KEY = "sl_" + "0" * 40
PATIENCE_S = 10.0


class Exchange:
    """One request, sent piece by piece, and its answer, read piece by piece."""

    def __init__(self, app: ASGIApp, scope: Scope, *, window: int) -> None:
        self._app = app
        self._scope = scope
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue(window)
        self.task = asyncio.create_task(self._run())
        self.rest = b""

    async def _run(self) -> None:
        await self._app(self._scope, self._to_app.get, self._from_app.put)

    def send(self, body: bytes = b"", *, more: bool = False) -> None:
        self._to_app.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self._to_app.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        """The next message; the application's exception where it has failed instead."""
        message = asyncio.ensure_future(self._from_app.get())
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({message, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if not message.done() and not self._from_app.empty():
            await message
        if message.done():
            return message.result()
        message.cancel()
        self.task.result()
        raise EOFError("the application has said all")

    async def status(self) -> int:
        message = await self.receive()
        assert message["type"] == "http.response.start"
        self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return int(message["status"])

    async def line(self) -> dict[str, Any] | None:
        """The next line of a stream; None at its end."""
        message = await self.receive()
        assert message["type"] == "http.response.body"
        if not message["body"]:
            assert not message.get("more_body")
            return None
        assert message["body"].endswith(b"\n")
        return dict(json.loads(message["body"]))

    async def body(self) -> bytes:
        parts = []
        while True:
            message = await self.receive()
            parts.append(message["body"])
            if not message.get("more_body"):
                return b"".join(parts)

    async def end(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.task


class Socket(Exchange):
    """A WebSocket."""

    def say(self, text: str) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    def type(self, data: bytes) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self) -> None:
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def open(self) -> None:
        self._to_app.put_nowait({"type": "websocket.connect"})
        assert (await self.receive())["type"] == "websocket.accept"

    async def denied(self) -> tuple[int, dict[str, Any]]:
        """The HTTP answer that came instead of a handshake."""
        self._to_app.put_nowait({"type": "websocket.connect"})
        start = await self.receive()
        assert start["type"] == "websocket.http.response.start"
        return start["status"], json.loads((await self.receive())["body"])

    async def text(self) -> dict[str, Any]:
        message = await self.receive()
        assert message["type"] == "websocket.send"
        return dict(json.loads(message["text"]))

    async def data(self) -> bytes:
        return bytes((await self.receive())["bytes"])

    async def closed(self) -> int:
        message = await self.receive()
        assert message["type"] == "websocket.close"
        return int(message["code"])


@asynccontextmanager
async def exchange(
    app: ASGIApp,
    method: str,
    target: str,
    *,
    key: str | None = KEY,
    window: int = 1000,
    length: int | None = None,
) -> AsyncIterator[Exchange]:
    """``window`` is how many messages the client takes before the application has to wait for it."""
    scope = _scope("http", target, key) | {"method": method, "scheme": "http"}
    if length is not None:
        scope["headers"].append((b"content-length", str(length).encode()))
    async with _owned(Exchange(app, scope, window=window)) as made:
        yield made


@asynccontextmanager
async def socket(
    app: ASGIApp, target: str, *, key: str | None = KEY, window: int = 1000
) -> AsyncIterator[Socket]:
    scope = _scope("websocket", target, key)
    scope |= {"scheme": "ws", "subprotocols": [], "extensions": {"websocket.http.response": {}}}
    async with _owned(Socket(app, scope, window=window)) as made:
        yield made


def _scope(type: str, target: str, key: str | None) -> Scope:
    path, _, query = target.partition("?")
    return {
        "type": type,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [] if key is None else [(b"x-api-key", key.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


E = TypeVar("E", bound=Exchange)


@asynccontextmanager
async def _owned(made: E) -> AsyncIterator[E]:
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.wait({made.task})
