from __future__ import annotations

import asyncio

import pytest

from sandlot.core.interpreter import Stdout
from sandlot.core.interpreter.channel import CAPACITY, Channel
from sandlot.errors import GuestError

BIG = CAPACITY + 1


async def test_events_come_in_order_and_then_the_end() -> None:
    channel = Channel(lambda: None)
    channel.put(Stdout("a"), 1)
    channel.put(Stdout("b"), 1)
    channel.finish()
    assert [await channel.get(), await channel.get(), await channel.get()] == [Stdout("a"), Stdout("b"), None]


async def test_a_failure_comes_after_what_was_put_before() -> None:
    channel = Channel(lambda: None)
    channel.put(Stdout("a"), 1)
    channel.finish(GuestError("broken"))
    assert await channel.get() == Stdout("a")
    with pytest.raises(GuestError, match="broken"):
        await channel.get()


async def test_a_full_channel_has_room_once_it_is_read() -> None:
    channel = Channel(lambda: None)
    channel.put(Stdout("a"), BIG)
    waiting = asyncio.create_task(channel.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await channel.get()
    await asyncio.wait_for(waiting, 1)


async def test_overflow_lets_the_producer_go_on() -> None:
    channel = Channel(lambda: None)
    channel.put(Stdout("a"), BIG)
    waiting = asyncio.create_task(channel.room())
    await asyncio.sleep(0)
    channel.overflow()
    await asyncio.wait_for(waiting, 1)
    assert not channel.full
    assert channel.saturated


async def test_abandoned_it_tells_once_and_keeps_nothing() -> None:
    told: list[bool] = []
    channel = Channel(lambda: told.append(True))
    channel.put(Stdout("a"), BIG)
    channel.abandon()
    channel.put(Stdout("b"), BIG)
    channel.abandon()
    assert told == [True]
    assert not channel.saturated
    await asyncio.wait_for(channel.room(), 1)


async def test_abandoned_after_the_end_it_tells_nobody() -> None:
    told: list[bool] = []
    channel = Channel(lambda: told.append(True))
    channel.finish()
    channel.abandon()
    assert told == []
