"""Rows of sandboxes and their events. A change of state and the event explaining it are one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from sandlot.store.database import Database
from sandlot.store.tables import events, sandboxes
from sandlot.store.tenants import Tenant, check_tenant, existing

Row = dict[str, Any]

# Put together once: for what every sandbox costs, building a statement takes longer than running it.
_ADD = insert(sandboxes)
_ADD_EVENT = insert(events)
_STATE = select(sandboxes.c.state).where(sandboxes.c.id == bindparam("key"))
_CHANGE = update(sandboxes).where(
    and_(sandboxes.c.id == bindparam("key"), sandboxes.c.state == bindparam("found"))
)


class SandboxStore:
    """Plain rows in and out; what they mean is the core's business."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: Mapping[str, Any], *written: Mapping[str, Any]) -> None:
        """A new one, with its first events. Raises NotFound where its tenant was removed."""

        def work(connection: Connection) -> None:
            check_tenant(connection, row["tenant"])
            connection.execute(_ADD, row)
            for event in written:
                connection.execute(_ADD_EVENT, event)

        await self._database.run(work)

    async def change(
        self, id: str, expected: Iterable[str], values: Mapping[str, Any], event: Mapping[str, Any]
    ) -> bool:
        """Set ``values`` if the state is one of ``expected``; False, and nothing written, where it is not.

        The event is written with the state that was found.
        """
        states = list(expected)

        def work(connection: Connection) -> bool:
            state = connection.scalar(_STATE, {"key": id})
            if state not in states:
                return False
            if connection.execute(_CHANGE, {**values, "key": id, "found": state}).rowcount == 0:
                return False
            source = state if event["to_state"] is not None else None
            connection.execute(_ADD_EVENT, {**event, "from_state": source})
            return True

        return await self._database.run(work)

    async def get(self, id: str) -> Row | None:
        rows = await self._rows(select(sandboxes).where(sandboxes.c.id == id))
        return rows[0] if rows else None

    async def made_with(self, tenant: str, idempotency_key: str) -> Row | None:
        of_tenant = sandboxes.c.tenant == tenant
        query = select(sandboxes).where(of_tenant, sandboxes.c.idempotency_key == idempotency_key)
        rows = await self._rows(query)
        return rows[0] if rows else None

    async def tenant(self, name: str) -> Tenant:
        """With its quotas as they are now. Raises NotFound."""

        def work(connection: Connection) -> Tenant:
            return existing(connection, name)

        return await self._database.run(work)

    async def in_states(self, states: Iterable[str]) -> list[Row]:
        query = select(sandboxes).where(sandboxes.c.state.in_(list(states)))
        return await self._rows(query.order_by(sandboxes.c.created_at, sandboxes.c.id))

    async def ids_outside(self, states: Iterable[str]) -> list[str]:
        """Ids of the rows whose state is none of these, oldest first; a row need not be readable for that."""
        query = select(sandboxes.c.id).where(sandboxes.c.state.not_in(list(states)))
        return await self._ids(query.order_by(sandboxes.c.created_at, sandboxes.c.id))

    async def ids_with_broken_json(self) -> list[str]:
        """Ids of the rows of which a JSON column holds something else."""
        columns = [column for column in sandboxes.c if isinstance(column.type, JSON)]
        broken = or_(*(func.json_valid(column) == 0 for column in columns))
        return await self._ids(select(sandboxes.c.id).where(broken))

    async def raw(self, id: str) -> Row:
        """What stands in the row, as the database gives it, whatever it is."""

        def work(connection: Connection) -> Row:
            rows = connection.execute(text("SELECT * FROM sandboxes WHERE id = :id"), {"id": id}).mappings()
            return dict(rows.one())

        return await self._database.run(work)

    async def mend(self, id: str, values: Mapping[str, Any], written: Iterable[Mapping[str, Any]]) -> None:
        """Overwrite what cannot be read, with the events that say so."""

        def work(connection: Connection) -> None:
            connection.execute(update(sandboxes).where(sandboxes.c.id == id).values(**values))
            for event in written:
                connection.execute(_ADD_EVENT, event)

        await self._database.run(work)

    async def page(
        self,
        *,
        tenant: str | None,
        states: Iterable[str],
        metadata: Mapping[str, str],
        limit: int,
        template: str | None = None,
        since: datetime | None = None,
        beyond: tuple[datetime, str] | None = None,
        oldest_first: bool = False,
    ) -> list[Row]:
        """Newest first, or oldest: at most ``limit`` rows, those that come after ``beyond``; everybody's
        without a tenant.
        """
        query = select(sandboxes).where(sandboxes.c.state.in_(list(states)))
        if tenant is not None:
            query = query.where(sandboxes.c.tenant == tenant)
        for key, value in metadata.items():
            query = query.where(_holds(key, value))
        if template is not None:
            query = query.where(sandboxes.c.template == template)
        if since is not None:
            query = query.where(sandboxes.c.created_at >= since)
        place = (sandboxes.c.created_at, sandboxes.c.id)
        if beyond is not None:
            query = query.where(_comes_after(beyond, oldest_first=oldest_first))
        order = place if oldest_first else tuple(column.desc() for column in place)
        return await self._rows(query.order_by(*order).limit(limit))

    async def add_event(self, event: Mapping[str, Any]) -> None:
        """A sandbox without a row has no events."""

        def work(connection: Connection) -> None:
            known = select(sandboxes.c.id).where(sandboxes.c.id == event["sandbox_id"])
            if connection.scalar(known) is not None:
                connection.execute(_ADD_EVENT, event)

        await self._database.run(work)

    async def events(self, sandbox_id: str, *, limit: int) -> list[Row]:
        """The newest ``limit`` events, oldest first."""
        query = select(events).where(events.c.sandbox_id == sandbox_id).order_by(events.c.id.desc())
        return list(reversed(await self._rows(query.limit(limit))))

    async def forget_ended_before(self, moment: datetime) -> int:
        """Delete the rows of sandboxes that ended before ``moment``, with their events; how many."""
        old = delete(sandboxes).where(sandboxes.c.ended_at < moment)
        return await self._database.run(lambda connection: connection.execute(old).rowcount)

    async def _ids(self, query: Select[tuple[str]]) -> list[str]:
        return await self._database.run(lambda connection: list(connection.scalars(query)))

    async def _rows(self, query: Select[Any]) -> list[Row]:
        def work(connection: Connection) -> list[Row]:
            return [dict(row) for row in connection.execute(query).mappings()]

        return await self._database.run(work)


def _comes_after(place: tuple[datetime, str], *, oldest_first: bool) -> ColumnElement[bool]:
    """Whether a sandbox stands behind this place in the list."""
    at, id = place
    created, named = sandboxes.c.created_at, sandboxes.c.id
    if oldest_first:
        return or_(created > at, and_(created == at, named > id))
    return or_(created < at, and_(created == at, named < id))


def _holds(key: str, value: str) -> ColumnElement[bool]:
    """Whether a sandbox's metadata have this pair. No JSON path is built: a key may hold any character."""
    pairs = func.json_each(sandboxes.c.metadata).table_valued("key", "value")
    return exists(select(1).select_from(pairs).where(pairs.c.key == key, pairs.c.value == value))
