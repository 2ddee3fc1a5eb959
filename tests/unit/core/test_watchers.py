"""Watches that are asked: how many, how long, and what becomes of them with their sandbox."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from sandlot.core import watchers as module
from sandlot.core.watchers import MAX_EVENTS, MAX_WATCHERS, Watchers
from sandlot.errors import LimitExceeded, NotFound, Unavailable
from sandlot.node.agent import GuestAgent, WatchEvent

EVENT = WatchEvent("create", "/d/f", is_dir=False)


class FakeWatch:
    def __init__(self) -> None:
        self.asleep = False
        self.dropped = False
        self.error: Exception | None = None
        self.asked = 0

    def let_sleep(self, may: bool, /) -> None:
        self.asleep = may

    def drop(self) -> None:
        self.dropped = True

    async def so_far(self, limit: int) -> list[WatchEvent]:
        assert not self.asleep
        assert limit == MAX_EVENTS
        self.asked += 1
        await asyncio.sleep(0)
        assert not self.asleep  # nor has somebody who asked beside it said otherwise
        if self.error is not None:
            raise self.error
        return [EVENT]


class FakeAgent:
    def __init__(self) -> None:
        self.watches: list[FakeWatch] = []

    async def watching(self, path: str, *, recursive: bool) -> FakeWatch:
        if path == "/nowhere":
            raise NotFound("nowhere")
        self.watches.append(FakeWatch())
        return self.watches[-1]


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def watchers(agent: FakeAgent) -> Watchers:
    return Watchers(lambda: cast(GuestAgent, agent))


async def test_a_watcher_sleeps_but_while_it_is_asked(watchers: Watchers, agent: FakeAgent) -> None:
    id = await watchers.create("/d", with_info=True)
    assert agent.watches[0].asleep
    answers = await asyncio.gather(watchers.news(id), watchers.news(id))
    assert [news for _, news in answers] == [[EVENT], [EVENT]]
    assert (answers[0][0].path, answers[0][0].with_info) == ("/d", True)
    assert agent.watches[0].asleep


async def test_there_are_no_more_than_there_may_be(watchers: Watchers, agent: FakeAgent) -> None:
    ids = await asyncio.gather(*(watchers.create("/d") for _ in range(MAX_WATCHERS)))
    with pytest.raises(LimitExceeded, match=str(MAX_WATCHERS)):
        await watchers.create("/d")
    watchers.remove(ids[0])
    assert agent.watches[0].dropped
    with pytest.raises(NotFound):
        await watchers.create("/nowhere")
    await watchers.create("/d")
    with pytest.raises(LimitExceeded):
        await watchers.create("/d")


async def test_one_that_nobody_asks_is_forgotten(
    watchers: Watchers, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(module, "_now", lambda: now)
    asked, unasked = await watchers.create("/d"), await watchers.create("/d")
    now = module.UNASKED_S - 1
    await watchers.news(asked)
    now = module.UNASKED_S + 1
    await watchers.news(asked)
    assert [watch.dropped for watch in agent.watches] == [False, True]
    for use in (watchers.news(unasked), watchers.news("w" * 1000)):
        with pytest.raises(NotFound):
            await use


async def test_one_that_lost_its_sandbox_ends(watchers: Watchers, agent: FakeAgent) -> None:
    id = await watchers.create("/d")
    agent.watches[0].error = Unavailable("the connection to the guest agent was lost")
    with pytest.raises(Unavailable):
        await watchers.news(id)
    assert agent.watches[0].dropped
    with pytest.raises(NotFound):
        await watchers.news(id)


async def test_all_end_together(watchers: Watchers, agent: FakeAgent) -> None:
    ids = [await watchers.create("/d") for _ in range(3)]
    watchers.close()
    watchers.close()
    assert all(watch.dropped for watch in agent.watches)
    with pytest.raises(NotFound):
        watchers.remove(ids[0])
