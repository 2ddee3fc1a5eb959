"""Request bodies, bounded in size and in the time between two pieces of them. Shared by all doors."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

REFUSED_BODY = 64 * 1024 * 1024
STRANGERS_BODY = 64 * 1024
REFUSED_BODY_S = 5.0


class BodyTooLarge(HTTPException):
    def __init__(self, limit: int) -> None:
        # What is left of the body will not be read, so the connection cannot be used again.
        super().__init__(
            413, f"the body is larger than {limit} bytes, the most taken here", {"connection": "close"}
        )


class BodyTooSlow(HTTPException):
    def __init__(self, message: str) -> None:
        super().__init__(408, message, {"connection": "close"})


def bounded(
    scope: Scope, receive: Receive, *, limit: int | None, idle_s: float, whole_s: float | None = None
) -> Receive:
    """A ``receive`` that raises BodyTooLarge beyond ``limit`` bytes, BodyTooSlow after ``idle_s`` of none.

    BodyTooSlow also where ``whole_s`` after the first call the body is not complete.
    Both are HTTPException, which is what FastAPI lets through while it reads a body.
    """
    declared = _declared_length(scope)
    total = 0
    complete = False
    clock = asyncio.get_running_loop().time
    ends_at = math.inf if whole_s is None else clock() + whole_s

    async def bounded_receive() -> Message:
        nonlocal total, complete
        if complete:
            return await receive()
        if limit is not None and declared > limit:
            raise BodyTooLarge(limit)
        try:
            async with asyncio.timeout(min(idle_s, ends_at - clock())):
                message = await receive()
        except TimeoutError:
            if clock() >= ends_at:
                raise BodyTooSlow(f"the body was not complete after {whole_s:g} s") from None
            raise BodyTooSlow(f"nothing more of the body came for {idle_s:g} s") from None
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if limit is not None and total > limit:
                raise BodyTooLarge(limit)
        return message

    return bounded_receive


def read_out(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The two, so that before a refusal what is left of the body is read and forgotten, within limits.

    Some clients lose an answer that comes while they are still sending.
    """
    complete = False

    async def counting_receive() -> Message:
        nonlocal complete
        message = await receive()
        complete = complete or not message.get("more_body", False)
        return message

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400 and not complete:
            left = STRANGERS_BODY if message["status"] == 401 else REFUSED_BODY
            with suppress(TimeoutError):
                async with asyncio.timeout(REFUSED_BODY_S):
                    while not complete and left > 0:
                        left -= len((await counting_receive()).get("body", b""))
        await send(message)

    return counting_receive, sending


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
