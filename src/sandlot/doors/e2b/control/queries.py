"""What stands behind the question mark. A bad value is named; a parameter that nobody knows asks nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request

from sandlot.errors import InvalidArgument

E = TypeVar("E", bound=StrEnum)

_LATEST_SECOND = 10_000_000_000
"""Of the year 2286: a number above it counts milliseconds, as the clients' older versions do."""


def integer(request: Request, name: str) -> int | None:
    """Raises InvalidArgument."""
    text = request.query_params.get(name)
    if not text:
        return None
    if not (text.lstrip("-").isdecimal() and text.isascii() and len(text) <= 18):
        raise InvalidArgument(f"{name}: a whole number is needed, not {text[:40]!r}")
    return int(text)


def moment(request: Request, name: str) -> datetime | None:
    """RFC 3339, with its zone. Raises InvalidArgument."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        # A plus sign that nobody escaped has become a blank.
        parsed = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"{name}: a time as 2026-11-27T12:00:00Z is needed, not {text[:40]!r}"
        ) from None


def unix_time(request: Request, name: str) -> datetime | None:
    """Seconds since 1970, or milliseconds. Raises InvalidArgument."""
    number = integer(request, name)
    if number is None:
        return None
    try:
        return datetime.fromtimestamp(number / 1000 if number > _LATEST_SECOND else number, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidArgument(f"{name}: {number} is no time in seconds since 1970") from None


def choice(request: Request, name: str, kind: type[E]) -> E | None:
    """Raises InvalidArgument."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise InvalidArgument(f"{name}: {text[:40]!r} is none of {', '.join(kind)}") from None


def pairs(request: Request, name: str) -> dict[str, str]:
    """``a=b&c=d``, percent-encoded as a whole and each name and value before that."""
    text = request.query_params.get(name, "")
    return {unquote(key): unquote(value) for key, value in parse_qsl(text, keep_blank_values=True)}
