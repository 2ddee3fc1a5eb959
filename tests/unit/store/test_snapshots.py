from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandlot.errors import Conflict, NotFound
from sandlot.store import Database, SandboxStore, SnapshotStore, Tenant, TenantStore, sqlite_url

from .test_tenants import event, row

NOW = datetime(2026, 11, 27, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SnapshotStore]:
    """With a sandbox of each of two tenants."""
    database = Database(sqlite_url(tmp_path / "db"))
    await database.open()
    await TenantStore(database).create(Tenant("acme"))
    for tenant in ("default", "acme"):
        await SandboxStore(database).add(row(f"sb-{tenant}", tenant), event(f"sb-{tenant}"))
    yield SnapshotStore(database)
    await database.close()


async def add(store: SnapshotStore, id: str, tenant: str = "default", **changes: Any) -> dict[str, Any]:
    made = {
        "id": id, "tenant": tenant, "name": None, "sandbox_id": f"sb-{tenant}", "memory": True,
        "created_at": NOW, "expires_at": None, "size_bytes": 1 << 40, "stored_bytes": 1 << 33,
        "template": "base", "template_id": "base-1", "isolation": "gvisor", "cpus": 0.5, "memory_mib": 512,
        "disk_mib": 100, "pids": 64, "internet": False, "env": {"A": "\udcff"}, "guest": {"user": "user"},
        "hooks": {"ready": "true"}, "generation": 3,
    } | changes  # fmt: skip
    await store.add(made, event(made["sandbox_id"]))
    return made


async def test_what_is_written_is_read(store: SnapshotStore) -> None:
    made = await add(store, "sn1", name="ready", expires_at=NOW + HOUR)
    assert await store.get("default", "sn1", now=NOW) == made
    assert await store.named("default", "ready", now=NOW) == made
    assert await store.page("default", now=NOW, limit=5) == [made]
    assert await store.charges() == [("sn1", "default", 1 << 33)]


async def test_another_tenants_and_an_expired_one_are_not_found(store: SnapshotStore) -> None:
    await add(store, "sn1", name="ready", expires_at=NOW + HOUR)
    for tenant, now in (("acme", NOW), ("default", NOW + HOUR)):
        assert await store.get(tenant, "sn1", now=now) is None
        assert await store.named(tenant, "ready", now=now) is None
        assert await store.page(tenant, now=now, limit=5) == []
    assert await store.expired(now=NOW) == []
    assert await store.expired(now=NOW + HOUR) == ["sn1"]
    assert await store.next_expiry() == NOW + HOUR


async def test_a_name_is_one_tenants_once(store: SnapshotStore) -> None:
    await add(store, "sn1", name="ready")
    with pytest.raises(Conflict, match="'ready'"):
        await add(store, "sn2", name="ready")
    await add(store, "sn3", "acme", name="ready")
    await add(store, "sn4")
    await add(store, "sn5")  # those without a name are many
    assert await store.remove("sn1")
    assert not await store.remove("sn1")
    await add(store, "sn2", name="ready")


async def test_pages_go_on_among_those_of_one_moment(store: SnapshotStore) -> None:
    for number in range(4):
        await add(store, f"sn{number}")
    first = await store.page("default", now=NOW, limit=2)
    second = await store.page("default", now=NOW, limit=2, beyond=(NOW, first[-1]["id"]))
    assert [one["id"] for one in (*first, *second)] == ["sn3", "sn2", "sn1", "sn0"]
    assert await store.page("default", now=NOW, limit=2, sandbox_id="sb-acme") == []


async def test_nothing_is_added_for_a_tenant_that_is_gone(store: SnapshotStore) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await add(store, "sn1", "nobody", sandbox_id="sb-default")
    assert await store.next_expiry() is None
