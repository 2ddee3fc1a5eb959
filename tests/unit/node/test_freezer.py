"""When a sandbox is frozen and when thawed: any interleaving of calls, answers, failures and time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sandlot.errors import GuestError, Unavailable
from sandlot.node.agent.activity import is_noticed
from sandlot.node.freezer import Freezer

AFTER_S = 1.0
LONG_S = 30.0


class Leaping(selectors.SelectSelector):
    """Nothing ever happens on a descriptor here, so waiting only moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything waits for something that never comes"
        self.now += max(timeout, 0.0)
        return super().select(0)


class FakeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.leaping = Leaping()
        super().__init__(self.leaping)

    def time(self) -> float:
        return self.leaping.now

    def pass_time(self, seconds: float) -> None:
        self.run_until_complete(asyncio.sleep(seconds))


class Sandbox:
    """A guest, its group and its callers, and what must be true of them."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.frozen = False
        self.fails = False
        self.ever_failed = False
        self.closed = False
        self.calls: list[bool] = []
        self.broken: list[str] = []
        self.begun = 0
        self.ended_at = 0.0
        self.question: asyncio.Future[bool] | None = None
        self.begun_when_asked = -1
        self.answer: bool | None = None
        self.freezer: Freezer
        self.loop.run_until_complete(self._make())

    async def _make(self) -> None:
        self.freezer = Freezer(self, self.idle, AFTER_S)

    async def idle(self) -> bool:
        self.must(not is_noticed(), "asking must not look like using")
        self.must(not self.frozen, "asked while frozen")
        self.question, self.answer = self.loop.create_future(), None
        self.begun_when_asked = self.begun
        return await self.question

    def freeze(self) -> None:
        self.must(not self.calls, "frozen under a call")
        self.must(not self.closed, "frozen by a server that had let go")
        self.must(self.answer is True, "frozen without the guest's consent")
        self.must(self.begun_when_asked == self.begun, "the guest's answer was of before a call")
        self.must(self.loop.time() >= self.ended_at + AFTER_S - 1e-6, "frozen too soon after a call")
        if self.fails:
            self.ever_failed = True
            raise OSError(5, "no")
        self.frozen = True

    def thaw(self) -> None:
        self.must(not self.closed, "thawed by a server that had let go")
        self.frozen = False

    def must(self, kept: bool, rule: str) -> None:
        """Remembered, because who breaks it is a task of its own."""
        if not kept:
            self.broken.append(rule)

    def begin(self, noticed: bool) -> None:
        self.calls.append(noticed)
        self.begun += noticed
        self.freezer.begin(noticed=noticed)

    def end(self) -> None:
        noticed = self.calls.pop()
        if noticed:
            self.ended_at = self.loop.time()
        self.freezer.end(noticed=noticed)

    def reply(self, answer: bool | Exception) -> None:
        assert self.question is not None
        if isinstance(answer, Exception):
            self.question.set_exception(answer)
        else:
            self.answer = answer
            self.question.set_result(answer)
        self.loop.pass_time(0)

    @property
    def asked(self) -> bool:
        return self.question is not None and not self.question.done()

    def close(self) -> None:
        self.closed = True
        self.loop.run_until_complete(self.freezer.close())

    def end_of_world(self) -> None:
        if not self.closed:
            self.close()
        self.loop.close()


class Freezing(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sandbox = Sandbox()

    @initialize(fails=st.sampled_from([False, False, False, True]))
    def the_kernel_may_refuse(self, fails: bool) -> None:
        self.sandbox.fails = fails

    @precondition(lambda self: not self.sandbox.calls)
    @rule()
    def it_is_left_alone(self) -> None:
        self.sandbox.loop.pass_time(AFTER_S + 0.01)

    @rule(seconds=st.sampled_from([0.0, 0.01, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.sandbox.loop.pass_time(seconds)

    @precondition(lambda self: len(self.sandbox.calls) < 3)
    @rule(noticed=st.booleans())
    def a_call_begins(self, noticed: bool) -> None:
        self.sandbox.begin(noticed)
        assert not self.sandbox.frozen or self.sandbox.closed

    @rule(noticed=st.booleans())
    def a_call_comes_and_goes(self, noticed: bool) -> None:
        self.sandbox.begin(noticed)
        self.sandbox.end()

    @precondition(lambda self: self.sandbox.calls)
    @rule()
    def a_call_ends(self) -> None:
        self.sandbox.end()

    @rule()
    def something_is_sent(self) -> None:
        self.sandbox.freezer.stir()
        assert not self.sandbox.frozen or self.sandbox.closed

    @precondition(lambda self: self.sandbox.asked)
    @rule(
        answer=st.sampled_from([True, True, False, Unavailable("gone"), GuestError("nonsense")]),
    )
    def the_guest_answers(self, answer: bool | Exception) -> None:
        self.sandbox.reply(answer)

    @precondition(lambda self: not self.sandbox.closed)
    @rule(sure=st.integers(0, 7))
    def the_server_lets_go(self, sure: int) -> None:
        if sure:
            return
        before = self.sandbox.frozen
        self.sandbox.close()
        assert self.sandbox.frozen == before

    @invariant()
    def no_rule_is_broken(self) -> None:
        assert self.sandbox.broken == []

    @invariant()
    def it_knows_whether_it_is_frozen(self) -> None:
        assert self.sandbox.freezer.frozen == self.sandbox.frozen
        assert not (self.sandbox.frozen and self.sandbox.calls) or self.sandbox.closed

    def teardown(self) -> None:
        """Whatever happened before, an idle sandbox ends up frozen."""
        sandbox = self.sandbox
        while sandbox.calls:
            sandbox.end()
        if not sandbox.closed and not sandbox.ever_failed:
            sandbox.fails = False
            for _ in range(100):
                if sandbox.frozen:
                    break
                if sandbox.asked:
                    sandbox.reply(True)
                sandbox.loop.pass_time(0.1)
            assert sandbox.frozen
            assert sandbox.broken == []
        sandbox.end_of_world()


TestFreezing = Freezing.TestCase
TestFreezing.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


@pytest.fixture
def sandbox() -> Any:
    world = Sandbox()
    yield world
    world.end_of_world()


def frozen(sandbox: Sandbox) -> Sandbox:
    sandbox.loop.pass_time(AFTER_S + 0.01)
    sandbox.reply(True)
    assert sandbox.frozen
    return sandbox


def test_a_call_thaws_and_is_counted(sandbox: Sandbox) -> None:
    frozen(sandbox).begin(noticed=True)
    assert not sandbox.frozen
    assert sandbox.freezer.thaws == 1


def test_a_call_that_came_and_went_makes_the_answer_void(sandbox: Sandbox) -> None:
    sandbox.loop.pass_time(AFTER_S + 0.01)
    sandbox.begin(noticed=True)
    sandbox.end()
    sandbox.reply(True)
    assert not sandbox.frozen
    frozen(sandbox)


def test_a_held_sandbox_is_not_even_asked(sandbox: Sandbox) -> None:
    with sandbox.freezer.hold():
        sandbox.loop.pass_time(LONG_S)
        assert not sandbox.asked
    frozen(sandbox)


def test_a_guest_that_does_not_answer_is_asked_again_later(sandbox: Sandbox) -> None:
    sandbox.loop.pass_time(AFTER_S + 0.01)
    first = sandbox.question
    sandbox.loop.pass_time(LONG_S)
    assert not sandbox.frozen
    assert sandbox.question is not first


def test_a_group_that_cannot_be_frozen_is_not_tried_again(sandbox: Sandbox) -> None:
    sandbox.fails = True
    sandbox.loop.pass_time(AFTER_S + 0.01)
    sandbox.reply(True)
    sandbox.loop.pass_time(LONG_S)
    assert not sandbox.frozen
    assert not sandbox.asked


def test_measuring_neither_wakes_it_for_long_nor_keeps_it_awake(sandbox: Sandbox) -> None:
    for _ in range(8):
        sandbox.begin(noticed=False)
        sandbox.end()
        sandbox.loop.pass_time(AFTER_S / 4)
    assert sandbox.asked


def test_who_waits_for_it_to_be_awake_waits(sandbox: Sandbox) -> None:
    frozen(sandbox)
    waiting = sandbox.loop.create_task(sandbox.freezer.awake())
    sandbox.loop.pass_time(LONG_S)
    assert not waiting.done()
    sandbox.freezer.stir()
    sandbox.loop.pass_time(0)
    assert waiting.done()
