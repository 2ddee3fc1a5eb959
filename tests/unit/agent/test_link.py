"""The client against a guest that breaks the rules, played by a server of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sandlot.errors import DeadlineExceeded, GuestError, NotFound, Unauthenticated, Unavailable
from sandlot.node.agent import GuestAgent, Output, SpawnSpec
from sandlot.node.agent.frames import HEADER, MAX_PAYLOAD, FrameType, encode
from sandlot.node.agent.wire import Writer

WELCOME = encode(FrameType.WELCOME, 0, Writer().u16(1).u64(7).u64(0).done())
STARTED = Writer().u32(1).u32(42).done()
Play = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The guest's end: reads frames, and sends what the test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def take(self) -> tuple[int, int, bytes]:
        length, kind, _, _, channel = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        return kind, channel, await self._reader.readexactly(length)

    async def take_request(self) -> tuple[int, int, bytes]:
        while True:
            frame = await self.take()
            if frame[0] != FrameType.WINDOW:
                return frame

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def until_closed(self) -> None:
        while await self._reader.read(65536):
            pass


@asynccontextmanager
async def guest(play: Play) -> AsyncIterator[tuple[GuestAgent, asyncio.Future[None]]]:
    """A client connected to a peer that plays; the future is the play's end."""
    played: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        try:
            await peer.take()
            peer.send(WELCOME)
            await play(peer)
            await peer.until_closed()
            played.set_result(None)
        except (OSError, asyncio.IncompleteReadError):
            if not played.done():
                played.set_result(None)
        except BaseException as error:
            if not played.done():
                played.set_exception(error)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    agent = await GuestAgent.connect("127.0.0.1", port, "secret")
    try:
        yield agent, played
    finally:
        await agent.close()
        await asyncio.wait_for(played, 5)
        server.close()


