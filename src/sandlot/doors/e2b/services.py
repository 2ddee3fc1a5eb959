"""This door's three applications: the control plane, and two that answer at a sandbox's address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandlot.doors.bodies import read_out
from sandlot.doors.e2b import code, control, envd
from sandlot.doors.e2b.door import CODE_PORT, ENVD_PORT, Door
from sandlot.doors.e2b.errors import internal_response, on_http_error, on_sandlot_error
from sandlot.doors.streaming import ResponseAborted
from sandlot.errors import SandlotError

_AS_JSON: Final[Mapping[Any, Any]] = {SandlotError: on_sandlot_error, HTTPException: on_http_error}


def services(door: Door) -> Mapping[int, ASGIApp]:
    """By the port of the sandbox that each stands in for."""
    return {
        ENVD_PORT: _for_browsers(_application(door, envd.routes(), _AS_JSON)),
        CODE_PORT: _for_browsers(_application(door, code.routes(), code.ERRORS)),
    }


def control_plane(door: Door) -> ASGIApp:
    """What makes sandboxes, finds and ends them."""
    return _for_browsers(_application(door, control.routes(), _AS_JSON))


def _for_browsers(app: ASGIApp) -> ASGIApp:
    """Pages of any origin may call it: what opens it is a key, a token or a signature, never a cookie."""
    return CORSMiddleware(
        app, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=["*"]
    )


def _application(door: Door, routes: Iterable[BaseRoute], handlers: Mapping[Any, Any]) -> ASGIApp:
    return _Application(door, Router(list(routes), redirect_slashes=False), handlers)


class _Application:
    """Routes, and what becomes of errors. Starlette's own would answer also a client that has left."""

    def __init__(self, door: Door, router: Router, handlers: Mapping[Any, Any]) -> None:
        self.state = State({"e2b": door})
        self._app = ExceptionMiddleware(router, handlers=handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        receive, send = read_out(receive, send)
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except (ClientDisconnect, ResponseAborted):
            raise
        except Exception as error:
            if begun:
                raise
            await internal_response(error, HTTPConnection(scope))(scope, receive, send)
