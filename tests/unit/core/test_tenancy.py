"""What the engine lets one tenant see, and how it counts what each has."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from sandlot.core import (
    CreateSandbox,
    CreateSnapshot,
    Engine,
    Limits,
    ListQuery,
    State,
    TenantCount,
    TenantEngine,
)
from sandlot.errors import LimitExceeded, NotFound, SandlotError, Unavailable
from sandlot.store import Quotas, Tenant, TenantStore

from .conftest import Boot

MINE = Tenant("default")
THEIRS = Tenant("acme", Quotas(max_sandboxes=2))
ALL = ListQuery(states=frozenset(State))
NAMING = [
    name
    for name, call in inspect.getmembers(TenantEngine, inspect.isfunction)
    if "id" in inspect.signature(call).parameters
]
OTHERS = {
    "timeout_s": 5.0,
    "error": Unavailable("lost touch"),
    "start": None,
    "end": None,
    "memory": True,
    "request": CreateSnapshot(),
    "snapshot": "sn" + "a" * 20,
    "count": 1,
}


async def ask(engine: TenantEngine, name: str, id: str) -> Any:
    call = getattr(engine, name)
    words: list[Any] = []
    named: dict[str, Any] = {}
    for each in inspect.signature(call).parameters.values():
        if each.kind is each.KEYWORD_ONLY:
            named[each.name] = OTHERS[each.name]
        elif each.name != "id":
            words.append(OTHERS[each.name])
    return await call(id, *words, **named)


@pytest.fixture
def boot_both(boot: Boot) -> Boot:
    """Both tenants are known to the store."""

    async def start(limits: Limits | None = None) -> Any:
        engine, node = await boot(limits)
        tenants = TenantStore(engine._ledger._store._database)
        if THEIRS not in await tenants.all():
            await tenants.create(THEIRS)
        return engine, node

    return start


@pytest.mark.parametrize("name", NAMING)
@pytest.mark.parametrize("ended", [False, True])
async def test_whatever_names_another_tenants_sandbox_names_nothing(
    boot_both: Boot, name: str, ended: bool
) -> None:
    engine, _ = await boot_both()
    made = await engine.of(THEIRS).create(CreateSandbox(metadata={"k": "v"}))
    if ended:
        await engine.kill(made.id)
    before = await engine.get(made.id)
    never = "sb" + "a" * 20
    answers = []
    for id in (made.id, never):
        try:
            answers.append(str(await ask(engine.of(MINE), name, id)))
        except NotFound as error:
            answers.append(str(error).replace(id, never))
    assert answers[0] == answers[1]
    assert await engine.get(made.id) == before


async def test_lists_and_cursors_are_ones_own(boot_both: Boot) -> None:
    engine, _ = await boot_both()
    mine, theirs = engine.of(MINE), engine.of(THEIRS)
    made = await mine.create(CreateSandbox(metadata={"k": "v"}))
    for _ in range(2):
        await theirs.create(CreateSandbox(metadata={"k": "v"}))
    page = await theirs.list(ListQuery(limit=1))
    assert [sandbox.tenant for sandbox in page.items] == ["acme"]
    for query in (ALL, ListQuery(metadata={"k": "v"}), ListQuery(cursor=page.next_cursor)):
        assert [sandbox.id for sandbox in (await mine.list(query)).items] == [made.id]


async def test_the_count_is_exact_over_deaths_failures_kills_and_restarts(boot_both: Boot) -> None:
    engine, node = await boot_both()
    theirs = engine.of(THEIRS)
    small = CreateSandbox(cpus=0.1, memory_mib=100, disk_mib=200)
    one, two = await theirs.create(small), await theirs.create(small)
    other = await engine.of(MINE).create(CreateSandbox())
    counted = engine.census().tenants
    assert counted["acme"] == TenantCount({State.RUNNING: 2}, 0, 0.2, 200, 400)
    assert counted["default"].sandboxes == {State.RUNNING: 1}
    with pytest.raises(LimitExceeded):
        await theirs.create(small)
    assert engine.census().refusals == {("acme", "max_sandboxes"): 1}

    node.lose(one.id, "lost")
    await until_free(engine, 1)
    node.failure = SandlotError("no")
    with pytest.raises(SandlotError, match="no"):
        await theirs.create(small)
    node.failure = None
    assert engine.census().tenants["acme"].sandboxes == {State.RUNNING: 1}

    await engine.stop()
    engine, node = await boot_both()
    assert engine.census().tenants["acme"] == TenantCount({State.RUNNING: 1}, 0, 0.1, 100, 200)
    await engine.of(THEIRS).create(small)
    with pytest.raises(LimitExceeded):
        await engine.of(THEIRS).create(small)
    for id in (two.id, other.id):
        await engine.kill(id)
    assert engine.census().tenants.keys() == {"acme"}


async def test_what_is_made_and_what_waits_is_counted(boot_both: Boot) -> None:
    engine, node = await boot_both(Limits(max_concurrent_creates=1))
    node.gate.clear()
    making = [asyncio.create_task(engine.of(THEIRS).create(CreateSandbox())) for _ in range(2)]
    async with asyncio.timeout(5):
        while engine.census().queued == 0:
            await asyncio.sleep(0)
    assert engine.census().tenants["acme"].sandboxes == {State.CREATING: 1}
    assert engine.census().starting == 1
    status = engine.of(THEIRS).status()
    assert (status.sandboxes, status.queued) == (1, 1)
    node.gate.set()
    await asyncio.gather(*making)
    assert engine.census().tenants["acme"].sandboxes == {State.RUNNING: 2}
    assert (engine.census().queued, engine.census().starting) == (0, 0)


async def test_nothing_is_made_for_a_tenant_that_is_gone(boot: Boot) -> None:
    engine, node = await boot()
    with pytest.raises(NotFound, match="no tenant 'acme'"):
        await engine.of(THEIRS).create(CreateSandbox())
    assert node.world.running == set()
    assert engine.census().tenants == {}


async def until_free(engine: Engine, held: int) -> None:
    async with asyncio.timeout(5):
        while engine.status(THEIRS).sandboxes > held:
            await asyncio.sleep(0)
