"""What a connection tells of its use: every call that begins ends, whatever becomes of it."""

from __future__ import annotations

import asyncio

import pytest

from sandlot.errors import Unavailable
from sandlot.node.agent import SpawnSpec
from sandlot.node.agent.activity import unnoticed
from sandlot.node.agent.frames import FrameType, encode
from sandlot.node.agent.wire import Writer
from tests.unit.agent.test_link import STARTED, Peer, guest

STATS = Writer().u32(0).u64(0).u64(0).u64(0).u64(0).done()


class Told:
    """Counts as the freezer does."""

    def __init__(self) -> None:
        self.calls = 0
        self.noticed = 0
        self.stirs = 0

    def begin(self, *, noticed: bool) -> None:
        self.calls += 1
        self.noticed += noticed

    def end(self, *, noticed: bool) -> None:
        self.calls -= 1
        assert self.calls >= 0

    def stir(self) -> None:
        self.stirs += 1


async def answer_once(peer: Peer) -> None:
    _, channel, _ = await peer.take_request()
    peer.send(encode(FrameType.REPLY, channel, STATS, final=True))


async def start_and_take(peer: Peer) -> None:
    _, channel, _ = await peer.take_request()
    peer.send(encode(FrameType.REPLY, channel, STARTED))


async def start_and_confirm_the_cancel(peer: Peer) -> None:
    await start_and_take(peer)
    kind, channel, _ = await peer.take_request()
    assert kind == FrameType.CANCEL
    gone = Writer().u16(8).u32(0).text("cancelled", "the message").done()
    peer.send(encode(FrameType.ERROR, channel, gone, final=True))


async def test_a_call_is_told_of_from_its_beginning_to_its_answer() -> None:
    told = Told()
    async with guest(answer_once) as (agent, _):
        agent.report_to(told)
        call = asyncio.create_task(agent.stats())
        await asyncio.sleep(0)
        assert (told.calls, told.noticed) == (1, 1)
        await call
        assert told.calls == 0


async def test_the_houses_own_calls_are_not_noticed() -> None:
    told = Told()
    async with guest(answer_once) as (agent, _):
        agent.report_to(told)
        with unnoticed():
            await agent.stats()
        assert (told.calls, told.noticed) == (0, 0)
        assert told.stirs > 0


async def test_a_reader_may_let_it_sleep_and_be_awaited_again() -> None:
    told = Told()
    async with guest(start_and_confirm_the_cancel) as (agent, _):
        agent.report_to(told)
        process = await agent.spawn(SpawnSpec(args=["true"]))
        assert told.calls == 1
        for may, calls in ((True, 0), (True, 0), (False, 1), (False, 1), (True, 0)):
            process.let_sleep(may)
            assert told.calls == calls
        before = told.stirs
        await process.close()
        assert told.stirs == before, "to cancel what lets it sleep is no reason to wake it"


async def test_a_lost_connection_ends_all_calls() -> None:
    told = Told()
    async with guest(start_and_take) as (agent, _):
        agent.report_to(told)
        process = await agent.spawn(SpawnSpec(args=["true"]))
        other = await asyncio.gather(agent.close(), process.__anext__(), return_exceptions=True)
        assert isinstance(other[1], Unavailable)
        assert told.calls == 0
        with pytest.raises(Unavailable):
            await agent.stats()
        assert told.calls == 0
