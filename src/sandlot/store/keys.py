"""API keys, kept as digests.

A key is 160 random bits, so one round of SHA-256 is enough: there is no dictionary to try, and a slow hash
would be paid on every request.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, bindparam, insert, select, true, update

from sandlot.errors import NotFound
from sandlot.store.database import Database
from sandlot.store.tables import keys, tenants
from sandlot.store.tenants import DEFAULT_TENANT, Tenant, check_tenant, tenant_of

PREFIX = "sl_"
_HOLDER = (  # put together once: it is asked for every request
    select(tenants)
    .join(keys, keys.c.tenant == tenants.c.name)
    .where(keys.c.digest == bindparam("digest"), keys.c.revoked_at.is_(None))
)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known of a key; never the key itself. ``hint`` is how it begins."""

    id: str
    tenant: str
    name: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None


def digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class KeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, tenant: str = DEFAULT_TENANT) -> tuple[KeyInfo, str]:
        """A new key. The second value is the key: it is shown once and cannot be read again.

        Raises NotFound where no such tenant is.
        """
        key = PREFIX + secrets.token_hex(20)
        id = "key_" + secrets.token_hex(6)
        info = KeyInfo(id, tenant, name, key[:9], datetime.now(UTC), revoked_at=None)

        def work(connection: Connection) -> None:
            check_tenant(connection, tenant)
            connection.execute(insert(keys).values(**asdict(info), digest=digest(key)))

        await self._database.run(work)
        return info, key

    async def holder(self, key: str) -> Tenant | None:
        """Whose key this is, with its quotas as they are now; None where nobody's or revoked."""

        def work(connection: Connection) -> Tenant | None:
            row = connection.execute(_HOLDER, {"digest": digest(key)}).mappings().one_or_none()
            return None if row is None else tenant_of(row)

        return await self._database.run(work)

    async def all(self) -> list[KeyInfo]:
        return await self._select(true())

    async def revoke(self, id: str) -> KeyInfo:
        """Raises NotFound where no such key is."""
        now = datetime.now(UTC)
        change = update(keys).where(keys.c.id == id, keys.c.revoked_at.is_(None)).values(revoked_at=now)
        await self._database.run(lambda connection: connection.execute(change))
        found = await self._select(keys.c.id == id)
        if not found:
            raise NotFound(f"no key has the id {id!r}; `sandlot keys ls` lists them")
        return found[0]

    async def _select(self, condition: ColumnElement[bool]) -> list[KeyInfo]:
        columns = (keys.c[name] for name in KeyInfo.__dataclass_fields__)
        query = select(*columns).where(condition).order_by(keys.c.created_at)

        def work(connection: Connection) -> list[KeyInfo]:
            return [KeyInfo(**row) for row in connection.execute(query).mappings()]

        return await self._database.run(work)
