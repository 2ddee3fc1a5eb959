"""What a replaced agent may try on its host: each is bounded, in time and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from sandlot.errors import GuestError, InvalidArgument, LimitExceeded, Unavailable
from sandlot.node.agent import Renewal, TreeEntry, link
from sandlot.node.agent.files import MAX_LIST_BYTES, encode_entry, read_info
from sandlot.node.agent.frames import INITIAL_CREDIT, MAX_PAYLOAD, FrameType, encode
from sandlot.node.agent.link import MAX_CREDIT
from sandlot.node.agent.wire import MAX_TEXT, Reader, Writer
from sandlot.node.patience import MAX_BREACHES, SOUND_S, Patience

from .test_link import Peer, guest, silent


def info(path: bytes, size: int = 1) -> bytes:
    head = Writer().u8(1).u64(size).u32(0o644).u32(0).u32(0).i64(0).blob(path)
    return head.text("root", "").text("root", "").u8(0).text("", "").done()


async def test_a_list_without_end_stops_at_its_limit() -> None:
    entries = info(b"x" * MAX_TEXT) * (MAX_PAYLOAD // (MAX_TEXT + 64))
    told = 0

    async def play(peer: Peer) -> None:
        nonlocal told
        _, channel, _ = await peer.take_request()
        credit = INITIAL_CREDIT
        while True:
            while credit < len(entries):
                kind, _, payload = await peer.take()
                if kind == FrameType.CANCEL:
                    return
                credit += Reader(payload).u32()
            peer.send(encode(FrameType.ENTRY, channel, entries))
            credit -= len(entries)
            told += len(entries)

    async with guest(play) as (agent, _):
        with pytest.raises(LimitExceeded, match="list a smaller part"):
            await agent.list("/")
    assert told < 2 * MAX_LIST_BYTES


async def test_a_file_longer_than_asked_for_is_a_breach() -> None:
    async def play(peer: Peer) -> None:
        _, channel, _ = await peer.take_request()
        peer.send(encode(FrameType.REPLY, channel, info(b"/a")))
        peer.send(encode(FrameType.DATA, channel, b"x" * 11))

    async with guest(play) as (agent, _):
        with pytest.raises(GuestError):
            async for _ in agent.read("/a", length=10):
                pass


@pytest.mark.parametrize(
    "frames",
    [
        lambda channel: encode(FrameType.DATA, channel),
        lambda channel: encode(FrameType.END, channel) + encode(FrameType.DATA, channel, b"late"),
        lambda channel: encode(FrameType.WINDOW, channel, Writer().u32(0).done()),
        lambda channel: encode(FrameType.WINDOW, channel, Writer().u32(MAX_CREDIT).done()),
    ],
    ids=["nothing in it", "after its end", "no credit", "too much credit"],
)
async def test_frames_that_could_come_without_end_are_a_breach(frames: Callable[[int], bytes]) -> None:
    async def play(peer: Peer) -> None:
        _, channel, _ = await peer.take_request()
        peer.send(encode(FrameType.REPLY, channel) + frames(channel))

    async with guest(play) as (agent, _):
        with suppress(GuestError):
            await agent.dial(80)
        async with asyncio.timeout(10):
            await agent.wait_closed()
        assert agent.breach


async def test_a_guest_cannot_send_its_caller_off_to_look_for_keys() -> None:
    async def play(peer: Peer) -> None:
        _, channel, _ = await peer.take_request()
        denial = Writer().u16(10).u32(0).text("your key is wrong", "").done()
        peer.send(encode(FrameType.ERROR, channel, denial, final=True))

    async with guest(play) as (agent, _):
        with pytest.raises(GuestError):
            await agent.stat("/")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "LOOK_EVERY_S", 0.02)


@pytest.mark.usefixtures("hasty")
async def test_an_agent_that_falls_silent_is_given_up_though_its_call_has_no_deadline() -> None:
    async with guest(silent) as (agent, _):
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match="has said nothing"):
                await agent.write_stdin(1, b"to a program that does not read")


@pytest.mark.usefixtures("hasty")
async def test_a_silent_program_is_waited_for_as_long_as_its_agent_answers() -> None:
    pings = 0

    async def play(peer: Peer) -> None:
        nonlocal pings
        _, channel, _ = await peer.take_request()
        while pings < 4:
            kind, _, payload = await peer.take()
            assert kind == FrameType.PING
            pings += 1
            peer.send(encode(FrameType.PONG, 0, payload))
        peer.send(encode(FrameType.REPLY, channel, final=True))

    async with guest(play) as (agent, _):
        async with asyncio.timeout(10):
            await agent.write_stdin(1, b"to a program that takes its time")
    assert pings == 4


def test_texts_and_sizes_that_no_guest_has_are_refused() -> None:
    with pytest.raises(GuestError):
        read_info(Reader(info(b"x" * (MAX_TEXT + 1))))
    with pytest.raises(GuestError):
        read_info(Reader(info(b"x", size=1 << 63)))


@pytest.mark.parametrize("time", [1e300, -1e300, float("inf"), float("nan"), 9.3e9])
def test_a_time_that_the_agent_cannot_be_told_is_the_callers_mistake(time: float) -> None:
    with pytest.raises(InvalidArgument):
        encode_entry(TreeEntry("a", "file", mtime=time))


def test_patience_has_an_end_with_breaches_and_none_with_lost_connections() -> None:
    patience = Patience()
    lost = [patience.lost(0.1, None) for _ in range(50)]
    assert lost[0] == 0.02
    assert lost[-1] == 1.0
    pauses = [patience.lost(0.1, "nonsense") for _ in range(MAX_BREACHES + 1)]
    assert pauses[-1] is None
    assert None not in pauses[:-1]
    assert Patience().lost(SOUND_S, None) == 0.0


async def test_an_agent_of_before_is_not_renewed() -> None:
    async with guest(silent) as (agent, _):
        assert not agent.renewable
        with pytest.raises(Unavailable, match="agent of before"):
            await agent.renew(Renewal("secret", 1, ""))
