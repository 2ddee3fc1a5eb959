"""The machine and its templates."""

from __future__ import annotations

from fastapi import Request

from sandlot.doors.native.described import failures
from sandlot.doors.native.door import engine_of, routes
from sandlot.doors.native.models import TemplateAnswer, TemplatesAnswer
from sandlot.node import HostReport

router = routes("/v1", "host")


@router.get("/host", responses=failures())
async def get_host(request: Request) -> HostReport:
    """What the server's machine can do: isolation tiers, and what a missing one would need."""
    return await engine_of(request).host()


@router.get("/templates", responses=failures())
async def list_templates(request: Request) -> TemplatesAnswer:
    """Templates that are built and can be used for sandboxes."""
    templates = await engine_of(request).templates()
    fields = TemplateAnswer.model_fields
    return TemplatesAnswer(
        templates=[TemplateAnswer(**{name: getattr(item, name) for name in fields}) for item in templates]
    )
