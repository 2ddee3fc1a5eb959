"""Tenants and what each may have. The rows of a tenant are found by its name, which never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

from sqlalchemy import Connection, RowMapping, bindparam, case, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from sandlot.errors import Conflict, NotFound
from sandlot.store.database import Database
from sandlot.store.tables import keys, sandboxes, snapshots, tenants

_MIB = 1024 * 1024
_COUNT = select(func.count()).where(tenants.c.name == bindparam("tenant"))

DEFAULT_TENANT: Final = "default"
"""Always there: the tenant of what was made before there were any, and of keys for which nobody named one."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What all sandboxes of a tenant may have together; ``None`` is no bound but the server's own."""

    max_sandboxes: int | None = None
    max_cpus: float | None = None
    max_memory_mib: int | None = None
    max_disk_mib: int | None = None
    creates_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose sandboxes and keys these are. It sees its own and nobody else's."""

    name: str
    quotas: Quotas = Quotas()


@dataclass(frozen=True, slots=True)
class TenantUse:
    """What a tenant's sandboxes have that did not end, by their limits."""

    sandboxes: int = 0
    cpus: float = 0.0
    memory_mib: int = 0
    disk_mib: int = 0
    paused: int = 0
    """Not among ``sandboxes``: they hold their disks, and memory where they are only frozen."""
    keys: int = 0
    """Those not revoked."""


class TenantStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant: Tenant) -> None:
        """Raises Conflict where there is one of that name."""
        row = insert(tenants).values(name=tenant.name, **asdict(tenant.quotas))
        try:
            await self._database.run(lambda connection: connection.execute(row))
        except IntegrityError as error:
            raise Conflict(
                f"there is a tenant {tenant.name!r} already; `sandlot tenants set` changes its quotas"
            ) from error

    async def all(self) -> list[Tenant]:
        """By name."""

        def work(connection: Connection) -> list[Tenant]:
            rows = connection.execute(select(tenants).order_by(tenants.c.name))
            return [tenant_of(row) for row in rows.mappings()]

        return await self._database.run(work)

    async def use(self, living: Iterable[str]) -> dict[str, TenantUse]:
        """By name, of tenants that have anything. ``living`` are the states of what did not end."""
        runs, in_memory = sandboxes.c.depth.is_(None), func.coalesce(sandboxes.c.depth, "frozen") == "frozen"
        of_sandboxes = (
            select(
                sandboxes.c.tenant,
                func.sum(case((runs, 1), else_=0)),
                func.sum(case((runs, sandboxes.c.cpus), else_=0.0)),
                func.sum(case((in_memory, sandboxes.c.memory_mib), else_=0)),
                func.sum(sandboxes.c.disk_mib),
                func.sum(case((runs, 0), else_=1)),
            )
            .where(sandboxes.c.state.in_(list(living)))
            .group_by(sandboxes.c.tenant)
        )
        mib = (snapshots.c.stored_bytes + _MIB - 1) // _MIB
        of_snapshots = select(snapshots.c.tenant, func.sum(mib)).group_by(snapshots.c.tenant)
        of_keys = select(keys.c.tenant, func.count()).where(keys.c.revoked_at.is_(None))

        def work(connection: Connection) -> dict[str, TenantUse]:
            use = {name: TenantUse(*amounts) for name, *amounts in connection.execute(of_sandboxes)}
            for name, disk_mib in connection.execute(of_snapshots):
                known = use.get(name, TenantUse())
                use[name] = replace(known, disk_mib=known.disk_mib + int(disk_mib))
            for name, count in connection.execute(of_keys.group_by(keys.c.tenant)):
                use[name] = replace(use.get(name, TenantUse()), keys=count)
            return use

        return await self._database.run(work)

    async def change(self, name: str, quotas: Mapping[str, float | None]) -> Tenant:
        """Set the quotas that are named, leave the others. Raises NotFound."""

        def work(connection: Connection) -> Tenant:
            if quotas:
                connection.execute(update(tenants).where(tenants.c.name == name).values(**quotas))
            return existing(connection, name)

        return await self._database.run(work)

    async def remove(self, name: str, living: Iterable[str]) -> None:
        """With the history of its sandboxes, so that a later one of the same name inherits nothing.

        Raises NotFound, and Conflict while it has keys, snapshots, or sandboxes in a state of ``living``.
        """
        its_keys = select(func.count()).where(keys.c.tenant == name, keys.c.revoked_at.is_(None))
        its_sandboxes = select(func.count()).where(
            sandboxes.c.tenant == name, sandboxes.c.state.in_(list(living))
        )

        its_snapshots = select(func.count()).where(snapshots.c.tenant == name)

        def work(connection: Connection) -> None:
            existing(connection, name)
            if count := connection.scalar(its_keys):
                raise Conflict(
                    f"tenant {name!r} has {_many(count, 'key')}; `sandlot keys ls` shows which, and"
                    " `sandlot keys revoke ID` takes one back"
                )
            if count := connection.scalar(its_sandboxes):
                raise Conflict(
                    f"tenant {name!r} has {_many(count, 'sandbox')}; kill them or wait for their end"
                )
            if count := connection.scalar(its_snapshots):
                raise Conflict(f"tenant {name!r} has {_many(count, 'snapshot')}; delete them")
            connection.execute(delete(sandboxes).where(sandboxes.c.tenant == name))
            connection.execute(delete(keys).where(keys.c.tenant == name))
            connection.execute(delete(tenants).where(tenants.c.name == name))

        await self._database.run(work)


def check_tenant(connection: Connection, name: str) -> None:
    """In the transaction that adds something for it: nothing may be added to what is being removed.

    Raises NotFound.
    """
    if connection.scalar(_COUNT, {"tenant": name}) == 0:
        raise NotFound(f"there is no tenant {name!r}; `sandlot tenants ls` lists them")


def tenant_of(row: RowMapping) -> Tenant:
    """From a row that has the columns of a tenant among its own, those of quotas by their names."""
    return Tenant(str(row["name"]), Quotas(**{field.name: row[field.name] for field in fields(Quotas)}))


def existing(connection: Connection, name: str) -> Tenant:
    """Raises NotFound."""
    check_tenant(connection, name)
    row = connection.execute(select(tenants).where(tenants.c.name == name)).mappings().one()
    return tenant_of(row)


def _many(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}es" if noun.endswith("x") else f"{count} {noun}s"
