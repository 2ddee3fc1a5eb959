"""Bodies of requests. What this server does not know is never ignored in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request

from sandlot.doors.bodies import bounded
from sandlot.doors.e2b.door import door_of
from sandlot.doors.e2b.errors import NotYet
from sandlot.errors import InvalidArgument

T = TypeVar("T", bound=msgspec.Struct)

_WHOLE_BODY: Final = 4
"""How many times ``body_idle_s`` a body may take, however steadily it comes."""
_ASKS_NOTHING: Final[tuple[Any, ...]] = (None, False, "", [], {})


async def body_of(request: Request, kind: type[T]) -> T:
    """The request's body; an empty one is an empty object. Raises InvalidArgument, NotYet, HTTPException."""
    door = door_of(request)
    receive = bounded(
        request.scope,
        request.receive,
        limit=door.max_body_bytes,
        idle_s=door.body_idle_s,
        whole_s=_WHOLE_BODY * door.body_idle_s,
    )
    raw = await Request(request.scope, receive).body()
    try:
        decoded = msgspec.json.decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"the body is not JSON: {error}") from None
    return typed(kind, decoded)


def typed(kind: type[T], value: Any, *, at: str = "") -> T:
    """``value`` as ``kind``; ``at`` says where in the body it stands. Raises InvalidArgument, NotYet."""
    try:
        made = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(_plainly(str(error), at)) from None
    _check_known(kind, value, at)
    return made


def _check_known(kind: type[msgspec.Struct], value: Mapping[str, Any], at: str) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    for name, asked in value.items():
        if name not in known and asked not in _ASKS_NOTHING:
            raise NotYet(f"{_under(at, name)[:80]} is nothing that this server knows; leave it out")


def _plainly(message: str, at: str) -> str:
    """The field first: "Expected `str`, got `int` - at `$.timeout`" becomes "timeout: expected ..."."""
    what, _, where = message.partition(" - at `")
    field = _under(at, where.rstrip("`").removeprefix("$").removeprefix("."))
    return f"{field or 'the body'}: {what[:1].lower()}{what[1:]}"


def _under(at: str, name: str) -> str:
    return f"{at}.{name}" if at and name else at or name
