"""Whoever the key belongs to."""

from __future__ import annotations

from fastapi import Request

from sandlot.doors.native.described import failures
from sandlot.doors.native.door import engine_of, routes
from sandlot.doors.native.models import TenantAnswer

router = routes("/v1/tenant", "tenant")


@router.get("", responses=failures())
async def get_tenant(request: Request) -> TenantAnswer:
    """The tenant of this key: what it may have, and what it has."""
    return TenantAnswer.of(engine_of(request).status())
