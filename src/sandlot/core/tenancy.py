"""The engine as one tenant sees it. Doors reach sandboxes through this alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sandlot.core.history import Sample
from sandlot.core.ledger import unknown
from sandlot.core.limits import Limits
from sandlot.core.live import LiveSandbox
from sandlot.core.model import (
    CreateSandbox,
    CreateSnapshot,
    Event,
    Fork,
    ListQuery,
    Metrics,
    Page,
    Sandbox,
    Snapshot,
    TenantStatus,
)
from sandlot.core.pools import PoolStatus
from sandlot.errors import NotFound, PermissionDenied, SandlotError
from sandlot.images import TemplateInfo
from sandlot.node import HostReport
from sandlot.store import DEFAULT_TENANT, Tenant

if TYPE_CHECKING:
    from sandlot.core.engine import Engine


class TenantEngine:
    """Every use case, for the sandboxes of one tenant. Another's id raises what an id raises that never was.

    What each raises besides is said at the ``Engine``'s use case of the same name.
    """

    def __init__(self, engine: Engine, tenant: Tenant) -> None:
        self._engine = engine
        self._tenant = tenant

    @property
    def limits(self) -> Limits:
        """The server's defaults and bounds, alike for all tenants."""
        return self._engine.limits

    def status(self) -> TenantStatus:
        """The tenant, its quotas, and what it has."""
        return self._engine.status(self._tenant)

    async def create(self, request: CreateSandbox) -> Sandbox:
        return await self._engine.create(request, self._tenant)

    async def get(self, id: str) -> Sandbox:
        """Raises NotFound. The one gate: whatever names a sandbox passes here first."""
        sandbox = await self._engine.get(id)
        if sandbox.tenant != self._tenant.name:
            raise unknown(id)
        return sandbox

    async def list(self, query: ListQuery) -> Page[Sandbox]:
        return await self._engine.list(query, self._tenant)

    async def kill(self, id: str) -> bool:
        await self.get(id)
        return await self._engine.kill(id)

    async def set_timeout(self, id: str, timeout_s: float | None) -> Sandbox:
        await self.get(id)
        return await self._engine.set_timeout(id, timeout_s)

    async def extend(self, id: str, timeout_s: float) -> Sandbox:
        await self.get(id)
        return await self._engine.extend(id, timeout_s)

    async def expire(self, id: str) -> None:
        await self.get(id)
        await self._engine.expire(id)

    async def pause(self, id: str, *, memory: bool = True) -> Sandbox:
        await self.get(id)
        return await self._engine.pause(id, memory=memory)

    async def resume(self, id: str, timeout_s: float | None = None) -> Sandbox:
        await self.get(id)
        return await self._engine.resume(id, timeout_s)

    async def snapshot(self, id: str, request: CreateSnapshot) -> Snapshot:
        await self.get(id)
        return await self._engine.snapshot(id, self._tenant, request)

    async def get_snapshot(self, id_or_name: str) -> Snapshot:
        return await self._engine.get_snapshot(self._tenant, id_or_name)

    async def snapshots(
        self, *, sandbox_id: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Snapshot]:
        return await self._engine.snapshots(self._tenant, sandbox_id=sandbox_id, limit=limit, cursor=cursor)

    async def delete_snapshot(self, id_or_name: str) -> bool:
        return await self._engine.delete_snapshot(self._tenant, id_or_name)

    async def roll_back(self, id: str, snapshot: str) -> Sandbox:
        await self.get(id)
        return await self._engine.roll_back(id, self._tenant, snapshot)

    async def fork(self, id: str, *, count: int = 1, timeout_s: float | None = 300.0) -> Sequence[Fork]:
        await self.get(id)
        return await self._engine.fork(id, self._tenant, count=count, timeout_s=timeout_s)

    async def live(self, id: str) -> LiveSandbox:
        await self.get(id)
        return await self._engine.live(id)

    async def explain(self, id: str, error: SandlotError) -> SandlotError:
        try:
            await self.get(id)
        except NotFound:
            return error
        return await self._engine.explain(id, error)

    async def metrics(self, id: str) -> Metrics:
        await self.get(id)
        return await self._engine.metrics(id)

    async def history(
        self, id: str, start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[Sample]:
        await self.get(id)
        return await self._engine.history(id, start, end)

    async def events(self, id: str) -> Sequence[Event]:
        await self.get(id)
        return await self._engine.events(id)

    async def templates(self) -> Sequence[TemplateInfo]:
        return await self._engine.templates()

    def pools(self) -> Sequence[PoolStatus]:
        """What is ready for everybody. Raises PermissionDenied: it tells what other tenants use."""
        if self._tenant.name != DEFAULT_TENANT:
            raise PermissionDenied(
                f"pools are shared by all tenants, and this key is of tenant {self._tenant.name!r}; it needs"
                f" one of tenant {DEFAULT_TENANT!r}"
            )
        return self._engine.pools()

    async def host(self) -> HostReport:
        return await self._engine.host()
