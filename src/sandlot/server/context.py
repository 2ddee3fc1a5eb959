"""What surrounds every request: an id for it, log lines that carry it, and the last word on a bug."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandlot.doors.native import errors
from sandlot.doors.streaming import ResponseAborted
from sandlot.server.metrics.requests import ABORTED, LEFT, Requests

_log = structlog.get_logger(__name__)
_FROM_CLIENT: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestContext:
    """Pure ASGI, inside of which no exception leaves without an answer or a cut connection."""

    def __init__(self, app: ASGIApp, *, access_log: bool = False, requests: Requests | None = None) -> None:
        self._app = app
        self._requests = requests or Requests()
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        header = (b"x-request-id", request_id.encode())
        began = time.monotonic()
        status = 0
        aborted = False
        self._requests.begin(scope)

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            elif message["type"] == "websocket.accept":
                status = 101
            else:
                await send(message)
                return
            self._requests.answered(scope, status, time.monotonic() - began)
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except ClientDisconnect:
            _log.debug("client left", path=scope["path"])
        except ResponseAborted as error:
            aborted = True
            _log.warning("response cut short", path=scope["path"], reason=str(error))
            raise
        except Exception as error:
            aborted = status != 0
            await _answer(error, scope, receive, send_named, begun=status != 0)
        finally:
            self._requests.end(scope, ABORTED if aborted else str(status or LEFT))
            if self._access_log:
                _write_access(scope, status, time.monotonic() - began)


async def _answer(error: Exception, scope: Scope, receive: Receive, send: Send, *, begun: bool) -> None:
    connection = HTTPConnection(scope)
    if not begun:
        await errors.internal_response(error, connection)(scope, receive, send)
        return
    errors.internal(error, connection)
    raise ResponseAborted("an unexpected error") from error


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _FROM_CLIENT.fullmatch(value):
            return str(value.decode())
    return "req_" + secrets.token_hex(8)


def _write_access(scope: Scope, status: int, took_s: float) -> None:
    # Without the query, where paths and keys may be.
    _log.info(
        "request",
        method=scope.get("method", "WEBSOCKET"),
        path=scope["path"],
        status=status,
        ms=round(took_s * 1000, 2),
        client=(scope.get("client") or ("",))[0],
    )
