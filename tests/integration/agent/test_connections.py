"""Strangers, garbage, and ports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sandlot.errors import Conflict, InvalidArgument, NotFound, Unauthenticated, Unavailable
from sandlot.node.agent import GuestAgent
from sandlot.node.agent.frames import HEADER, MAX_PAYLOAD, FrameType, encode
from sandlot.node.agent.wire import Writer

from .conftest import Guest, second_connection

MIB = 1024 * 1024
WATCH_TMP = encode(FrameType.WATCH, 1, Writer().text("", "").text("/tmp", "").u8(0).done())


async def test_a_wrong_secret_is_refused(guest: Guest) -> None:
    for secret in ("", "wrong", guest.secret[:-1], guest.secret + "0", "x" * 200):
        with pytest.raises(Unauthenticated):
            await GuestAgent.connect("127.0.0.1", guest.port, secret)
    async with second_connection(guest) as agent:
        await agent.ping()


async def test_no_common_version_is_refused(guest: Guest) -> None:
    hello = Writer().u16(7).u16(9).text(guest.secret, "it").done()
    assert b"version" in await answer_to(guest, encode(FrameType.HELLO, 0, hello))


async def answer_to(guest: Guest, data: bytes) -> bytes:
    """What the agent says until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", guest.port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def hello(guest: Guest) -> bytes:
    payload = Writer().u16(1).u16(1).text(guest.secret, "it").done()
    return encode(FrameType.HELLO, 0, payload)


@pytest.mark.parametrize(
    "garbage",
    [
        os.urandom(100_000),
        b"GET / HTTP/1.1\r\n\r\n",
        HEADER.pack(MAX_PAYLOAD + 1, FrameType.HELLO, 0, 0, 0),
        HEADER.pack(MAX_PAYLOAD, FrameType.HELLO, 0, 0, 0),
        encode(FrameType.SPAWN, 1, b"before hello"),
    ],
)
async def test_garbage_of_a_stranger_ends_his_connection_only(
    agent: GuestAgent, guest: Guest, garbage: bytes
) -> None:
    await answer_to(guest, garbage)
    await agent.ping()


@pytest.mark.parametrize(
    "garbage",
    [
        HEADER.pack(MAX_PAYLOAD + 1, FrameType.STAT, 0, 0, 1),
        HEADER.pack(0, 0xEE, 0, 0, 1),
        HEADER.pack(0, FrameType.STAT, 0, 7, 1),
        encode(FrameType.STAT, 0),
        WATCH_TMP + encode(FrameType.STAT, 1),
        WATCH_TMP + encode(FrameType.DATA, 1, bytes(64 * 1024 + 1)),
        WATCH_TMP + encode(FrameType.DATA, 1) * 1025,
    ],
)
async def test_a_host_that_breaks_the_rules_loses_its_connection_only(
    agent: GuestAgent, guest: Guest, garbage: bytes
) -> None:
    await answer_to(guest, hello(guest) + garbage)
    await agent.ping()


@pytest.mark.parametrize("kind", [kind for kind in FrameType if kind >= FrameType.SPAWN])
async def test_a_malformed_request_fails_and_the_connection_lives(guest: Guest, kind: FrameType) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guest.port)
    payloads = [b"", b"\xff" * 7, bytes(3), b"\xff\xff\xff\x7f", os.urandom(50)]
    writer.write(hello(guest))
    for number, payload in enumerate(payloads, 1):
        if kind not in (FrameType.OOM_KILL, FrameType.STATS):
            writer.write(encode(kind, number, payload) + encode(FrameType.CANCEL, number))
    writer.write(encode(FrameType.PING, 0, b"alive?"))
    received = b""
    async with asyncio.timeout(10):
        while b"alive?" not in received:
            piece = await reader.read(65536)
            assert piece, "the agent hung up"
            received += piece
    writer.close()


async def test_strangers_are_few_and_do_not_keep_the_host_out(guest: Guest) -> None:
    strangers = [await asyncio.open_connection("127.0.0.1", guest.port) for _ in range(60)]
    async with second_connection(guest) as agent:
        await agent.ping()
        async with asyncio.timeout(20):
            for reader, _ in strangers:
                assert await reader.read() == b""
        await agent.ping()
    for _, writer in strangers:
        writer.close()


# ---- ports ----


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """Echoes until the other end is done, then says so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"<end>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_port_carries_bytes_both_ways_and_half_closes(agent: GuestAgent) -> None:
    data = os.urandom(5 * MIB + 1)
    async with echo() as port, await agent.dial(port, host="localhost") as stream:

        async def feed() -> None:
            for at in range(0, len(data), 100_000):
                await stream.write(data[at : at + 100_000])
            stream.write_eof()

        feeding = asyncio.create_task(feed())
        received = bytearray()
        while piece := await stream.read():
            received += piece
        await feeding
        assert bytes(received) == data + b"<end>"
        assert await stream.read() == b""
        with pytest.raises(Conflict):
            await stream.write(b"more")


async def test_a_port_where_nobody_reads_holds_up_its_writer_only(agent: GuestAgent, guest: Guest) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await asyncio.start_server(never, "127.0.0.1", 0, limit=1)
    async with await agent.dial(server.sockets[0].getsockname()[1]) as stream:
        writing = asyncio.create_task(stream.write(bytes(64 * MIB)))
        for _ in range(50):
            await agent.ping()
        assert not writing.done()
        assert guest.resident() < 16 * MIB
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    server.close()


async def test_nobody_listening_is_not_found(agent: GuestAgent) -> None:
    with pytest.raises(NotFound, match="nothing listens on port 1 "):
        await agent.dial(1)
    with pytest.raises(InvalidArgument):
        await agent.dial(80, host="example.com")
    with pytest.raises(InvalidArgument):
        await agent.dial(0)


async def test_many_ports_at_once(agent: GuestAgent) -> None:
    async with echo() as port:

        async def talk(number: int) -> bytes:
            async with await agent.dial(port) as stream:
                await stream.write(b"%d" % number)
                stream.write_eof()
                answer = b""
                while piece := await stream.read():
                    answer += piece
                return answer

        answers = await asyncio.gather(*(talk(number) for number in range(100)))
    assert answers == [b"%d<end>" % number for number in range(100)]


async def test_closing_ends_what_waits(guest: Guest) -> None:
    async with second_connection(guest) as agent, echo() as port:
        stream = await agent.dial(port)
        reading = asyncio.create_task(stream.read())
        await agent.ping()
    with pytest.raises(Unavailable):
        await reading
