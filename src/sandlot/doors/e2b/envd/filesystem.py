"""filesystem.Filesystem: look at files and folders, make, move, remove and watch them."""

from __future__ import annotations

from starlette.routing import BaseRoute

ROUTES: list[BaseRoute] = []
