"""The control plane: make sandboxes, find them, end them."""

from __future__ import annotations

from starlette.routing import BaseRoute

from sandlot.doors.e2b.control import listing, sandboxes


def routes() -> list[BaseRoute]:
    return [*listing.ROUTES, *sandboxes.ROUTES]
