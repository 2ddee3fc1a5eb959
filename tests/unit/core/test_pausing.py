"""Pausing and resuming as a user sees it, over a node that keeps its sandboxes in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sandlot.core import CreateSandbox, Engine, Limits, ListQuery, Sandbox, State
from sandlot.core.access import Access
from sandlot.core.headcount import EXPIRED, KEPT
from sandlot.core.lifecycle import EventKind
from sandlot.core.tokens import AccessTokens, Purpose
from sandlot.errors import (
    Conflict,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    SandboxGone,
    SandboxPaused,
    Unauthenticated,
    Unavailable,
)
from sandlot.node import Tier
from sandlot.store import Quotas, Tenant, TenantStore

from .conftest import Boot
from .fake_node import FakeNode

DEFAULT = Tenant("default")


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def until_state(engine: Engine, id: str, state: State) -> Sandbox:
    async with asyncio.timeout(10):
        while (sandbox := await engine.get(id)).state is not state:
            await asyncio.sleep(0.001)
        return sandbox


async def on_disk(engine: Engine, node: FakeNode, id: str) -> Sandbox:
    async with asyncio.timeout(10):
        while (sandbox := await engine.get(id)).depth != "disk":
            await asyncio.sleep(0.001)
    assert id in node.world.suspended
    return sandbox


async def kinds(engine: Engine, id: str) -> list[str]:
    return [event.kind for event in await engine.events(id)]


async def test_it_is_frozen_and_goes_on(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(timeout_s=600))
    paused = await engine.pause(made.id)
    assert (paused.state, paused.depth, paused.deadline) == (State.PAUSED, "frozen", None)
    assert paused.paused_at is not None
    assert await engine.get(made.id) == paused
    assert node.world.frozen == {made.id}
    listed = await engine.list(ListQuery(states=frozenset({State.PAUSED})))
    assert [one.id for one in listed.items] == [made.id]
    woken = await engine.resume(made.id)
    assert (woken.state, woken.depth, woken.paused_at) == (State.RUNNING, None, None)
    assert woken.deadline is not None
    assert node.world.running == {made.id}
    assert (await engine.live(made.id)).sandbox == woken == await engine.get(made.id)


async def test_after_a_while_it_is_on_disk_and_comes_back_from_there(boot: Boot) -> None:
    engine, node = await boot(Limits(pause_to_disk_after_s=0))
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    await on_disk(engine, node, made.id)
    assert EventKind.DEEPENED in await kinds(engine, made.id)
    woken = await engine.resume(made.id, 900)
    assert (woken.state, woken.timeout_s, woken.generation) == (State.RUNNING, 900, 0)
    assert node.world.running == {made.id}


async def test_files_alone_where_asked(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    paused = await engine.pause(made.id, memory=False)
    assert (paused.depth, node.done) == ("files", [("suspend files", made.id)])
    assert (await engine.resume(made.id)).state is State.RUNNING


async def test_a_tier_that_keeps_no_memory_says_so(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(isolation=Tier.CONTAINER))
    with pytest.raises(Conflict, match="memory=false"):
        await engine.pause(made.id)
    assert (await engine.get(made.id)).state is State.RUNNING
    assert (await engine.pause(made.id, memory=False)).depth == "files"
    assert node.world.suspended == {made.id}


async def test_many_requests_wake_it_once(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    lives = await asyncio.gather(*(engine.live(made.id) for _ in range(50)))
    assert {live.id for live in lives} == {made.id}
    assert node.done.count(("resume", made.id)) == 1


async def test_one_that_wakes_for_nobody_says_so(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(auto_resume=False))
    await engine.pause(made.id)
    with pytest.raises(SandboxPaused, match="resume"):
        await engine.live(made.id)
    assert node.world.frozen == {made.id}
    assert (await engine.resume(made.id)).state is State.RUNNING
    await engine.live(made.id)


async def test_a_stranger_wakes_nobody_and_the_token_does(boot: Boot) -> None:
    engine, node = await boot()
    access = Access(engine, AccessTokens(b"secret" * 8))
    made = await engine.create(CreateSandbox(ingress="token"))
    await engine.pause(made.id)
    for way in (access.agent, access.ingress):
        with pytest.raises(Unauthenticated):
            await way(made.id, "guessed")
    assert node.world.frozen == {made.id}
    token = access.token(made.id, Purpose.AGENT)
    signer = access.signed(lambda known: known == token)
    assert signer is not None
    assert signer.id == made.id
    assert (await access.agent(made.id, token)).id == made.id
    assert node.world.running == {made.id}


async def test_looking_wakes_nobody(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    for look in (engine.metrics(made.id), engine.history(made.id), engine.set_timeout(made.id, 60)):
        with pytest.raises(SandboxPaused):
            await look
    assert node.world.frozen == {made.id}


async def test_what_is_paused_ended_or_unknown_cannot_be_paused(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    with pytest.raises(SandboxPaused, match="is paused"):
        await engine.pause(made.id)
    await engine.kill(made.id)
    for act in (engine.pause(made.id), engine.resume(made.id)):
        with pytest.raises(SandboxGone):
            await act
    for act in (engine.pause("sbnone"), engine.resume("sbnone")):
        with pytest.raises(NotFound):
            await act


@pytest.mark.parametrize("field", ["pause_idle_s", "keep_paused_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
async def test_absurd_times_are_refused(boot: Boot, field: str, value: float) -> None:
    engine, _ = await boot()
    with pytest.raises(InvalidArgument, match=field):
        await engine.create(CreateSandbox(**{field: value}))  # type: ignore[arg-type]


async def test_resuming_one_that_runs_only_moves_its_deadline_on(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(timeout_s=600))
    assert (await engine.resume(made.id, 60)).deadline == made.deadline
    later = await engine.resume(made.id, 900)
    assert made.deadline is not None
    assert later.deadline is not None
    assert later.deadline > made.deadline
    assert node.done == []


async def test_a_resumed_one_gets_the_timeout_last_asked_for(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox(timeout_s=600))
    await engine.set_timeout(made.id, 1800)
    await engine.pause(made.id)
    woken = await engine.resume(made.id)
    assert woken.timeout_s == 1800
    assert woken.deadline is not None
    assert woken.started_at is not None
    assert (woken.deadline - woken.started_at).total_seconds() > 1700


async def test_its_timeout_pauses_it_where_asked(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(on_timeout="pause", timeout_s=1))
    paused = await until_state(engine, made.id, State.PAUSED)
    assert (paused.reason, paused.depth) == (EXPIRED, "frozen")
    assert node.world.frozen == {made.id}


async def test_a_container_whose_time_is_up_keeps_its_files_and_says_why(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox(on_timeout="pause", timeout_s=1, isolation=Tier.CONTAINER))
    paused = await until_state(engine, made.id, State.PAUSED)
    assert paused.depth == "files"
    assert "files alone" in (paused.reason or "")


async def test_it_runs_on_where_its_timeout_cannot_pause_it(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(on_timeout="pause", pause_memory=False, timeout_s=1))
    node.time_failure = NotEnoughSpace("the host's disk is full")
    async with asyncio.timeout(10):
        while EventKind.PAUSE_FAILED not in await kinds(engine, made.id):
            await asyncio.sleep(0.01)
    await until_state(engine, made.id, State.RUNNING)
    assert (await engine.live(made.id)).id == made.id


async def test_it_is_paused_once_it_was_idle_for_so_long(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(pause_idle_s=1))
    busy = await engine.create(CreateSandbox(pause_idle_s=1))
    node.sandboxes[made.id].idle_since = asyncio.get_running_loop().time()
    paused = await until_state(engine, made.id, State.PAUSED)
    assert "nothing to run for 1 s" in (paused.reason or "")
    assert (await engine.get(busy.id)).state is State.RUNNING


async def test_it_is_kept_for_so_long_and_no_longer(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(keep_paused_s=1))
    paused = await engine.pause(made.id)
    assert paused.deadline is not None
    ended = await until_state(engine, made.id, State.KILLED)
    assert ended.reason == KEPT
    assert node.world.kept == set()


async def test_one_that_woke_is_not_ended_for_having_been_kept(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox(keep_paused_s=1, timeout_s=None))
    await engine.pause(made.id)
    assert (await engine.resume(made.id)).deadline is None
    assert engine._pausing._kept._timers == {}


@pytest.mark.parametrize("deep", [False, True])
async def test_a_paused_one_is_killed_like_any_other(boot: Boot, *, deep: bool) -> None:
    engine, node = await boot(Limits(pause_to_disk_after_s=0 if deep else 300))
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    if deep:
        await on_disk(engine, node, made.id)
    assert await engine.kill(made.id) is True
    assert (await engine.get(made.id)).state is State.KILLED
    assert node.world.kept == set()
    assert engine.status(DEFAULT).disk_mib == 0
    assert engine._pausing.resting == {}


@pytest.mark.parametrize("what", ["pause", "resume"])
async def test_a_kill_waits_for_nothing_that_is_done_to_it(boot: Boot, what: str) -> None:
    engine, node = await boot(Limits(pause_to_disk_after_s=0))
    made = await engine.create(CreateSandbox())
    if what == "resume":
        await engine.pause(made.id)
        await on_disk(engine, node, made.id)
    node.time_gate.clear()
    acting = asyncio.create_task(getattr(engine, what)(made.id))
    await until(lambda: node.waiting)
    assert await engine.kill(made.id) is True
    with pytest.raises(SandboxGone):
        await acting
    assert (await engine.get(made.id)).state is State.KILLED
    assert node.world.kept == set()
    assert engine.status(DEFAULT).disk_mib == 0


async def test_a_request_that_comes_while_it_is_paused_waits_and_wakes_it(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    node.time_gate.clear()
    pausing = asyncio.create_task(engine.pause(made.id))
    await until(lambda: node.waiting)
    asking = asyncio.create_task(engine.live(made.id))
    await asyncio.sleep(0)
    node.time_gate.set()
    assert (await pausing).state is State.PAUSED
    assert (await asking).sandbox.state is State.RUNNING
    assert node.done == [("pause", made.id), ("resume", made.id)]


async def test_who_is_cut_off_by_a_pause_hears_so(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    explained = await engine.explain(made.id, Unavailable("the connection was lost"))
    assert isinstance(explained, SandboxPaused)


@pytest.mark.parametrize("memory", [True, False])
async def test_one_that_cannot_be_paused_runs_on(boot: Boot, *, memory: bool) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(timeout_s=600))
    node.time_failure = Unavailable("the freezer does not answer")
    with pytest.raises(Unavailable, match="freezer"):
        await engine.pause(made.id, memory=memory)
    node.time_failure = None
    assert (await engine.get(made.id)).state is State.RUNNING
    assert (await engine.live(made.id)).id == made.id
    node.lose(made.id, "lost")  # it is watched as before
    await until_state(engine, made.id, State.FAILED)


async def test_one_that_cannot_be_read_stays_as_it_is(boot: Boot) -> None:
    engine, node = await boot(Limits(pause_to_disk_after_s=0))
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    await on_disk(engine, node, made.id)
    node.time_failure = Conflict("what was kept is of another version of runsc")
    with pytest.raises(Conflict, match="version"):
        await engine.resume(made.id)
    assert (await engine.get(made.id)).state is State.PAUSED
    assert engine.status(DEFAULT).memory_mib == 0
    node.time_failure = None
    assert (await engine.resume(made.id)).state is State.RUNNING


async def test_who_cannot_wake_it_hears_why(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id, memory=False)
    node.time_failure = Unavailable("the runtime failed")
    with pytest.raises(Unavailable, match="stays paused: the runtime failed") as failed:
        await engine.live(made.id)
    assert await engine.explain(made.id, failed.value) is failed.value


async def test_one_whose_disk_is_lost_has_failed(boot: Boot) -> None:
    engine, node = await boot(Limits(pause_to_disk_after_s=0))
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    await on_disk(engine, node, made.id)
    node.world.suspended.clear()
    with pytest.raises(SandboxGone, match="lost"):
        await engine.resume(made.id)
    assert (await engine.get(made.id)).state is State.FAILED
    assert engine.status(DEFAULT).disk_mib == 0


async def test_one_that_dies_frozen_has_failed(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    node.lose(made.id, "its runtime exited")
    await until_state(engine, made.id, State.FAILED)
    with pytest.raises(SandboxGone):
        await engine.resume(made.id)
    await until(lambda: engine.status(DEFAULT).disk_mib == 0)


async def test_one_that_cannot_be_put_on_disk_stays_frozen(boot: Boot) -> None:
    engine, node = await boot(Limits(pause_to_disk_after_s=0.05))
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    node.time_failure = NotEnoughSpace("full")
    async with asyncio.timeout(10):
        while EventKind.DEGRADED not in await kinds(engine, made.id):
            await asyncio.sleep(0.001)
    node.time_failure = None
    assert (await engine.get(made.id)).depth == "frozen"
    assert (await engine.resume(made.id)).state is State.RUNNING


# ── what it holds ────────────────────────────────────────────────────────────────────────────────────


async def test_a_paused_one_leaves_room_in_the_quota(boot: Boot) -> None:
    engine, node = await boot(Limits(pause_to_disk_after_s=0.05))
    await TenantStore(engine._ledger._store._database).change("default", {"max_sandboxes": 1})
    tenant = Tenant("default", Quotas(max_sandboxes=1))
    made = await engine.create(CreateSandbox(), tenant)
    with pytest.raises(LimitExceeded):
        await engine.create(CreateSandbox(), tenant)
    await engine.pause(made.id)
    frozen = engine.status(tenant)
    assert (frozen.sandboxes, frozen.paused, frozen.cpus) == (0, 1, 0)
    assert frozen.memory_mib == made.memory_mib
    await on_disk(engine, node, made.id)
    await until(lambda: engine.status(tenant).memory_mib == 0)
    assert engine.status(tenant).disk_mib == made.disk_mib
    assert engine.census().tenants["default"].sandboxes == {State.PAUSED: 1}
    other = await engine.create(CreateSandbox(), tenant)
    with pytest.raises(LimitExceeded, match="max_sandboxes"):
        await engine.resume(made.id)
    assert (await engine.get(made.id)).state is State.PAUSED
    await engine.kill(other.id)
    assert (await engine.resume(made.id)).state is State.RUNNING
    assert engine.status(tenant).sandboxes == 1


async def test_who_waits_for_room_gets_that_of_the_frozen(boot: Boot) -> None:
    engine, node = await boot(Limits(max_sandboxes=1))
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id)
    other = await engine.create(CreateSandbox())
    assert (await engine.get(made.id)).state is State.PAUSED
    assert node.world.suspended == {made.id}
    assert node.world.running == {other.id}


async def test_a_waking_one_waits_for_room_and_may_be_refused(boot: Boot) -> None:
    engine, _ = await boot(Limits(max_sandboxes=1, create_queue_timeout_s=0.05))
    made = await engine.create(CreateSandbox())
    await engine.pause(made.id, memory=False)
    other = await engine.create(CreateSandbox())
    with pytest.raises(LimitExceeded, match="max_sandboxes"):
        await engine.live(made.id)
    await engine.kill(other.id)
    assert (await engine.live(made.id)).id == made.id


# ── restarts ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("deep", [False, True])
async def test_it_stays_paused_across_a_restart(boot: Boot, *, deep: bool) -> None:
    limits = Limits(pause_to_disk_after_s=0 if deep else 300)
    engine, node = await boot(limits)
    made = await engine.create(CreateSandbox(keep_paused_s=3600))
    await engine.pause(made.id)
    if deep:
        await on_disk(engine, node, made.id)
    before = await engine.get(made.id)
    await engine.stop()
    engine, node = await boot(limits)
    assert await engine.get(made.id) == before
    assert engine.status(DEFAULT).paused == 1
    assert made.id in engine._pausing._kept._timers
    assert (await engine.live(made.id)).sandbox.state is State.RUNNING


async def test_what_is_kept_too_long_ends_after_a_restart_too(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox(keep_paused_s=1))
    await engine.pause(made.id)
    await engine.stop()
    engine, _ = await boot()
    assert (await until_state(engine, made.id, State.KILLED)).reason == KEPT


async def test_a_reboot_ends_the_frozen_and_spares_what_is_on_disk(boot: Boot) -> None:
    engine, node = await boot()
    frozen, kept, running = [await engine.create(CreateSandbox()) for _ in range(3)]
    await engine.pause(frozen.id)
    await engine.pause(kept.id, memory=False)
    await engine.stop()
    node.world.reboot()
    engine, node = await boot()
    for lost in (frozen, running):
        assert (await engine.get(lost.id)).state is State.FAILED
    assert (await engine.resume(kept.id)).state is State.RUNNING


@pytest.mark.parametrize(
    ("deed", "state"),
    [("pause", State.PAUSED), ("resume", State.RUNNING), ("suspend files", State.PAUSED)],
)
async def test_what_was_done_and_not_written_down_has_happened(
    boot: Boot, deed: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    if deed == "resume":
        await engine.pause(made.id)
    stuck = asyncio.Event()
    store = engine._ledger._store
    change = store.change

    async def hangs(*args: Any) -> bool:
        if (deed, made.id) in node.done:
            stuck.set()
            await asyncio.Event().wait()
        return await change(*args)

    monkeypatch.setattr(store, "change", hangs)
    acting = engine.resume(made.id) if deed == "resume" else engine.pause(made.id, memory=deed == "pause")
    task = asyncio.create_task(acting)
    async with asyncio.timeout(5):
        await stuck.wait()
    await engine.stop()
    with pytest.raises(Unavailable):
        await task
    engine, node = await boot()
    assert (await engine.get(made.id)).state is state
    assert (await engine.live(made.id)).sandbox.state is State.RUNNING


async def test_a_pause_that_had_not_happened_has_failed_after_a_restart(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    node.time_gate.clear()
    task = asyncio.create_task(engine.pause(made.id, memory=False))
    await until(lambda: node.waiting)
    await engine.stop()
    with pytest.raises(Unavailable):
        await task
    engine, _ = await boot()
    assert (await engine.get(made.id)).state is State.RUNNING
    assert EventKind.PAUSE_FAILED in await kinds(engine, made.id)
