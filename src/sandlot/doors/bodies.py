"""Request bodies, bounded in size and in the time between two pieces of them. Shared by all doors."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope


class BodyTooLarge(HTTPException):
    def __init__(self, limit: int) -> None:
        # What is left of the body will not be read, so the connection cannot be used again.
        super().__init__(
            413, f"the body is larger than {limit} bytes, the most taken here", {"connection": "close"}
        )


class BodyTooSlow(HTTPException):
    def __init__(self, idle_s: float) -> None:
        super().__init__(408, f"nothing more of the body came for {idle_s:g} s", {"connection": "close"})


def bounded(scope: Scope, receive: Receive, *, limit: int | None, idle_s: float) -> Receive:
    """A ``receive`` that raises BodyTooLarge beyond ``limit`` bytes, BodyTooSlow after ``idle_s`` of none.

    Both are HTTPException, which is what FastAPI lets through while it reads a body.
    """
    declared = _declared_length(scope)
    total = 0
    complete = False

    async def bounded_receive() -> Message:
        nonlocal total, complete
        if complete:
            return await receive()
        if limit is not None and declared > limit:
            raise BodyTooLarge(limit)
        try:
            async with asyncio.timeout(idle_s):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow(idle_s) from None
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if limit is not None and total > limit:
                raise BodyTooLarge(limit)
        return message

    return bounded_receive


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
