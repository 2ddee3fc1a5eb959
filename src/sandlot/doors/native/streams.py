"""This door's streams: newline-delimited JSON with keepalives, and raw bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from starlette.requests import Request

from sandlot.doors.native import errors, events
from sandlot.doors.native.door import door_of, explained
from sandlot.doors.streaming import Stream, exactly
from sandlot.errors import SandlotError

T = TypeVar("T")

NDJSON: Final = "application/x-ndjson"
KEEPALIVE_S: Final = 15.0


def event_stream(
    request: Request,
    items: AsyncIterator[T],
    encode: Callable[[T], bytes],
    *,
    first: bytes | None = None,
    close: Callable[[], Awaitable[Any]] | None = None,
) -> Stream[T]:
    """One line for each of ``items``; an error after the first line becomes a last line of type ``error``."""

    async def last_words(error: Exception) -> bytes:
        if isinstance(error, SandlotError):
            return events.line(events.Failed(errors.body_of(await explained(request, error)).error))
        return events.line(events.Failed(errors.internal(error, request).error))

    return Stream(
        items,
        encode,
        streams=door_of(request).streams,
        media_type=NDJSON,
        first=first,
        close=close,
        keepalive=events.KEEPALIVE_LINE,
        keepalive_s=KEEPALIVE_S,
        last_words=last_words,
    )


def byte_stream(
    request: Request,
    chunks: AsyncGenerator[bytes, None],
    *,
    length: int | None = None,
    media_type: str = "application/octet-stream",
    headers: Mapping[str, str] | None = None,
) -> Stream[bytes]:
    """Bytes as they come. An error in the middle cuts the connection, so that no part passes for the whole.

    ``length``, where it is known, is announced, and held: a source that ends early is such an error.
    """
    announced = {} if length is None else {"content-length": str(length)}
    return Stream(
        chunks if length is None else exactly(chunks, length),
        _as_is,
        streams=door_of(request).streams,
        media_type=media_type,
        headers=announced | dict(headers or {}),
    )


def _as_is(chunk: bytes) -> bytes:
    return chunk
