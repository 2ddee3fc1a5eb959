"""Cursors: opaque to callers, stable while rows come and go."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sandlot.core.ids import is_sandbox_id
from sandlot.errors import InvalidArgument

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_cursor(at: datetime, id: str) -> str:
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}:{id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str, is_id: Callable[[str], bool] = is_sandbox_id) -> tuple[datetime, str]:
    """Raises InvalidArgument for anything that ``encode_cursor`` did not make."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        micros, _, id = text.partition(":")
        at = _EPOCH + timedelta(microseconds=int(micros))
    except (binascii.Error, ValueError, OverflowError) as error:
        raise InvalidArgument(
            "cursor is not one that this server gave; leave it out to begin anew"
        ) from error
    if not is_id(id):
        raise InvalidArgument("cursor is not one that this server gave; leave it out to begin anew")
    return at, id
