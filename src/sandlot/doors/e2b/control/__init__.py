"""The control plane: make sandboxes, find them, end them."""

from __future__ import annotations

from starlette.routing import BaseRoute

from sandlot.doors.e2b.control import (
    forks,
    later,
    listing,
    logs,
    metrics,
    pausing,
    sandboxes,
    snapshots,
    teams,
    templates,
)


def routes() -> list[BaseRoute]:
    """The fixed names before those with a parameter in their place."""
    rooms = (listing, metrics, logs, sandboxes, pausing, snapshots, forks, teams, later, templates)
    return [route for room in rooms for route in room.ROUTES]
