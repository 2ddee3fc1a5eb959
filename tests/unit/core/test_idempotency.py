"""A creation with a key is made once, whoever asks again and whatever happens in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sandlot.core.idempotency import KeyReused
from sandlot.core.model import CreateSandbox
from sandlot.errors import InvalidArgument, Unavailable
from sandlot.store import Database, Tenant, TenantStore, sqlite_url

from .conftest import Boot

WISH = CreateSandbox(metadata={"a": "1"}, idempotency_key="key-1")
NODE_BROKEN = Unavailable("the node is broken")


async def test_the_same_key_gives_the_same_sandbox(boot: Boot) -> None:
    engine, node = await boot()
    first = await engine.create(WISH)
    assert await engine.create(WISH) == first
    assert len(node.sandboxes) == 1
    assert (await engine.create(replace(WISH, idempotency_key="key-2"))).id != first.id


async def test_also_while_the_first_is_being_made(boot: Boot) -> None:
    engine, node = await boot()
    node.gate.clear()
    both = [asyncio.create_task(engine.create(WISH)) for _ in range(2)]
    while not node.world.running:
        await asyncio.sleep(0)
    node.gate.set()
    first, second = await asyncio.gather(*both)
    assert first == second


async def test_also_after_a_restart(boot: Boot) -> None:
    engine, _ = await boot()
    first = await engine.create(WISH)
    await engine.stop()
    engine, node = await boot()
    assert (await engine.create(WISH)).id == first.id
    assert len(node.sandboxes) == 1


async def test_who_goes_away_may_come_back_for_it(boot: Boot) -> None:
    engine, node = await boot()
    node.gate.clear()
    asking = asyncio.create_task(engine.create(WISH))
    while not node.world.running:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    node.gate.set()
    again = await engine.create(WISH)
    assert again.state == "running"
    assert len(node.sandboxes) == 1


async def test_another_request_with_the_key_is_refused(boot: Boot) -> None:
    engine, node = await boot()
    await engine.create(WISH)
    for other in (replace(WISH, metadata={}), replace(WISH, timeout_s=301.0)):
        with pytest.raises(KeyReused, match="key-1"):
            await engine.create(other)
    assert len(node.sandboxes) == 1


async def test_another_request_with_the_key_is_refused_while_the_first_is_made(boot: Boot) -> None:
    engine, node = await boot()
    node.gate.clear()
    first = asyncio.create_task(engine.create(WISH))
    while not node.world.running:
        await asyncio.sleep(0)
    with pytest.raises(KeyReused):
        await engine.create(replace(WISH, timeout_s=301.0))
    node.gate.set()
    assert (await first).state == "running"


async def test_what_failed_is_made_anew(boot: Boot) -> None:
    engine, node = await boot()
    node.failure = NODE_BROKEN
    with pytest.raises(Unavailable):
        await engine.create(WISH)
    node.failure = None
    assert (await engine.create(WISH)).state == "running"


async def test_a_key_is_its_tenants_own(boot: Boot, tmp_path: Path) -> None:
    engine, _ = await boot()
    database = Database(sqlite_url(tmp_path / "test.db"))
    await database.open()
    await TenantStore(database).create(Tenant("blue"))
    await database.close()
    first = await engine.create(WISH, Tenant("blue"))
    assert (await engine.create(WISH)).id != first.id


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256])
async def test_a_key_that_cannot_be_one_is_refused(boot: Boot, key: str) -> None:
    engine, _ = await boot()
    with pytest.raises(InvalidArgument, match="idempotency key"):
        await engine.create(replace(WISH, idempotency_key=key))


async def test_a_request_may_hold_any_text(boot: Boot) -> None:
    engine, _ = await boot()
    odd = replace(WISH, env={"A": "\udc80"})
    assert (await engine.create(odd)).id == (await engine.create(odd)).id
    with pytest.raises(InvalidArgument, match="metadata"):
        await engine.create(replace(WISH, metadata={"a": "\ud800"}, idempotency_key="key-2"))
