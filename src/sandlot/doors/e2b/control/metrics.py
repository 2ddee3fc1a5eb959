"""What sandboxes use, over time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.history import Sample
from sandlot.core.model import Sandbox
from sandlot.doors.e2b.control.answers import cpu_count, instant, paused
from sandlot.doors.e2b.control.queries import unix_time
from sandlot.doors.e2b.control.sandboxes import found, named, running
from sandlot.doors.e2b.door import engine_of
from sandlot.doors.encoding import Json
from sandlot.errors import InvalidArgument, NotFound, SandboxGone, SandboxPaused

_MOST: Final = 100
_MIB: Final = 1024 * 1024


async def e2b_get_metrics(request: Request) -> Response:
    """Of one sandbox: a sample every few seconds, none of one that is paused."""
    engine, id = await named(request)
    start, end = unix_time(request, "start"), unix_time(request, "end")
    sandbox = await found(engine, id)
    if paused(sandbox):
        return Json([])
    return Json([_sample(sandbox, sample) for sample in await engine.history(id, start, end)])


async def e2b_get_all_metrics(request: Request) -> Response:
    """The newest of several; those that do not run are missing."""
    engine = await engine_of(request)
    ids = [id for id in request.query_params.get("sandbox_ids", "").split(",") if id]
    if len(ids) > _MOST:
        raise InvalidArgument(f"sandbox_ids: at most {_MOST} at once, not {len(ids)}")
    newest: dict[str, Any] = {}

    async def look(id: str) -> None:
        with suppress(NotFound, SandboxGone, SandboxPaused):
            sandbox = await running(engine, id)
            if samples := await engine.history(id):
                newest[id] = _sample(sandbox, samples[-1])

    await asyncio.gather(*map(look, dict.fromkeys(ids)))
    return Json({"sandboxes": newest})


def _sample(sandbox: Sandbox, sample: Sample) -> dict[str, Any]:
    return {
        "timestamp": instant(sample.at),
        "timestampUnix": int(sample.at.timestamp()),
        "cpuCount": cpu_count(sandbox.cpus),
        "cpuUsedPct": round(100 * sample.cpus / sandbox.cpus, 2),
        "memUsed": sample.memory_bytes,
        "memTotal": sandbox.memory_mib * _MIB,
        "memCache": sample.cache_bytes,
        "diskUsed": sample.disk_bytes,
        "diskTotal": sandbox.disk_mib * _MIB,
    }


ROUTES: Final = [
    Route("/sandboxes/metrics", e2b_get_all_metrics, methods=["GET"]),
    Route("/sandboxes/{sandbox_id}/metrics", e2b_get_metrics, methods=["GET"]),
]
