"""API keys, kept as digests.

A key is 160 random bits, so one round of SHA-256 is enough: there is no dictionary to try, and a slow hash
would be paid on every request.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, and_, insert, select, true, update

from sandlot.errors import NotFound
from sandlot.store.database import Database
from sandlot.store.tables import keys

PREFIX = "sl_"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known of a key; never the key itself. ``hint`` is how it begins."""

    id: str
    name: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None


def digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class KeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str) -> tuple[KeyInfo, str]:
        """A new key. The second value is the key: it is shown once and cannot be read again."""
        key = PREFIX + secrets.token_hex(20)
        info = KeyInfo("key_" + secrets.token_hex(6), name, key[:9], datetime.now(UTC), revoked_at=None)
        row = insert(keys).values(**asdict(info), digest=digest(key))
        await self._database.run(lambda connection: connection.execute(row))
        return info, key

    async def verify(self, key: str) -> KeyInfo | None:
        """Whose key this is; None where nobody's or revoked."""
        found = await self._select(and_(keys.c.digest == digest(key), keys.c.revoked_at.is_(None)))
        return found[0] if found else None

    async def all(self) -> list[KeyInfo]:
        return await self._select(true())

    async def revoke(self, id: str) -> KeyInfo:
        """Raises NotFound where no such key is."""
        now = datetime.now(UTC)
        unrevoked = and_(keys.c.id == id, keys.c.revoked_at.is_(None))
        change = update(keys).where(unrevoked).values(revoked_at=now)
        await self._database.run(lambda connection: connection.execute(change))
        found = await self._select(keys.c.id == id)
        if not found:
            raise NotFound(f"no key has the id {id!r}; `sandlot keys ls` lists them")
        return found[0]

    async def _select(self, condition: ColumnElement[bool]) -> list[KeyInfo]:
        query = select(keys.c.id, keys.c.name, keys.c.hint, keys.c.created_at, keys.c.revoked_at)
        query = query.where(condition).order_by(keys.c.created_at)

        def work(connection: Connection) -> list[KeyInfo]:
            return [KeyInfo(**row) for row in connection.execute(query).mappings()]

        return await self._database.run(work)
