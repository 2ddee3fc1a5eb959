"""Tenants and their quotas, from outside of a running server, which sees a change within a second."""

from __future__ import annotations

from collections.abc import Mapping

from sandlot.core.lifecycle import LIVE
from sandlot.core.quotas import check_quotas, check_tenant_name
from sandlot.errors import InvalidArgument
from sandlot.server.beside import database_beside
from sandlot.server.settings import Settings
from sandlot.store import DEFAULT_TENANT, Quotas, Tenant, TenantStore, TenantUse


async def create(settings: Settings, name: str, quotas: Quotas) -> None:
    """Raises InvalidArgument, and Conflict where there is one of that name."""
    check_tenant_name(name)
    check_quotas(quotas)
    async with database_beside(settings) as database:
        await TenantStore(database).create(Tenant(name, quotas))


async def everyone(settings: Settings) -> list[tuple[Tenant, TenantUse]]:
    """With what each has."""
    async with database_beside(settings) as database:
        store = TenantStore(database)
        use = await store.use(LIVE)
        return [(tenant, use.get(tenant.name, TenantUse())) for tenant in await store.all()]


async def change(settings: Settings, name: str, quotas: Mapping[str, float | None]) -> Tenant:
    """Set the quotas that are named, ``None`` for no bound. Raises InvalidArgument, NotFound."""
    check_quotas(Quotas(**quotas))  # type: ignore[arg-type]  # by their names, which only the caller knows
    async with database_beside(settings) as database:
        return await TenantStore(database).change(name, quotas)


async def remove(settings: Settings, name: str) -> None:
    """With all that is remembered of it. Raises NotFound, and Conflict while it has keys or sandboxes."""
    if name == DEFAULT_TENANT:
        raise InvalidArgument(
            f"tenant {DEFAULT_TENANT!r} stays: keys belong to it where nobody names another;"
            " `sandlot tenants set` changes its quotas"
        )
    async with database_beside(settings) as database:
        await TenantStore(database).remove(name, LIVE)
