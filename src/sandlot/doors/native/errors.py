"""The native API's error shape, and the status of each class of error."""

from __future__ import annotations

import difflib
import http
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Match

from sandlot.doors.encoding import Json
from sandlot.doors.errors import mapped, retry_after
from sandlot.doors.native.door import explained
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
    SandlotError,
    TierUnavailable,
    Unauthenticated,
    Unavailable,
)

_log = structlog.get_logger(__name__)

STATUS: Final[Mapping[type[SandlotError], int]] = {
    InvalidArgument: 400,
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    Conflict: 409,
    SandboxGone: 410,
    TierUnavailable: 422,
    LimitExceeded: 429,
    GuestError: 502,
    Unavailable: 503,
    DeadlineExceeded: 504,
    NotEnoughSpace: 507,
}

_HTTP_CODES: Final[Mapping[int, str]] = {
    400: "invalid_argument",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
}

_SHOWN_PROBLEMS: Final = 5


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    details: dict[str, Any] | None = None


class ErrorBody(msgspec.Struct):
    error: ErrorDetail


def status_of(error: SandlotError) -> int:
    """The HTTP status of an error; 500 for a class that nobody has mapped."""
    return mapped(error, STATUS, 500)


def body_of(error: SandlotError) -> ErrorBody:
    return ErrorBody(ErrorDetail(error.code, error.message, error.details or None))


def response_for(error: SandlotError) -> Response:
    status = status_of(error)
    headers = {}
    if status in (429, 503):
        headers["retry-after"] = retry_after(error)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return _response(body_of(error), status, headers)


def internal(error: BaseException, connection: HTTPConnection) -> ErrorBody:
    """What a caller is told of a bug: nothing but where to find it in the log, where all of it is written."""
    request_id = connection.scope.get("state", {}).get("request_id", "unknown")
    _log.error("unexpected error", request_id=request_id, path=connection.scope.get("path"), exc_info=error)
    message = (
        f"the server failed in a way nobody foresaw; its log has the details under request id {request_id}"
    )
    return ErrorBody(ErrorDetail("internal", message, {"request_id": request_id}))


def internal_response(error: BaseException, connection: HTTPConnection) -> Response:
    return _response(internal(error, connection), 500, {})


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` in this door's shape."""
    handlers: Mapping[type[Exception], Any] = {
        SandlotError: _on_sandlot_error,
        HTTPException: _on_http_error,
        RequestValidationError: _on_validation_error,
    }
    for cls, handler in handlers.items():
        app.add_exception_handler(cls, handler)


async def _on_sandlot_error(connection: HTTPConnection, error: SandlotError) -> Response:
    error = await explained(connection, error)
    if status_of(error) == 500:
        return internal_response(error, connection)
    return response_for(error)


async def _on_http_error(connection: HTTPConnection, error: HTTPException) -> Response:
    code = _HTTP_CODES.get(error.status_code, http.HTTPStatus(error.status_code).name.lower())
    body = ErrorBody(ErrorDetail(code, _http_message(connection, error)))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers = {"allow": _allowed(connection)}
    return _response(body, error.status_code, headers)


def _http_message(connection: HTTPConnection, error: HTTPException) -> str:
    path = connection.scope["path"]
    if isinstance(error.__cause__, UnicodeDecodeError):
        return "the body is not valid UTF-8; send JSON encoded as UTF-8"
    if isinstance(error.__cause__, RecursionError):
        return "the body is nested too deeply"
    if error.status_code == 400 and isinstance(error.__cause__, ValueError):
        return "the body holds an integer of more digits than can be read"
    if error.status_code == 404:
        return f"no such address: {path}; the API begins at /v1 and is described at /docs"
    if error.status_code == 405:
        return f"{connection.scope['method']} is not possible at {path}; allowed here: {_allowed(connection)}"
    return str(error.detail)


def _allowed(connection: HTTPConnection) -> str:
    """Of all routes: the framework names those of the first one that has the address."""
    asked = {
        name: connection.scope[name] for name in ("type", "path", "root_path", "headers", "query_string")
    }
    return ", ".join(
        method
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE")
        if any(
            route.matches({**asked, "method": method})[0] is Match.FULL
            for route in connection.app.router.routes
        )
    )


async def _on_validation_error(connection: HTTPConnection, error: RequestValidationError) -> Response:
    problems = [_problem(item, connection) for item in error.errors()]
    shown = "; ".join(f"{field}: {text}" if field else text for field, text in problems[:_SHOWN_PROBLEMS])
    details = {"problems": [{"field": field, "message": text} for field, text in problems[:_SHOWN_PROBLEMS]]}
    return _response(ErrorBody(ErrorDetail("invalid_argument", shown, details)), 400, {})


def _problem(item: Mapping[str, Any], connection: HTTPConnection) -> tuple[str, str]:
    """The field's path as the caller wrote it, and what is wrong there."""
    source, *path = item["loc"]
    if item["type"] == "json_invalid":
        return "", f"the body is not JSON: {item['ctx']['error']} at byte {path[0]}"
    if item["type"] in ("model_attributes_type", "model_type", "dict_type") and not path:
        return "", "the body must be a JSON object"
    if item["type"] == "missing" and not path:
        return "", "a JSON body is needed"
    field = ".".join(str(part) for part in path)
    if item["type"] == "missing":
        return field, f"needed in the {source}"
    if item["type"] == "extra_forbidden":
        kind = "parameter" if source == "query" else "field"
        known = item.get("known") or _known_fields(connection)
        return field, f"unknown {kind}{_did_you_mean(str(path[-1]), known)}"
    return field, _plain(item["msg"])


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close: Sequence[str] = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _known_fields(connection: HTTPConnection) -> Iterable[str]:
    body_field = getattr(connection.scope.get("route"), "body_field", None)
    model = getattr(getattr(body_field, "field_info", None), "annotation", None)
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _response(body: ErrorBody, status: int, headers: Mapping[str, str]) -> Response:
    return Json(body, status, headers)
