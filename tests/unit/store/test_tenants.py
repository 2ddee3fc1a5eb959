from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from sandlot.errors import Conflict, NotFound
from sandlot.store import Database, KeyStore, Quotas, SandboxStore, Tenant, TenantStore, TenantUse, sqlite_url

NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(sqlite_url(tmp_path / "db"))
    await database.open()
    yield database
    await database.close()


def row(id: str, tenant: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id, "tenant": tenant, "template": "base", "template_id": "base-1", "isolation": "gvisor",
        "state": "running", "cpus": 0.1, "memory_mib": 512, "disk_mib": 100, "pids": 64, "internet": True,
        "hostname": id, "env": {}, "metadata": {}, "guest": {}, "created_at": NOW,
    } | changes  # fmt: skip


def event(id: str) -> dict[str, Any]:
    return {"sandbox_id": id, "at": NOW, "kind": "created", "from_state": None, "to_state": "creating",
            "reason": "asked", "details": {}}  # fmt: skip


async def test_a_key_carries_its_tenants_quotas_as_they_are_now(database: Database) -> None:
    tenants, keys = TenantStore(database), KeyStore(database)
    await tenants.create(Tenant("acme", Quotas(max_sandboxes=3)))
    _, key = await keys.create("laptop", "acme")
    assert await keys.holder(key) == Tenant("acme", Quotas(max_sandboxes=3))
    changed = await tenants.change("acme", {"max_sandboxes": None, "max_cpus": 1.5})
    assert changed == Tenant("acme", Quotas(max_cpus=1.5)) == await keys.holder(key)
    with pytest.raises(Conflict, match="already"):
        await tenants.create(Tenant("acme"))
    with pytest.raises(NotFound, match="no tenant 'nobody'"):
        await keys.create("laptop", "nobody")


async def test_use_counts_what_did_not_end(database: Database) -> None:
    sandboxes, tenants = SandboxStore(database), TenantStore(database)
    await tenants.create(Tenant("acme"))
    for number, state in enumerate(["running", "running", "killed"]):
        await sandboxes.add(row(f"sb{number}", "acme", state=state), event(f"sb{number}"))
    await KeyStore(database).create("laptop")
    use = await tenants.use(["running"])
    assert use == {"acme": TenantUse(2, pytest.approx(0.2), 1024, 200), "default": TenantUse(keys=1)}


async def test_of_paused_ones_use_counts_what_they_hold(database: Database) -> None:
    sandboxes, tenants = SandboxStore(database), TenantStore(database)
    await tenants.create(Tenant("acme"))
    for depth in (None, "frozen", "disk", "files"):
        id, state = f"sb{depth}", "paused" if depth else "running"
        await sandboxes.add(row(id, "acme", state=state, depth=depth), event(id))
    use = await tenants.use(["running", "paused"])
    assert use == {"acme": TenantUse(1, pytest.approx(0.1), 1024, 400, paused=3)}


async def test_a_removed_tenant_leaves_nothing_and_gets_nothing(database: Database) -> None:
    sandboxes, tenants, keys = SandboxStore(database), TenantStore(database), KeyStore(database)
    await tenants.create(Tenant("acme"))
    info, _ = await keys.create("laptop", "acme")
    await sandboxes.add(row("sb1", "acme"), event("sb1"))
    with pytest.raises(Conflict, match="has 1 key;"):
        await tenants.remove("acme", ["running"])
    await keys.revoke(info.id)
    with pytest.raises(Conflict, match="has 1 sandbox;"):
        await tenants.remove("acme", ["running"])
    await sandboxes.change("sb1", ["running"], {"state": "killed"}, event("sb1") | {"to_state": "killed"})
    await tenants.remove("acme", ["running"])
    assert await sandboxes.get("sb1") is None
    assert await sandboxes.events("sb1", limit=10) == []
    assert await keys.all() == []
    with pytest.raises(NotFound, match="no tenant 'acme'"):
        await sandboxes.add(row("sb2", "acme"), event("sb2"))
    assert await sandboxes.get("sb2") is None


async def test_what_was_there_before_tenants_belongs_to_the_default_one(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "old.db")
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", "sandlot.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        old = row("sb1", "") | {"env": "{}", "metadata": "{}", "guest": "{}", "created_at": 1}
        del old["tenant"]
        names = ", ".join(old)
        values = ", ".join(f":{name}" for name in old)
        connection.execute(sa.text(f"insert into sandboxes ({names}) values ({values})"), old)
        key = {"id": "key_1", "name": "old", "digest": "d", "hint": "sl_", "created_at": 1}
        connection.execute(
            sa.text(
                "insert into keys (id, name, digest, hint, created_at)"
                " values (:id, :name, :digest, :hint, :created_at)"
            ),
            key,
        )
    engine.dispose()
    database = Database(url)
    await database.open()
    kept = await SandboxStore(database).get("sb1")
    assert kept is not None
    assert kept["tenant"] == "default"
    assert [info.tenant for info in await KeyStore(database).all()] == ["default"]
    assert await TenantStore(database).all() == [Tenant("default")]
    await database.close()
