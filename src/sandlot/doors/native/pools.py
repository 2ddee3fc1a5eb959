"""Hot pools, for whoever runs the server: they are shared by all tenants, and tell of what those use."""

from __future__ import annotations

from fastapi import Request
from pydantic import Field

from sandlot.doors.native.described import failures
from sandlot.doors.native.door import engine_of, routes
from sandlot.doors.native.models import Answer

router = routes("/v1/pools", "host")


class PoolAnswer(Answer):
    """The hot pool of one template."""

    template: str
    template_id: str | None = Field(description="The version; null where the template is not built.")
    hot: int = Field(description="Sandboxes that stand ready.")
    making: int
    wanted: int = Field(description="What it is kept at now, from `min` to `max`.")
    min: int
    max: int
    memory_bytes: int = Field(description="What those that stand ready hold.")
    per_minute: float = Field(description="Creations that a hot one does for, the recent ones counting most.")
    hits: int = Field(description="Creations that got a hot one, since the server started.")
    misses: int = Field(description="Creations that would have, but none stood ready.")
    unfit: int = Field(description="Creations that asked for something that no hot one is.")


class PoolsAnswer(Answer):
    pools: list[PoolAnswer]


@router.get("", responses=failures(403))
async def list_pools(request: Request) -> PoolsAnswer:
    """Every template's that was used or that the settings name. For keys of tenant `default` only."""
    fields = PoolAnswer.model_fields
    found = engine_of(request).pools()
    return PoolsAnswer(pools=[PoolAnswer(**{name: getattr(pool, name) for name in fields}) for pool in found])
