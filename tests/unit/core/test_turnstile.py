"""Turns at one sandbox: one after the other, each to its end, and none of them holds up who ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sandlot.core.tasks import Tasks
from sandlot.core.turnstile import MAX_WAITING, Turnstile
from sandlot.errors import Conflict, InvalidArgument, SandboxGone, Unavailable


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.close()


async def test_turns_are_taken_in_the_order_of_asking(tasks: Tasks) -> None:
    turnstile, done = Turnstile(tasks), []

    async def work(name: int) -> int:
        await asyncio.sleep(0)
        done.append(name)
        return name

    answers = await asyncio.gather(*(turnstile.run("a", "do", lambda n=n: work(n)) for n in range(5)))  # type: ignore[misc]
    assert answers == done == [0, 1, 2, 3, 4]


async def test_sandboxes_do_not_wait_for_each_other(tasks: Tasks) -> None:
    turnstile, gate = Turnstile(tasks), asyncio.Event()

    async def other() -> str:
        gate.set()
        return "other"

    first = asyncio.create_task(turnstile.run("a", "wait", gate.wait))
    assert await turnstile.run("b", "do", other) == "other"
    assert await first is True


async def test_it_goes_on_where_the_caller_goes_away(tasks: Tasks) -> None:
    turnstile, gate, done = Turnstile(tasks), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    caller = asyncio.create_task(turnstile.run("a", "do", work))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    gate.set()
    async with asyncio.timeout(5):
        await done.wait()


async def test_whoever_ends_the_sandbox_waits_for_nobody(tasks: Tasks) -> None:
    turnstile, begun, cleaned = Turnstile(tasks), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    callers = [asyncio.create_task(turnstile.run("a", "do", work)) for _ in range(3)]
    async with asyncio.timeout(5):
        await begun.wait()
        await turnstile.close("a")
    assert cleaned.is_set()
    for caller in callers:
        with pytest.raises(SandboxGone):
            await caller


async def test_an_error_is_told_to_who_asked(tasks: Tasks) -> None:
    turnstile = Turnstile(tasks)

    async def refuse() -> None:
        raise InvalidArgument("no")

    with pytest.raises(InvalidArgument, match="no"):
        await turnstile.run("a", "do", refuse)


async def test_the_line_is_bounded(tasks: Tasks) -> None:
    turnstile, gate = Turnstile(tasks), asyncio.Event()
    callers = [asyncio.create_task(turnstile.run("a", "do", gate.wait)) for _ in range(MAX_WAITING + 1)]
    await asyncio.sleep(0)
    with pytest.raises(Conflict, match="wait"):
        await turnstile.run("a", "do", gate.wait)
    gate.set()
    await asyncio.gather(*callers)


async def test_a_stop_of_the_server_is_told(tasks: Tasks) -> None:
    turnstile = Turnstile(tasks)
    caller = asyncio.create_task(turnstile.run("a", "do", asyncio.Event().wait))
    await asyncio.sleep(0)
    await tasks.close()
    with pytest.raises(Unavailable):
        await caller
