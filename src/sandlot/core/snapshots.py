"""Snapshots of sandboxes: made, named, listed, deleted, gone back to."""

from __future__ import annotations

from sandlot.core.model import CreateSnapshot, Page, Sandbox, Snapshot
from sandlot.store import Tenant


class Snapshots:
    async def create(self, sandbox_id: str, request: CreateSnapshot) -> Snapshot:
        raise NotImplementedError

    async def get(self, tenant: Tenant, id_or_name: str) -> Snapshot:
        raise NotImplementedError

    async def list(
        self, tenant: Tenant, *, sandbox_id: str | None, limit: int, cursor: str | None
    ) -> Page[Snapshot]:
        raise NotImplementedError

    async def delete(self, tenant: Tenant, id_or_name: str) -> bool:
        raise NotImplementedError

    async def roll_back(self, sandbox_id: str, tenant: Tenant, snapshot: str) -> Sandbox:
        raise NotImplementedError
