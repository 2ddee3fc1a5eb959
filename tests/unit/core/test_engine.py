"""The engine's promises, against a node that can be told to misbehave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandlot.core import CreateSandbox, Engine, Limits, ListQuery, State
from sandlot.errors import (
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    SandboxGone,
    Unavailable,
)

from .conftest import Boot


async def ended(engine: Engine, id: str) -> Any:
    async with asyncio.timeout(5):
        while not (sandbox := await engine.get(id)).state.ended:
            await asyncio.sleep(0)
        return sandbox


async def transitions(engine: Engine, id: str) -> list[tuple[State | None, State | None]]:
    events = await engine.events(id)
    assert all(event.reason for event in events), "every line of the log says why"
    return [(event.from_state, event.to_state) for event in events if event.to_state]


async def test_create_get_list_kill(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox(metadata={"job": "7"}, env={"A": "1"}))
    assert made.state is State.RUNNING
    assert made.deadline is not None
    assert made.started_at is not None
    assert (made.deadline - made.started_at).total_seconds() == pytest.approx(300, abs=1)
    assert await engine.get(made.id) == made
    assert [s.id for s in (await engine.list(ListQuery(metadata={"job": "7"}))).items] == [made.id]
    assert (await engine.list(ListQuery(metadata={"job": "8"}))).items == []
    assert await engine.kill(made.id) is True
    assert await engine.kill(made.id) is False
    assert (await engine.get(made.id)).state is State.KILLED
    assert node.world.running == set()
    assert (await engine.list(ListQuery())).items == []
    assert await transitions(engine, made.id) == [
        (None, State.CREATING),
        (State.CREATING, State.RUNNING),
        (State.RUNNING, State.KILLING),
        (State.KILLING, State.KILLED),
    ]


@pytest.mark.parametrize("key", ["a", "a.b", 'quo"te', "nul\0", "back\\slash", "$", "ключ"])
async def test_metadata_of_any_letters_are_found(boot: Boot, key: str) -> None:
    engine, _ = await boot()
    await engine.create(CreateSandbox(metadata={"other": "v"}))
    assert (await engine.list(ListQuery(metadata={key: "v"}))).items == []
    if "\0" not in key:
        made = await engine.create(CreateSandbox(metadata={key: "v"}))
        assert [s.id for s in (await engine.list(ListQuery(metadata={key: "v"}))).items] == [made.id]
        assert (await engine.list(ListQuery(metadata={key: "w"}))).items == []


async def test_kills_at_once_end_it_once(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    answers = await asyncio.gather(*(engine.kill(made.id) for _ in range(5)))
    assert answers == [True] * 5
    assert node.destroyed == [made.id]


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_pages_hold_every_sandbox_once(boot: Boot, *, oldest_first: bool) -> None:
    engine, _ = await boot()
    made = [(await engine.create(CreateSandbox())).id for _ in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = await engine.list(ListQuery(limit=3, cursor=cursor, oldest_first=oldest_first))
        seen += [sandbox.id for sandbox in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == (made if oldest_first else made[::-1])


async def test_lists_by_template_and_by_age(boot: Boot) -> None:
    engine, _ = await boot()
    first, second = [await engine.create(CreateSandbox()) for _ in range(2)]
    assert [one.id for one in (await engine.list(ListQuery(since=second.created_at))).items] == [second.id]
    assert len((await engine.list(ListQuery(since=first.created_at))).items) == 2
    assert len((await engine.list(ListQuery(template="base"))).items) == 2
    assert (await engine.list(ListQuery(template="bas"))).items == []


async def test_extending_never_shortens(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox(timeout_s=600))
    assert (await engine.extend(made.id, 60)).deadline == made.deadline
    longer = await engine.extend(made.id, 900)
    assert made.deadline is not None
    assert longer.deadline is not None
    assert longer.deadline > made.deadline
    endless = await engine.set_timeout(made.id, None)
    assert await engine.extend(made.id, 900) == endless


@pytest.mark.parametrize("cursor", ["x", "%%%", "AAAA", "MTIzOm5vdC1hbi1pZA"])
async def test_a_foreign_cursor_is_refused(boot: Boot, cursor: str) -> None:
    engine, _ = await boot()
    with pytest.raises(InvalidArgument, match="cursor"):
        await engine.list(ListQuery(cursor=cursor))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cpus", -1),
        ("cpus", float("nan")),
        ("cpus", 10_000),
        ("memory_mib", 0),
        ("memory_mib", 10**12),
        ("memory_mib", 10**400),
        ("memory_mib", -(10**400)),
        ("disk_mib", -5),
        ("pids", 1),
        ("timeout_s", 0),
        ("timeout_s", float("inf")),
        ("hostname", "-bad"),
        ("hostname", "a" * 64),
        ("env", {"": "x"}),
        ("env", {"A=B": "x"}),
        ("env", {"A": "nul\0"}),
        ("env", {"A": "\ud800"}),
        ("metadata", {"k": "\udcff"}),
        ("metadata", {"k": "v" * 100_000}),
    ],
)
async def test_absurd_requests_name_the_field(boot: Boot, field: str, value: Any) -> None:
    engine, node = await boot()
    with pytest.raises(InvalidArgument, match=field):
        await engine.create(CreateSandbox(**{field: value}))
    assert node.world.running == set()


async def test_bounds_are_written_as_people_write_them(boot: Boot) -> None:
    engine, _ = await boot()
    with pytest.raises(InvalidArgument, match=r"^disk_mib must be from 64 to 1048576, not 2000000$"):
        await engine.create(CreateSandbox(disk_mib=2_000_000))


async def test_an_unknown_template_is_not_found(boot: Boot) -> None:
    engine, _ = await boot()
    with pytest.raises(NotFound, match="there is: base"):
        await engine.create(CreateSandbox(template="nope"))


async def test_the_deadline_kills(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox(timeout_s=None))
    assert made.deadline is None
    engine._roster.arm(made.id, 0.001)
    sandbox = await ended(engine, made.id)
    assert (sandbox.state, sandbox.reason) == (State.KILLED, "its timeout ran out")
    with pytest.raises(SandboxGone, match="timeout ran out"):
        await engine.live(made.id)
    with pytest.raises(SandboxGone):
        await engine.set_timeout(made.id, 10)


async def test_a_new_timeout_counts_from_now(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox(timeout_s=5))
    later = await engine.set_timeout(made.id, 1000)
    assert made.deadline is not None
    assert later.deadline is not None
    assert (later.deadline - made.deadline).total_seconds() > 900
    assert (await engine.set_timeout(made.id, None)).deadline is None


async def test_a_failed_start_says_why_and_leaves_nothing(boot: Boot) -> None:
    engine, node = await boot()
    node.failure = NotEnoughSpace("the host's disk is full")
    with pytest.raises(NotEnoughSpace):
        await engine.create(CreateSandbox())
    [sandbox] = (await engine.list(ListQuery(states=frozenset(State)))).items
    assert (sandbox.state, sandbox.reason) == (State.FAILED, "the host's disk is full")
    assert node.world.running == set()


async def test_a_start_that_takes_too_long_is_ended(boot: Boot) -> None:
    engine, node = await boot(Limits(create_timeout_s=0.05))
    node.gate.clear()
    with pytest.raises(DeadlineExceeded, match=r"0\.05 s"):
        await engine.create(CreateSandbox())
    assert node.world.running == set()


async def test_kill_in_the_middle_of_creation(boot: Boot) -> None:
    engine, node = await boot()
    node.gate.clear()
    creating = asyncio.create_task(engine.create(CreateSandbox()))
    while not node.world.running:
        await asyncio.sleep(0)
    [id] = node.world.running
    assert await engine.kill(id) is True
    with pytest.raises(SandboxGone):
        await creating
    assert (await engine.get(id)).state is State.KILLED
    assert node.world.running == set()


async def test_a_creator_that_goes_away_leaves_no_sandbox(boot: Boot) -> None:
    engine, node = await boot()
    node.gate.clear()
    creating = asyncio.create_task(engine.create(CreateSandbox()))
    while not node.world.running:
        await asyncio.sleep(0)
    [id] = node.world.running
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    node.gate.set()
    sandbox = await ended(engine, id)
    assert sandbox.state is State.KILLED
    assert "went away" in sandbox.reason
    assert node.world.running == set()


async def test_the_limit_names_itself_and_frees_up(boot: Boot) -> None:
    engine, _ = await boot(Limits(max_sandboxes=2, create_queue_length=0))
    first = await engine.create(CreateSandbox())
    await engine.create(CreateSandbox())
    with pytest.raises(LimitExceeded, match="max_sandboxes"):
        await engine.create(CreateSandbox())
    await engine.kill(first.id)
    await engine.create(CreateSandbox())


async def test_a_sandbox_that_dies_is_reported_not_forgotten(boot: Boot) -> None:
    engine, node = await boot()
    made = await engine.create(CreateSandbox())
    node.lose(made.id, "the runtime exited with 137")
    sandbox = await ended(engine, made.id)
    assert (sandbox.state, sandbox.reason) == (State.FAILED, "the runtime exited with 137")
    with pytest.raises(SandboxGone, match="137"):
        await engine.live(made.id)


async def test_a_restart_adopts_what_runs_and_ends_the_rest(boot: Boot) -> None:
    engine, node = await boot()
    kept = await engine.create(CreateSandbox())
    lost = await engine.create(CreateSandbox())
    await engine.stop()
    with pytest.raises(Unavailable):
        await engine.create(CreateSandbox())
    node.world.running.discard(lost.id)
    node.world.running.add("sbstranger")
    engine, node = await boot()
    assert (await engine.live(kept.id)).id == kept.id
    assert (await engine.get(lost.id)).state is State.FAILED
    assert "away" in ((await engine.get(lost.id)).reason or "")
    assert node.world.running == {kept.id}
    assert "adopted" in [event.kind for event in await engine.events(kept.id)]


async def test_a_deadline_that_passed_while_the_server_was_away(boot: Boot) -> None:
    engine, _ = await boot()
    made = await engine.create(CreateSandbox(timeout_s=1))
    await engine._ledger.deadline(made.id, made.created_at, None)
    await engine.stop()
    engine, _ = await boot()
    assert (await ended(engine, made.id)).reason == "its timeout ran out"


async def test_unknown_ids_are_not_found(boot: Boot) -> None:
    engine, _ = await boot()
    for call in (engine.get, engine.kill, engine.live, engine.events, engine.metrics):
        with pytest.raises(NotFound, match="sbnope"):
            await call("sbnope")
