"""Headers on their way through: what belongs to one connection stays there, and who asked is added."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from starlette.types import Scope

Headers = list[tuple[bytes, bytes]]

MAX_HEADER_BYTES: Final = 64 * 1024
"""Of a guest's answer, all together."""

_OF_A_CONNECTION: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
        b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
_UNPRINTABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def of_request(scope: Scope) -> Headers:
    """What the guest is sent besides the body's framing. ``Host`` stays as the client sent it."""
    told = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
    headers = [item for item in _passing(scope["headers"]) if item[0] not in told | {b"expect"}]
    return headers + list(_forwarded(scope))


def of_answer(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the client is sent. The server dates its answers itself.

    Raises ValueError where they are no headers that may be passed on.
    """
    passing = [item for item in _passing(headers) if item[0] != b"date"]
    if sum(len(name) + len(value) + 4 for name, value in passing) > MAX_HEADER_BYTES:
        raise ValueError(f"its head is larger than {MAX_HEADER_BYTES} bytes")
    if any(_UNPRINTABLE.search(value) for _, value in passing):
        raise ValueError("a header of it has a control character")
    return passing


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)


def _passing(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    lowered = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in lowered
        if name == b"connection"
        for token in value.split(b",")
    }
    return [item for item in lowered if item[0] not in _OF_A_CONNECTION and item[0] not in named]


def _forwarded(scope: Scope) -> Iterator[tuple[bytes, bytes]]:
    """As by custom. What a proxy before this server has said of scheme and host holds."""
    headers = scope["headers"]
    before = [value for name, value in headers if name == b"x-forwarded-for"]
    client = [scope["client"][0].encode()] if scope.get("client") else []
    if before or client:
        yield b"x-forwarded-for", b", ".join([*before, *client])
    secure = scope["scheme"] in ("https", "wss")
    yield b"x-forwarded-proto", first(headers, b"x-forwarded-proto") or (b"https" if secure else b"http")
    host = first(headers, b"x-forwarded-host") or first(headers, b"host")
    if host is not None:
        yield b"x-forwarded-host", host
