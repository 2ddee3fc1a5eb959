"""The shapes of errors: the control plane's and envd's HTTP have one, its RPCs another (connect.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from sandlot.core.idempotency import KeyReused
from sandlot.doors.encoding import Json
from sandlot.doors.errors import mapped, retry_after
from sandlot.errors import (
    Conflict,
    DeadlineExceeded,
    GuestError,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    PermissionDenied,
    SandboxGone,
    SandboxPaused,
    SandlotError,
    TierUnavailable,
    Unauthenticated,
    Unavailable,
)

_log = structlog.get_logger(__name__)


class SandboxNotFound(SandlotError):
    """No such sandbox runs. Clients know it by the status 502 and the words "was not found"."""

    code = "sandbox_not_found"

    def __init__(self, sandbox_id: str, why: str = "it has ended, or never was") -> None:
        super().__init__(f"The sandbox {sandbox_id} was not found: {why}", sandboxId=sandbox_id)

    @classmethod
    def because(cls, error: NotFound | SandboxGone | SandboxPaused, sandbox_id: str) -> Self:
        """What the engine calls by three names."""
        if isinstance(error, SandboxPaused):
            return cls(sandbox_id, "it is paused; connect to it, and it runs again")
        return cls(sandbox_id)


class NotYet(SandlotError):
    """Something of the vendor's that this server has not: refused, and never ignored in silence."""

    code = "not_implemented"


STATUS: Final[Mapping[type[SandlotError], int]] = {
    InvalidArgument: 400,
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    SandboxGone: 404,
    Conflict: 409,
    KeyReused: 422,
    TierUnavailable: 422,
    LimitExceeded: 429,
    GuestError: 500,
    NotYet: 501,
    SandboxNotFound: 502,
    Unavailable: 503,
    DeadlineExceeded: 504,
    NotEnoughSpace: 507,
}


def status_of(error: SandlotError) -> int:
    """The HTTP status of an error; 500 for a class that nobody has mapped."""
    return mapped(error, STATUS, 500)


def response_for(error: SandlotError) -> Response:
    status = status_of(error)
    headers = {}
    if status in (429, 503):
        headers["retry-after"] = retry_after(error)
    if isinstance(error, NotYet):
        headers["should-retry"] = "false"
    return Json(body_for(error), status, headers)


def body_for(error: SandlotError) -> dict[str, Any]:
    """The error, as an answer or as a part of one."""
    body: dict[str, Any] = {"code": status_of(error), "message": error.message}
    if isinstance(error, SandboxNotFound):
        body |= error.details
    if isinstance(error, KeyReused):
        body["error_code"] = error.code
    return body


async def on_sandlot_error(_: HTTPConnection, error: SandlotError) -> Response:
    return response_for(error)


async def on_http_error(connection: HTTPConnection, error: HTTPException) -> Response:
    message = str(error.detail)
    if error.status_code == 404:
        message = f"no such address: {connection.scope['path']}"
    return Json({"code": error.status_code, "message": message}, error.status_code, error.headers)


def internal_response(error: Exception, connection: HTTPConnection) -> Response:
    """What a caller is told of a bug: nothing but where to find it in the log, where all of it is written."""
    request_id = connection.scope.get("state", {}).get("request_id", "unknown")
    _log.error("unexpected error", request_id=request_id, path=connection.scope.get("path"), exc_info=error)
    message = f"the server failed in a way nobody foresaw; its log has the details under {request_id}"
    return Json({"code": 500, "message": message}, 500)
