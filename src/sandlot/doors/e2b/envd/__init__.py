"""envd: what is spoken with one sandbox at its own address. RPCs for processes and files, HTTP beside."""

from __future__ import annotations

from starlette.routing import BaseRoute

from sandlot.doors.e2b.envd import files, filesystem, health, process


def routes() -> list[BaseRoute]:
    return [*process.ROUTES, *filesystem.ROUTES, *files.ROUTES, *health.ROUTES]
