"""Hot pools of an engine, over a node that can be told to misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest

from sandlot.core import CreateSandbox, Engine, Limits, State
from sandlot.core.admission import Admission
from sandlot.core.model import Hooks
from sandlot.core.pools import Bounds, PoolSettings, PoolStatus
from sandlot.core.pools.hot import UNMEASURED_MIB
from sandlot.core.quotas import Amounts
from sandlot.errors import LimitExceeded, NotEnoughSpace, Unavailable
from sandlot.images import TemplateConfig
from sandlot.node import Tier
from sandlot.node.agent import Exit
from sandlot.store import Database, Quotas, SandboxStore, SnapshotStore, Tenant, sqlite_url
from tests.unit.core.fake_node import FakeNode, FakeNodeSandbox, FakeTemplates, World

ONE = PoolSettings(Bounds(0, 0), {"base": Bounds(1, 1)})
TWO = PoolSettings(Bounds(0, 0), {"base": Bounds(2, 4)})
ON_DEMAND = PoolSettings(Bounds(0, 3))


class Ended:
    """A command that has ended well."""

    id = pid = 7

    async def __aiter__(self) -> AsyncIterator[Exit]:
        yield Exit(0)

    async def close(self) -> None: ...


class Guest:
    def __init__(self) -> None:
        self.spawned: list[Any] = []

    async def spawn(self, spec: Any) -> Ended:
        self.spawned.append(spec)
        return Ended()


class Answering(FakeNodeSandbox):
    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.guest = Guest()

    @property
    def agent(self) -> Any:
        return self.guest

    def held_awake(self) -> AbstractContextManager[None]:
        return nullcontext()


class HotNode(FakeNode):
    """Its sandboxes run commands, which end at once."""

    def _enter(self, id: str) -> FakeNodeSandbox:
        self.sandboxes[id] = Answering(id)
        return self.sandboxes[id]


class Templates(FakeTemplates):
    def __init__(self) -> None:
        self.version = "base-1"
        self.config = TemplateConfig()

    def resolve(self, name: str) -> Any:
        template = super().resolve(name)
        template.id, template.config = self.version, self.config
        return template


class Server:
    def __init__(self, engine: Engine, node: HotNode, templates: Templates, database: Database) -> None:
        self.engine = engine
        self.node = node
        self.templates = templates
        self.database = database

    @property
    def pool(self) -> PoolStatus:
        [pool] = self.engine.pools()
        return pool

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                await asyncio.sleep(0.001)

    async def hot(self, count: int) -> None:
        await self.until(lambda: [pool.hot for pool in self.engine.pools()] == [count])


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    world = World()
    async with AsyncExitStack() as stack:

        async def started(
            pools: PoolSettings = ONE, limits: Limits | None = None, memory: Callable[[], int] | None = None
        ) -> Server:
            database = Database(sqlite_url(tmp_path / "test.db"))
            await database.open()
            node, templates = HotNode(world), Templates()
            engine = Engine(
                store=SandboxStore(database),
                snapshots=SnapshotStore(database),
                node=node,  # type: ignore[arg-type]
                templates=templates,  # type: ignore[arg-type]
                limits=limits or Limits(),
                available_memory_mib=memory,
                pools=pools,
            )
            stack.push_async_callback(database.close)
            stack.push_async_callback(engine.stop)
            await engine.start()
            return Server(engine, node, templates, database)

        yield started


async def test_a_creation_takes_what_stands_ready_and_each_serves_once(start: Start) -> None:
    server = await start()
    await server.hot(1)
    [ready] = server.node.world.running
    server.node.gate.clear()  # nothing new is made from here on
    made = await server.engine.create(
        CreateSandbox(env={"A": "1"}, metadata={"job": "7"}, timeout_s=60), Tenant("default")
    )
    assert made.id == ready
    assert (made.state, made.env, made.metadata) == (State.RUNNING, {"A": "1"}, {"job": "7"})
    assert made.deadline is not None
    assert await server.engine.get(ready) == made
    live = await server.engine.live(ready)
    assert live.sandbox == made
    created, started = await server.engine.events(ready)
    assert (created.details["start"], started.from_state, started.to_state) == (
        "hot",
        State.CREATING,
        State.RUNNING,
    )
    second = asyncio.create_task(server.engine.create(CreateSandbox()))
    await server.until(lambda: server.pool.misses == 1)
    server.node.gate.set()
    assert (await second).id != ready
    assert (server.pool.hits, server.pool.misses) == (1, 1)
    await server.hot(1)


async def test_nobody_finds_one_that_is_nobodys(start: Start) -> None:
    server = await start()
    await server.hot(1)
    [ready] = server.node.world.running
    assert server.engine.status(Tenant("default")).sandboxes == 0
    with pytest.raises(Exception, match="no sandbox has the id"):
        await server.engine.get(ready)


@pytest.mark.parametrize(
    "other",
    [
        {"isolation": Tier.CONTAINER},
        {"cpus": 2.0},
        {"memory_mib": 512},
        {"disk_mib": 512},
        {"pids": 64},
        {"hostname": "box"},
        {"internet": False},
        {"hooks": Hooks(ready="true")},
    ],
)
async def test_what_does_not_fit_starts_cold_as_asked(start: Start, other: dict[str, Any]) -> None:
    server = await start()
    await server.hot(1)
    [ready] = server.node.world.running
    made = await server.engine.create(CreateSandbox(**other))
    assert made.id != ready
    for name, value in other.items():
        assert getattr(made, name) == value
    assert (await server.engine.events(made.id))[0].details["start"] == "cold"
    assert (server.pool.hot, server.pool.unfit, server.pool.hits) == (1, 1, 0)


async def test_the_first_use_of_a_template_begins_its_pool(start: Start) -> None:
    server = await start(ON_DEMAND)
    assert server.engine.pools() == []
    await server.engine.create(CreateSandbox())
    await server.hot(1)
    assert (server.pool.misses, server.pool.min, server.pool.max) == (1, 0, 3)


async def test_a_pool_that_is_off_makes_none(start: Start) -> None:
    server = await start(PoolSettings(Bounds(0, 0)))
    await server.engine.create(CreateSandbox())
    assert (server.pool.wanted, server.pool.making) == (0, 0)


async def test_one_that_dies_is_replaced_and_never_handed_out(start: Start) -> None:
    server = await start()
    await server.hot(1)
    [ready] = server.node.world.running
    server.node.gate.clear()
    server.node.lose(ready, "its runtime exited")
    await server.hot(0)
    server.node.gate.set()
    await server.hot(1)
    assert (await server.engine.create(CreateSandbox())).id != ready
    assert ready in server.node.destroyed


async def test_a_template_built_anew_drains_the_old_version(start: Start) -> None:
    server = await start(TWO)
    await server.hot(2)
    old = set(server.node.world.running)
    server.templates.version = "base-2"
    made = await server.engine.create(CreateSandbox())
    assert made.template_id == "base-2"
    assert made.id not in old
    await server.until(lambda: old <= set(server.node.destroyed))
    await server.hot(2)
    assert server.pool.template_id == "base-2"


async def test_a_stop_ends_them_and_leaves_the_others(start: Start) -> None:
    server = await start(TWO)
    await server.hot(2)
    made = await server.engine.create(CreateSandbox())
    await server.engine.stop()
    assert server.node.world.running == {made.id}


async def test_a_crash_leaves_strays_that_the_next_start_sweeps(start: Start) -> None:
    server = await start(TWO)
    await server.hot(2)
    left = set(server.node.world.running)
    again = await start(PoolSettings(Bounds(0, 0)))
    assert left & again.node.world.running == set()


async def test_places_are_for_those_who_ask(start: Start) -> None:
    server = await start(PoolSettings(Bounds(3, 3)), limits=Limits(max_sandboxes=3))
    first = await server.engine.create(CreateSandbox())
    await server.hot(2)
    second = await server.engine.create(CreateSandbox(memory_mib=512))
    third = await server.engine.create(CreateSandbox(memory_mib=512))
    await server.hot(0)
    await server.until(lambda: server.node.world.running == {first.id, second.id, third.id})
    assert server.pool.making == 0


async def test_a_tenant_over_its_quota_leaves_the_hot_one_where_it_is(start: Start) -> None:
    server = await start()
    await server.hot(1)
    [ready] = server.node.world.running
    with pytest.raises(LimitExceeded):
        await server.engine.create(CreateSandbox(), Tenant("default", Quotas(max_cpus=0.5)))
    assert server.pool.hot == 1
    assert (await server.engine.create(CreateSandbox())).id == ready
    assert server.pool.hits == 1


async def test_memory_that_is_short_ends_the_hot_ones_before_anybody_waits(start: Start) -> None:
    free, ended, may_end = 4096, 0, asyncio.Event()
    server = await start(TWO, memory=lambda: free + UNMEASURED_MIB * ended)
    await server.hot(2)

    async def destroy(id: str, end: Callable[[str], Awaitable[None]] = server.node.destroy) -> None:
        nonlocal ended
        await may_end.wait()
        await end(id)
        ended += 1

    server.node.destroy = destroy  # type: ignore[method-assign]
    free = 540
    try:
        made = await asyncio.wait_for(server.engine.create(CreateSandbox(memory_mib=512)), 5)
        assert (made.state, ended) == (State.RUNNING, 0)
    finally:
        may_end.set()
    await server.hot(0)
    assert server.pool.making == 0
    free = 4096
    await server.engine.create(CreateSandbox(memory_mib=512))
    await server.hot(2)


async def test_nothing_is_made_for_nobody_while_somebody_waits() -> None:
    admission = Admission(Limits(max_sandboxes=1, max_concurrent_creates=2))
    tenant, wish = Tenant("default"), Amounts.of(1, 1, 1)
    await admission.enter("first", tenant, wish)
    admission.started("first")
    assert (admission.makers(), admission.places()) == (2, 0)
    waiting = asyncio.create_task(admission.enter("second", tenant, wish))
    await asyncio.sleep(0)
    assert admission.makers() == 0
    admission.ended("first")
    await waiting
    assert admission.makers() == 1


async def test_creations_that_wait_are_made_before_hot_ones(start: Start) -> None:
    server = await start(TWO, limits=Limits(max_concurrent_creates=1))
    await server.hot(2)
    server.node.gate.clear()
    work = [asyncio.create_task(server.engine.create(CreateSandbox())) for _ in range(5)]
    await server.until(lambda: server.engine.census().queued == 2 and len(server.node.world.running) == 3)
    assert (server.pool.hot, server.pool.making) == (0, 0)
    server.node.gate.set()
    made = {sandbox.id for sandbox in await asyncio.gather(*work)}
    assert len(made) == 5
    assert server.pool.hits + server.pool.misses == 5


@pytest.mark.parametrize("failure", [NotEnoughSpace("the disk is full"), OSError("unforeseen")])
async def test_where_none_can_be_made_creations_say_why_and_pools_try_again_later(
    start: Start, failure: Exception
) -> None:
    server = await start(ON_DEMAND)
    server.node.failure = failure
    with pytest.raises(type(failure)):
        await server.engine.create(CreateSandbox())
    await server.until(lambda: len(server.node.destroyed) == 2 and server.pool.making == 0)
    server.node.failure = None
    await server.hot(1)


async def test_one_that_cannot_be_written_down_is_nobodys_and_is_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start()
    await server.hot(1)
    [ready] = server.node.world.running

    async def refuse(*_: Any) -> None:
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(SandboxStore, "add", refuse)
        with pytest.raises(Unavailable):
            await server.engine.create(CreateSandbox())
    assert ready in server.node.destroyed
    assert server.engine.status(Tenant("default")).sandboxes == 0
    await server.hot(1)


async def test_its_users_first_command_is_not_the_first_to_run(start: Start) -> None:
    server = await start()
    await server.hot(1)
    [sandbox] = server.node.sandboxes.values()
    assert isinstance(sandbox, Answering)
    assert [spec.args[0] for spec in sandbox.guest.spawned] == ["/bin/bash"]


async def test_what_a_template_starts_runs_in_it_already_and_variables_for_that_start_cold(
    start: Start,
) -> None:
    server = await start(ON_DEMAND)
    server.templates.config = TemplateConfig(start="serve", ready="probe")
    first = await server.engine.create(CreateSandbox())
    await server.hot(1)
    [sandbox] = [one for one in server.node.sandboxes.values() if one.id != first.id]
    assert isinstance(sandbox, Answering)
    assert [spec.args[-1] for spec in sandbox.guest.spawned] == ["serve", "probe", ":"]
    await server.engine.create(CreateSandbox(env={"A": "1"}))
    assert (server.pool.hot, server.pool.unfit) == (1, 1)
    assert (await server.engine.create(CreateSandbox())).id == sandbox.id
