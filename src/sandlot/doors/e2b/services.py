"""This door's three applications: the control plane, and two that answer at a sandbox's address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from sandlot.doors.e2b import code, control, envd
from sandlot.doors.e2b.door import CODE_PORT, ENVD_PORT, Door
from sandlot.doors.e2b.errors import on_http_error, on_sandlot_error
from sandlot.errors import SandlotError

_AS_JSON: Final[Mapping[Any, Any]] = {SandlotError: on_sandlot_error, HTTPException: on_http_error}


def services(door: Door) -> Mapping[int, ASGIApp]:
    """By the port of the sandbox that each stands in for."""
    return {
        ENVD_PORT: _for_browsers(_application(door, envd.routes(), _AS_JSON)),
        CODE_PORT: _application(door, code.routes(), code.ERRORS),
    }


def control_plane(door: Door) -> ASGIApp:
    """What makes sandboxes, finds and ends them."""
    return _application(door, control.routes(), _AS_JSON)


def _for_browsers(app: ASGIApp) -> ASGIApp:
    """Pages of any origin may call it: what opens it is a token or a signature, never a cookie."""
    return CORSMiddleware(
        app, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=["*"]
    )


def _application(door: Door, routes: Iterable[BaseRoute], handlers: Mapping[Any, Any]) -> ASGIApp:
    app = Starlette(routes=list(routes), exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.e2b = door
    return app
