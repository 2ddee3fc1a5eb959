"""Rows of snapshots. A row is written once there is something behind it, and goes before that does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from sandlot.errors import Conflict
from sandlot.store.database import Database
from sandlot.store.sandboxes import Row
from sandlot.store.tables import events, snapshots
from sandlot.store.tenants import check_tenant


class SnapshotStore:
    """Plain rows in and out. One that has expired by ``now`` is not found any more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: Mapping[str, Any], event: Mapping[str, Any], *, take_name: bool = False) -> None:
        """With the event in its sandbox's log; ``take_name``: whoever has its name has none any more.

        Raises NotFound where its tenant was removed, and Conflict where its name is taken.
        """
        bearer = and_(snapshots.c.tenant == row["tenant"], snapshots.c.name == row["name"])

        def work(connection: Connection) -> None:
            check_tenant(connection, row["tenant"])
            if take_name:
                connection.execute(update(snapshots).where(bearer).values(name=None))
            connection.execute(insert(snapshots), row)
            connection.execute(insert(events), event)

        try:
            await self._database.run(work)
        except IntegrityError as error:
            raise Conflict(f"there is a snapshot {row['name']!r} already") from error

    async def get(self, tenant: str, id: str, *, now: datetime) -> Row | None:
        return await self._one(_of(tenant, now).where(snapshots.c.id == id))

    async def named(self, tenant: str, name: str, *, now: datetime) -> Row | None:
        return await self._one(_of(tenant, now).where(snapshots.c.name == name))

    async def page(
        self,
        tenant: str,
        *,
        now: datetime,
        limit: int,
        sandbox_id: str | None = None,
        beyond: tuple[datetime, str] | None = None,
    ) -> list[Row]:
        """Newest first: at most ``limit`` rows, those that come after ``beyond``."""
        query = _of(tenant, now)
        if sandbox_id is not None:
            query = query.where(snapshots.c.sandbox_id == sandbox_id)
        made, id = snapshots.c.created_at, snapshots.c.id
        if beyond is not None:
            query = query.where(or_(made < beyond[0], and_(made == beyond[0], id < beyond[1])))
        return await self._rows(query.order_by(made.desc(), id.desc()).limit(limit))

    async def remove(self, id: str) -> bool:
        """False where there was none."""
        gone = delete(snapshots).where(snapshots.c.id == id)
        return await self._database.run(lambda connection: connection.execute(gone).rowcount > 0)

    async def charges(self) -> list[tuple[str, str, int]]:
        """Of all that there are: id, tenant and stored bytes."""
        return await self._database.run(_charges)

    async def grow(self, more: Mapping[str, int]) -> list[tuple[str, str, int]]:
        """Some store so many bytes more now; of those that there are, what ``charges`` tells."""
        if not more:
            return []

        def work(connection: Connection) -> list[tuple[str, str, int]]:
            for id, count in more.items():
                grown = {"stored_bytes": snapshots.c.stored_bytes + count}
                connection.execute(update(snapshots).where(snapshots.c.id == id).values(grown))
            return _charges(connection, snapshots.c.id.in_(more))

        return await self._database.run(work)

    async def expired(self, *, now: datetime) -> list[str]:
        """Ids of those whose time is up, the longest expired first."""
        query = select(snapshots.c.id).where(snapshots.c.expires_at <= now).order_by(snapshots.c.expires_at)
        return await self._database.run(lambda connection: list(connection.scalars(query)))

    async def next_expiry(self) -> datetime | None:
        """When the next one's time is up; None where none has an end."""
        query = select(func.min(snapshots.c.expires_at, type_=snapshots.c.expires_at.type))
        return await self._database.run(lambda connection: connection.scalar(query))

    async def _one(self, query: Select[Any]) -> Row | None:
        rows = await self._rows(query)
        return rows[0] if rows else None

    async def _rows(self, query: Select[Any]) -> list[Row]:
        def work(connection: Connection) -> list[Row]:
            return [dict(row) for row in connection.execute(query).mappings()]

        return await self._database.run(work)


def _charges(connection: Connection, *which: ColumnElement[bool]) -> list[tuple[str, str, int]]:
    query = select(snapshots.c.id, snapshots.c.tenant, snapshots.c.stored_bytes).where(*which)
    return [(id, tenant, stored) for id, tenant, stored in connection.execute(query)]


def _of(tenant: str, now: datetime) -> Select[Any]:
    lasts = or_(snapshots.c.expires_at.is_(None), snapshots.c.expires_at > now)
    return select(snapshots).where(snapshots.c.tenant == tenant, lasts)
