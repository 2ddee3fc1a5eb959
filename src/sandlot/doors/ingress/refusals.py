"""What a caller of a port is told where it is not the program in the sandbox that answers."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from sandlot.doors.encoding import Json
from sandlot.doors.errors import RETRY_AFTER_S, mapped
from sandlot.doors.ingress.hosts import Address
from sandlot.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    SandboxGone,
    SandlotError,
    Unauthenticated,
    Unavailable,
)


class PortClosed(SandlotError):
    """Nothing listens there."""


class BadAnswer(SandlotError):
    """The program answered with what is no HTTP, or not at all."""


class Broken(Unavailable):
    """The connection to it was lost; perhaps the sandbox has just ended."""


_STATUS: Final[dict[type[SandlotError], int]] = {
    InvalidArgument: 400,
    Unauthenticated: 403,  # there is nothing that a browser could ask its user for
    Conflict: 503,
    LimitExceeded: 503,
    Broken: 502,
    Unavailable: 503,
    DeadlineExceeded: 504,
}


def refusal(error: SandlotError, address: Address) -> Response:
    """The shape, and the words ``port is not open`` and ``was not found``, are those that clients of E2B
    look for; whatever else keeps a port from being reached is a 502 too.
    """
    status = mapped(error, _STATUS, 502)
    body = {
        "code": status,
        "message": _message(error, address),
        "sandboxId": address.sandbox_id,
        "port": address.port,
    }
    headers = {"cache-control": "no-store"}
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_S)
    return Json(body, status, headers)


def _message(error: SandlotError, address: Address) -> str:
    if isinstance(error, NotFound | SandboxGone):
        return f"The sandbox was not found: {error.message}"
    if isinstance(error, PortClosed):
        return f"The sandbox is running but port is not open: nothing listens on port {address.port}"
    return error.message