async def silent(peer: Peer) -> None:
    return


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff" * 64,
        encode(FrameType.DATA, 99, b"nobody asked"),
        encode(FrameType.PONG, 0),
        encode(FrameType.WELCOME, 0, b""),
        encode(FrameType.DATA, 1, b"not what a stat answers"),
        encode(FrameType.REPLY, 1, b"too short", final=True),
        encode(FrameType.ERROR, 1, b"\1", final=True),
        encode(FrameType.ERROR, 1, Writer().u16(1).u32(0).blob(b"x").done()),
        encode(FrameType.WINDOW, 1, b"\1"),
        encode(FrameType.END, 1) * 2,
    ],
)
async def test_nonsense_is_a_guest_error_and_ends_the_connection(answer: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.take_request()
        peer.send(answer)

    async with guest(play) as (agent, _):
        with pytest.raises(GuestError):
            await agent.stat("/x")
        await asyncio.wait_for(agent.wait_closed(), 5)
        with pytest.raises(GuestError):
            await agent.ping()


async def test_more_than_the_credit_is_a_guest_error() -> None:
    async def play(peer: Peer) -> None:
        await peer.take_request()
        peer.send(encode(FrameType.REPLY, 1, STARTED))
        output = Writer().u8(1).u64(0).done() + bytes(MAX_PAYLOAD - 9)
        peer.send(encode(FrameType.OUTPUT, 1, output) * 5)

    async with guest(play) as (agent, _):
        await agent.spawn(SpawnSpec(["flood"]))
        await asyncio.wait_for(agent.wait_closed(), 5)


async def test_empty_frames_without_end_are_a_guest_error() -> None:
    async def play(peer: Peer) -> None:
        await peer.take_request()
        peer.send(encode(FrameType.REPLY, 1, STARTED))
        peer.send(encode(FrameType.DATA, 1) * 20_000)

    async with guest(play) as (agent, _):
        await agent.spawn(SpawnSpec(["flood"]))
        await asyncio.wait_for(agent.wait_closed(), 5)


async def test_an_error_frame_fails_its_call_only() -> None:
    async def play(peer: Peer) -> None:
        for _ in range(2):
            _, channel, _ = await peer.take_request()
            error = Writer().u16(1).u32(2).blob(b"no such file: /x").done()
            peer.send(encode(FrameType.ERROR, channel, error, final=True))

    async with guest(play) as (agent, _):
        for _ in range(2):
            with pytest.raises(NotFound, match="no such file"):
                await agent.stat("/x")


async def test_a_cancelled_call_is_cancelled_in_the_guest_and_leaves_nothing() -> None:
    cancelled = asyncio.Event()

    async def play(peer: Peer) -> None:
        _, channel, _ = await peer.take_request()
        kind, number, _ = await peer.take_request()
        assert (kind, number) == (FrameType.CANCEL, channel)
        error = Writer().u16(8).u32(0).blob(b"cancelled").done()
        peer.send(encode(FrameType.ERROR, channel, error, final=True))
        cancelled.set()
        await peer.take_request()
        peer.send(encode(FrameType.PONG, 0))

    async with guest(play) as (agent, _):
        call = asyncio.create_task(agent.stat("/x"))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(cancelled.wait(), 5)
        await agent.ping()
        assert agent._link._channels == {}


async def test_closing_fails_what_is_pending() -> None:
    async with guest(silent) as (agent, _):
        calls = [asyncio.create_task(agent.stat("/x")), asyncio.create_task(agent.ping())]
        await asyncio.sleep(0)
        await agent.close()
        for call in calls:
            with pytest.raises(Unavailable):
                await call


async def test_a_guest_that_does_not_answer_is_a_missed_deadline() -> None:
    async with guest(silent) as (agent, _):
        with pytest.raises(DeadlineExceeded):
            await agent.ping(timeout=0.01)


async def test_reading_gives_credit_back() -> None:
    total = 6 * 1024 * 1024

    async def play(peer: Peer) -> None:
        await peer.take_request()
        peer.send(encode(FrameType.REPLY, 1, STARTED))
        credit, sent = 64 * 1024, 0
        while sent < total:
            while credit < 32 * 1024:
                kind, _, payload = await peer.take()
                assert kind == FrameType.WINDOW
                credit += int.from_bytes(payload, "little")
            head = Writer().u8(1).u64(sent).done()
            peer.send(encode(FrameType.OUTPUT, 1, head + bytes(32 * 1024 - 9)))
            credit -= 32 * 1024
            sent += 32 * 1024 - 9
        peer.send(encode(FrameType.REPLY, 1, bytes(25), final=True))

    async with guest(play) as (agent, _):
        process = await agent.spawn(SpawnSpec(["flood"]))
        received = 0
        async for event in process:
            if isinstance(event, Output):
                received += len(event.data)
        assert received >= total


async def test_an_agent_of_before_is_not_asked_what_has_happened_so_far() -> None:
    async def watch(peer: Peer) -> None:
        _, channel, _ = await peer.take_request()
        peer.send(encode(FrameType.REPLY, channel))

    async with guest(watch) as (agent, _), await agent.watching("/") as events:
        with pytest.raises(Unavailable, match="of before"):
            await events.so_far(10)


async def test_a_mark_that_nobody_asked_for_is_a_guest_error() -> None:
    async def watch(peer: Peer) -> None:
        _, channel, _ = await peer.take_request()
        peer.send(encode(FrameType.REPLY, channel))
        peer.send(encode(FrameType.ENTRY, channel, Writer().u8(7).u8(0).text("", "").done()))

    async with guest(watch) as (agent, _), await agent.watching("/") as events:
        with pytest.raises(GuestError):
            await anext(events)


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await GuestAgent.connect("127.0.0.1", 1, "secret", timeout=1)


async def test_a_refused_secret_is_unauthenticated() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        error = Writer().u16(10).u32(0).blob(b"wrong").done()
        writer.write(encode(FrameType.ERROR, 0, error, final=True))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    with pytest.raises(Unauthenticated):
        await GuestAgent.connect("127.0.0.1", server.sockets[0].getsockname()[1], "wrong")
    server.close()
