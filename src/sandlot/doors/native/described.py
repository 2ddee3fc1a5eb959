"""Words for the API's page that several routes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandlot.doors.native.models import ErrorAnswer
from sandlot.doors.native.streams import NDJSON

Responses = dict[int | str, dict[str, Any]]

_MEANING: Final[Mapping[int, str]] = {
    400: "A value that can never be accepted; the message names the field.",
    401: "No key, or one that nobody holds.",
    403: "The user inside the sandbox may not do this.",
    404: "No such thing.",
    408: "The body came too slowly.",
    409: "Not possible in this state; `sandbox_paused`: it is paused, and only `resume` wakes it.",
    410: "The sandbox has ended; `details` has its state and the reason.",
    413: "The body is too large.",
    422: "This host lacks the isolation tier.",
    429: "A limit is used up; `details` says which and whose, `Retry-After` when to ask again.",
    502: "The sandbox's inside gave an answer that is none.",
    503: "The server is starting or stopping; see `Retry-After`.",
    504: "It took too long.",
    507: "A disk is full; the message says which.",
}

_ALWAYS: Final = (400, 401, 503)
IN_SANDBOX: Final = (404, 409, 410, 429, 502, 504, 507)
"""Of what is asked of a sandbox that may have to wake up first."""


def failures(*statuses: int) -> Responses:
    """The errors of a route: those of every route, and ``statuses``."""
    return {
        status: {"model": ErrorAnswer, "description": _MEANING[status]}
        for status in sorted({*_ALWAYS, *statuses})
    }


def lines(*names: str, description: str) -> Responses:
    """A stream of lines, each one of the named schemas (see ``openapi.describe``)."""
    one_of = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    content = {NDJSON: {"schema": {"oneOf": one_of}}}
    return {200: {"description": description, "content": content}}


def raw(media_type: str, description: str) -> Responses:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"description": description, "content": content}}


def raw_body(media_type: str) -> dict[str, Any]:
    """``openapi_extra`` for a route that reads its body itself."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "content": content}}
