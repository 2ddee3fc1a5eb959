"""What a hostile or slow client meets before any route: over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from sandlot.doors.streaming import Stream, Streams
from sandlot.server.protocol import guarded

PATIENCE_S = 10.0

hello = Response(b"hello")


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader

    async def read(self, size: int = -1) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await (self._reader.read() if size < 0 else self._reader.readexactly(size))


@asynccontextmanager
async def connected(app: ASGIApp, **limits: Any) -> AsyncIterator[Client]:
    config = uvicorn.Config(app, lifespan="off", log_config=None)  # type: ignore[arg-type]
    config.load()
    protocol: Any = guarded(**limits)
    state = ServerState()

    def accept() -> asyncio.Protocol:
        made: asyncio.Protocol = protocol(config=config, server_state=state, app_state={})
        return made

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        server.close()
        for task in list(state.tasks):
            task.cancel()


def error_of(answer: bytes, status: int) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    return dict(json.loads(body)["error"])


async def test_requests_are_served_one_after_another_on_one_connection() -> None:
    async with connected(hello) as client:
        for _ in range(3):
            client.writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await client.read(len(b"HTTP/1.1 200 OK"))) == b"HTTP/1.1 200 OK"
            async with asyncio.timeout(PATIENCE_S):
                await client._reader.readuntil(b"hello")


async def test_a_head_that_never_ends_is_given_up() -> None:
    async with connected(hello, header_timeout_s=0.02) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nx: ")
        assert error_of(await client.read(), 408)["code"] == "request_timeout"


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with connected(hello, header_timeout_s=0.02) as client:
        assert await client.read() == b""


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_a_head_that_is_too_large_is_refused(end: bytes) -> None:
    async with connected(hello, max_header_bytes=4096) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nx: " + b"y" * 5000 + end)
        assert error_of(await client.read(), 431)["code"] == "too_large"


async def test_a_large_body_is_no_large_head() -> None:
    async with connected(hello, max_header_bytes=4096) as client:
        client.writer.write(b"POST / HTTP/1.1\r\ncontent-length: 9000\r\n\r\n" + b"y" * 9000)
        assert (await client.read(len(b"HTTP/1.1 200 OK"))) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /\xff HTTP/1.1\r\n\r\n"]
)
async def test_what_is_not_http_is_told_so_in_our_shape(noise: bytes) -> None:
    async with connected(hello) as client:
        client.writer.write(noise)
        assert error_of(await client.read(), 400)["code"] == "invalid_argument"


async def test_a_reader_that_stalls_is_cut_off_and_the_source_is_closed() -> None:
    closed = asyncio.Event()
    taken = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal taken
        try:
            while True:
                taken += 1
                yield bytes(64 * 1024)
        finally:
            closed.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        stream = Stream(endless(), bytes, streams=Streams(), media_type="application/octet-stream")
        await stream(scope, receive, send)

    async with connected(app, send_idle_timeout_s=0.05) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await closed.wait()
    # What the two kernels' buffers hold, and no more.
    assert taken < 500
