"""What a hostile or slow client meets before any route: over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
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
    async with serving(app, **limits) as connect:
        yield await connect()


@asynccontextmanager
async def serving(app: ASGIApp, **limits: Any) -> AsyncIterator[Connect]:
    """A server, and what connects one more client to it."""
    config = uvicorn.Config(app, lifespan="off", log_config=None)  # type: ignore[arg-type]
    config.load()
    protocol: Any = guarded(**limits)
    state = ServerState()

    def accept() -> asyncio.Protocol:
        made: asyncio.Protocol = protocol(config=config, server_state=state, app_state={})
        return made

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection(*server.sockets[0].getsockname())))
        return clients[-1]

    try:
        yield connect
    finally:
        for client in clients:
            client.writer.close()
        server.close()
        for task in list(state.tasks):
            task.cancel()


Connect = Callable[[], Awaitable[Client]]


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


async def test_many_small_headers_are_a_large_head() -> None:
    async with connected(hello, max_headers=20) as client:
        client.writer.write(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 30)
        assert "20 lines" in error_of(await client.read(), 431)["message"]


async def test_of_too_many_pipelined_requests_the_first_are_answered() -> None:
    async with connected(hello, max_pipelined=9) as client:
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n" * 10_000)
        answers = await client.read()
    assert answers.count(b"HTTP/1.1 200 OK") == 10
    assert answers.endswith(b"hello")
    assert answers.count(b"connection: close") == 1


@pytest.mark.parametrize(
    "more", [b"\r\n", b"z", b""], ids=["an empty line", "more of the body", "half a body"]
)
async def test_what_is_no_request_keeps_no_connection_open(more: bytes) -> None:
    async with connected(hello, header_timeout_s=0.2) as client:
        length = 0 if more == b"\r\n" else 1000
        client.writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % length)
        async with asyncio.timeout(PATIENCE_S):
            await client._reader.readuntil(b"hello")
        client.writer.write(more)
        assert await client.read() == b""


class Holder:
    """Answers key holders once it is told to, strangers at once."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked = asyncio.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/key":
            scope["state"]["on_key"]()
            self.asked.release()
            await self.may_answer.wait()
        await hello(scope, receive, send)


async def ask(client: Client, path: bytes) -> None:
    client.writer.write(b"GET %s HTTP/1.1\r\n\r\n" % path)


async def answered(client: Client) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await client._reader.readuntil(b"hello")


async def test_strangers_make_room_the_oldest_first_and_key_holders_stay() -> None:
    app = Holder()
    async with serving(app, max_connections=3) as connect:
        holder = await connect()
        await ask(holder, b"/key")
        await app.asked.acquire()
        silent, halting = await connect(), await connect()
        halting.writer.write(b"GET / HTTP/1.1\r\nx: ")
        await halting.writer.drain()
        first = await connect()
        assert await silent.read() == b""
        await ask(first, b"/")
        await answered(first)
        second = await connect()
        assert error_of(await halting.read(), 503)["code"] == "unavailable"
        third = await connect()
        assert await first.read() == b""
        for client in (second, third):
            await ask(client, b"/")
            await answered(client)
        app.may_answer.set()
        await answered(holder)


async def test_key_holders_who_ask_nothing_make_room_where_no_stranger_is_left() -> None:
    app = Holder()
    app.may_answer.set()
    async with serving(app, max_connections=2) as connect:
        resting, other = await connect(), await connect()
        for client in (resting, other):
            await ask(client, b"/key")
            await answered(client)
        await ask(resting, b"/key")  # so the other one has rested longer
        await answered(resting)
        new = await connect()
        assert await other.read() == b""
        await ask(new, b"/key")
        await answered(new)
        await ask(resting, b"/key")
        await answered(resting)


async def test_where_every_connection_is_at_work_a_new_one_is_told_so() -> None:
    app = Holder()
    async with serving(app, max_connections=2) as connect:
        holders = [await connect(), await connect()]
        for holder in holders:
            await ask(holder, b"/key")
            await app.asked.acquire()
        answer = await (await connect()).read()
        assert b"retry-after: 1" in answer
        assert error_of(answer, 503)["code"] == "unavailable"
        app.may_answer.set()
        for holder in holders:
            await answered(holder)
