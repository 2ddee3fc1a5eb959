from __future__ import annotations

from pathlib import Path

import pytest

from sandlot.errors import NotFound
from sandlot.store import Database, KeyStore, Tenant, sqlite_url


async def test_a_key_opens_until_it_is_revoked_and_is_nowhere_in_the_file(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "keys.db"))
    await database.open()
    keys = KeyStore(database)
    info, key = await keys.create("laptop")
    assert await keys.holder(key) == Tenant("default")
    assert await keys.holder(key + "0") is None
    assert await keys.holder("sl_\udcff") is None
    assert [k.name for k in await keys.all()] == ["laptop"]
    revoked = await keys.revoke(info.id)
    assert revoked.revoked_at is not None
    assert await keys.holder(key) is None
    with pytest.raises(NotFound, match="keys ls"):
        await keys.revoke("key_none")
    await database.close()
    assert all(key.encode() not in file.read_bytes() for file in tmp_path.iterdir())


async def test_the_schema_in_the_migrations_is_the_schema_in_the_code(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import Connection

    from sandlot.store.tables import metadata

    database = Database(sqlite_url(tmp_path / "schema.db"))
    await database.open()

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.run(differences) == []
    await database.close()
