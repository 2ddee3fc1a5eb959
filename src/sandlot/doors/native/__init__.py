"""Sandlot's own API: REST with streams, and WebSockets for terminals. docs/api.md is its tour."""

from __future__ import annotations

from fastapi import FastAPI

from sandlot.doors.native import (
    archive,
    code,
    commands,
    errors,
    files,
    forks,
    host,
    pausing,
    pools,
    sandboxes,
    snapshots,
    tenant,
    terminal,
)
from sandlot.doors.native.door import Door, Ports, identify
from sandlot.doors.native.openapi import INTRODUCTION, describe

__all__ = ["INTRODUCTION", "Door", "Ports", "describe", "identify", "install"]


def install(app: FastAPI, door: Door) -> None:
    """Open this door in ``app``: its routes, and its shape for errors."""
    app.state.native = door
    errors.install(app)
    for room in (
        sandboxes,
        pausing,
        forks,
        snapshots,
        commands,
        code,
        files,
        archive,
        terminal,
        tenant,
        host,
        pools,
    ):
        app.include_router(room.router)
