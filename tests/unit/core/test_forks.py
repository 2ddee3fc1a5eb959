"""Forks: each child lives or fails alone, as quota and machine allow, and none is left half-made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from sandlot.core import CreateSandbox, Engine, Fork, Limits, ListQuery, Sandbox, State
from sandlot.core.lifecycle import EventKind
from sandlot.errors import (
    Conflict,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    SandboxGone,
    SandboxPaused,
    SandlotError,
    Unavailable,
)
from sandlot.node import Tier
from sandlot.store import Quotas, Tenant, TenantStore

from .conftest import Boot

MINE = Tenant("default")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


async def refused(work: Awaitable[object], kind: type[SandlotError]) -> str:
    with pytest.raises(kind) as told:
        await work
    return told.value.message


def children(forks: Sequence[Fork]) -> list[Sandbox]:
    return [fork.sandbox for fork in forks if fork.sandbox is not None]


async def living(engine: Engine) -> set[str]:
    return {sandbox.id for sandbox in (await engine.list(ListQuery())).items}


async def test_children_have_names_of_their_own_and_all_else_of_their_parent(boot: Boot) -> None:
    engine, node = await boot()
    request = CreateSandbox(
        memory_mib=256, env={"A": "1"}, metadata={"m": "1"}, hostname="mother", internet=False, timeout_s=None
    )
    parent = await engine.create(request)
    made = children(await engine.fork(parent.id, MINE, count=3, timeout_s=60))
    assert len({child.id for child in made} | {parent.id}) == 4
    for child in made:
        assert (child.hostname, child.parent_id, child.generation) == (child.id, parent.id, 1)
        assert (child.env, child.metadata, child.internet) == ({"A": "1"}, {"m": "1"}, False)
        assert (child.state, child.memory_mib, child.timeout_s) == (State.RUNNING, 256, 60)
        assert child.deadline is not None
        assert child == await engine.get(child.id) == (await engine.live(child.id)).sandbox
    assert (await engine.get(parent.id)).deadline is None
    assert node.world.running == {parent.id, *(child.id for child in made)}
    event = (await engine.events(parent.id))[-1]
    assert event.kind == EventKind.FORKED
    assert set(event.details["children"]) == {child.id for child in made}
    assert engine.status(MINE).sandboxes == 4


async def test_a_grandchild_is_a_generation_further(boot: Boot) -> None:
    engine, _ = await boot()
    parent = await engine.create(CreateSandbox())
    [child] = children(await engine.fork(parent.id, MINE))
    [grandchild] = children(await engine.fork(child.id, MINE))
    assert (grandchild.generation, grandchild.parent_id) == (2, child.id)


async def test_one_that_fails_does_not_keep_the_others(boot: Boot) -> None:
    engine, node = await boot()
    parent = await engine.create(CreateSandbox())
    node.forks = [None, NotEnoughSpace("the disk is full"), None]
    forks = await engine.fork(parent.id, MINE, count=3)
    assert [type(fork.error) for fork in forks if fork.error] == [NotEnoughSpace]
    made = {child.id for child in children(forks)}
    assert len(made) == 2
    assert await living(engine) == {parent.id, *made} == node.world.running
    assert engine.status(MINE).sandboxes == 3


@pytest.mark.parametrize("alone", [True, False])
async def test_where_none_can_be_made_it_is_said_why(boot: Boot, alone: bool) -> None:
    engine, node = await boot()
    parent = await engine.create(CreateSandbox())
    full = NotEnoughSpace("the disk is full")
    if alone:
        node.forks = [full, full]
    else:
        node.time_failure = full
    assert "full" in await refused(engine.fork(parent.id, MINE, count=2), NotEnoughSpace)
    assert await living(engine) == {parent.id} == node.world.running
    assert engine.status(MINE).sandboxes == 1


@pytest.mark.parametrize("count", [0, -1, 101, 10_000])
async def test_a_count_that_cannot_be(boot: Boot, count: int) -> None:
    engine, node = await boot()
    parent = await engine.create(CreateSandbox())
    told = await refused(engine.fork(parent.id, MINE, count=count), InvalidArgument)
    assert "from 1 to 100" in told
    assert "max_forks" in told
    assert node.done == []


async def test_what_cannot_be_forked(boot: Boot) -> None:
    engine, node = await boot()
    container = await engine.create(CreateSandbox(isolation=Tier.CONTAINER))
    await refused(engine.fork(container.id, MINE), Conflict)
    await engine.kill(container.id)
    await refused(engine.fork(container.id, MINE), SandboxGone)
    await refused(engine.fork("sb" + "a" * 20, MINE), NotFound)
    asleep = await engine.create(CreateSandbox(auto_resume=False))
    await engine.pause(asleep.id)
    await refused(engine.fork(asleep.id, MINE), SandboxPaused)
    assert ("fork", asleep.id) not in node.done
    status = engine.status(MINE)
    assert (status.sandboxes, status.paused) == (0, 1)


async def test_a_paused_one_that_any_request_wakes_is_woken(boot: Boot) -> None:
    engine, _ = await boot()
    parent = await engine.create(CreateSandbox())
    await engine.pause(parent.id)
    assert len(children(await engine.fork(parent.id, MINE, count=2))) == 2
    assert (await engine.get(parent.id)).state is State.RUNNING


async def test_as_many_as_the_quota_allows(boot: Boot) -> None:
    engine, node = await boot()
    tenant = Tenant("acme", Quotas(max_sandboxes=3))
    await TenantStore(engine._ledger._store._database).create(tenant)
    parent = await engine.create(CreateSandbox(), tenant)
    forks = await engine.fork(parent.id, tenant, count=4)
    assert len(children(forks)) == 2
    errors = [fork.error for fork in forks if fork.error is not None]
    assert [type(error) for error in errors] == [LimitExceeded] * 2
    assert errors[0].details["limit"] == "max_sandboxes"
    assert len(node.world.running) == 3
    await refused(engine.fork(parent.id, tenant, count=4), LimitExceeded)
    await engine.kill(children(forks)[0].id)
    assert len(children(await engine.fork(parent.id, tenant, count=1))) == 1


async def test_as_many_as_the_machine_has_room_for(boot: Boot) -> None:
    engine, node = await boot(Limits(max_sandboxes=3, create_queue_timeout_s=0.01))
    parent = await engine.create(CreateSandbox())
    forks = await engine.fork(parent.id, MINE, count=4)
    assert len(children(forks)) == 2
    assert len(node.world.running) == 3
    await refused(engine.fork(parent.id, MINE, count=4), LimitExceeded)
    assert engine.status(MINE).sandboxes == 3


async def test_children_that_are_made_hold_up_nobody_else(boot: Boot) -> None:
    engine, node = await boot(Limits(max_concurrent_creates=2))
    parent = await engine.create(CreateSandbox())
    node.time_gate.clear()
    forking = asyncio.create_task(engine.fork(parent.id, MINE, count=50))
    await until(lambda: node.waiting == 1)
    async with asyncio.timeout(5):
        await engine.create(CreateSandbox())
    node.time_gate.set()
    assert len(children(await forking)) == 50


async def test_a_caller_that_goes_away_leaves_no_children(boot: Boot) -> None:
    engine, node = await boot()
    parent = await engine.create(CreateSandbox())
    node.time_gate.clear()
    forking = asyncio.create_task(engine.fork(parent.id, MINE, count=3))
    await until(lambda: node.waiting == 1)
    forking.cancel()
    with suppress(asyncio.CancelledError):
        await forking
    node.time_gate.set()
    await until(lambda: ("fork", parent.id) in node.done)
    await until(lambda: node.world.running == {parent.id} and engine.status(MINE).sandboxes == 1)


async def test_a_child_may_be_killed_while_it_is_made(boot: Boot) -> None:
    engine, node = await boot()
    parent = await engine.create(CreateSandbox())
    node.time_gate.clear()
    forking = asyncio.create_task(engine.fork(parent.id, MINE, count=2))
    await until(lambda: node.waiting == 1)
    async with asyncio.timeout(5):
        while len(await living(engine)) < 3:
            await asyncio.sleep(0.001)
    doomed = min(await living(engine) - {parent.id})
    killing = asyncio.create_task(engine.kill(doomed))
    async with asyncio.timeout(5):
        while (await engine.get(doomed)).state is not State.KILLING:
            await asyncio.sleep(0.001)
    for _ in range(20):
        await asyncio.sleep(0)
    assert doomed not in node.destroyed  # nothing can be removed of what is being made
    node.time_gate.set()
    assert await killing
    forks = await forking
    [child] = children(forks)
    assert [type(fork.error) for fork in forks if fork.error] == [SandboxGone]
    assert node.world.running == {parent.id, child.id} == await living(engine)
    assert (await engine.get(doomed)).state is State.KILLED


async def test_who_kills_the_parent_waits_for_no_child(boot: Boot) -> None:
    engine, node = await boot()
    parent = await engine.create(CreateSandbox())
    node.time_gate.clear()
    forking = asyncio.create_task(engine.fork(parent.id, MINE, count=3))
    await until(lambda: node.waiting == 1)
    assert await engine.kill(parent.id)
    await refused(forking, SandboxGone)
    assert await living(engine) == node.world.running == set()
    assert engine.status(MINE).sandboxes == 0


async def test_a_server_that_stops_leaves_none_half_made(boot: Boot) -> None:
    engine, node = await boot()
    parent = await engine.create(CreateSandbox())
    node.time_gate.clear()
    forking = asyncio.create_task(engine.fork(parent.id, MINE, count=3))
    await until(lambda: node.waiting == 1)
    async with asyncio.timeout(5):
        await engine.stop()
        await refused(forking, Unavailable)
    engine, node = await boot()
    assert await living(engine) == node.world.running == {parent.id}
    failed = (await engine.list(ListQuery(states=frozenset({State.FAILED})))).items
    assert {sandbox.parent_id for sandbox in failed} == {parent.id}
