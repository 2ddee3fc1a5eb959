"""The templates that there are. They are built by `sandlot templates build`, not through this door yet."""

from __future__ import annotations

import uuid
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.tenancy import TenantEngine
from sandlot.doors.e2b.control.answers import ENVD_VERSION, cpu_count, instant
from sandlot.doors.e2b.control.names import alias_of, ours, snapshot_named
from sandlot.doors.e2b.door import engine_of
from sandlot.doors.e2b.errors import NotYet
from sandlot.doors.encoding import Json
from sandlot.errors import NotFound
from sandlot.images import TemplateInfo

_BUILDS: Final = uuid.UUID("3e6d6d5c-6a0f-4f0c-9d39-0b1a5a2f7c51")
"""Clients insist on builds that are named by a UUID; each version of a template gets one in this space."""


async def e2b_list_templates(request: Request) -> Response:
    engine = await engine_of(request)
    return Json([_template(info, engine) for info in await engine.templates()])


async def e2b_get_template(request: Request) -> Response:
    engine = await engine_of(request)
    info = await _find(engine, request.path_params["template_id"])
    template = _template(info, engine)
    kept = ("buildID", "createdAt", "updatedAt", "cpuCount", "memoryMB", "diskSizeMB", "envdVersion")
    build = {name: template[name] for name in kept}
    build |= {"status": "ready", "finishedAt": template["updatedAt"]}
    return Json({**template, "builds": [build]})


async def e2b_find_template(request: Request) -> Response:
    """Whether there is one of that name, and what it is called here."""
    engine = await engine_of(request)
    info = await _find(engine, request.path_params["alias"])
    return Json({"templateID": info.name, "public": True})


async def e2b_delete_template(request: Request) -> Response:
    """Of a snapshot. Templates themselves are everybody's."""
    engine, name = await engine_of(request), request.path_params["template_id"]
    if not await engine.delete_snapshot(snapshot_named(name)):
        info = await _find(engine, name)
        raise NotYet(
            f"not yet: this server deletes snapshots through this API, and no templates ({info.name})"
        )
    return Response(status_code=204)


async def _find(engine: TenantEngine, name: str) -> TemplateInfo:
    infos = await engine.templates()
    for info in infos:
        if info.name == ours(name):
            return info
    there = ", ".join(alias_of(info.name) for info in infos) or "none yet"
    raise NotFound(f"there is no template {name[:64]!r}; there are: {there}")


def _template(info: TemplateInfo, engine: TenantEngine) -> dict[str, Any]:
    limits, built = engine.limits, instant(info.built_at)
    names = list(dict.fromkeys((alias_of(info.name), info.name)))
    return {
        "templateID": info.name,
        "buildID": str(uuid.uuid5(_BUILDS, info.id)),
        "cpuCount": cpu_count(limits.default_cpus),
        "memoryMB": limits.default_memory_mib,
        "diskSizeMB": limits.default_disk_mib,
        "public": True,
        "aliases": names,
        "names": names,
        "description": info.description,
        "createdAt": built,
        "updatedAt": built,
        "createdBy": None,
        "lastSpawnedAt": None,
        "spawnCount": 0,
        "buildCount": 1,
        "envdVersion": ENVD_VERSION,
        "buildStatus": "ready",
        "isDefault": True,
    }


ROUTES: Final = [
    Route("/templates", e2b_list_templates, methods=["GET"]),
    Route("/v2/templates", e2b_list_templates, methods=["GET"]),
    Route("/default-templates", e2b_list_templates, methods=["GET"]),
    Route("/templates/aliases/{alias}", e2b_find_template, methods=["GET"]),
    Route("/templates/{template_id}", e2b_get_template, methods=["GET"]),
    Route("/templates/{template_id:path}", e2b_delete_template, methods=["DELETE"]),
]
