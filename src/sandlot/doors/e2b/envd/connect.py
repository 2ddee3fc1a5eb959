"""The Connect protocol with JSON messages, the server's side: unary calls and streams of either direction.

https://connectrpc.com/docs/protocol: a message of a stream has one byte of flags and four of length before
it; the last one has flag 2 and says how the stream ended.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandlot.core.live import LiveSandbox
from sandlot.doors.bodies import bounded
from sandlot.doors.e2b.door import door_of, sandbox_of, user_of
from sandlot.doors.e2b.errors import SandboxNotFound, response_for
from sandlot.doors.encoding import to_json
from sandlot.doors.errors import mapped
from sandlot.doors.streaming import Stream
from sandlot.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    PermissionDenied,
    SandboxGone,
    SandboxPaused,
    SandlotError,
    Unauthenticated,
    Unavailable,
)

_log = structlog.get_logger(__name__)

UNARY: Final = "application/json"
STREAM: Final = "application/connect+json"
_PREFIX: Final = struct.Struct(">BI")
_COMPRESSED: Final = 1
_END: Final = 2
_VERSION: Final = "1"
_NUMBER: Final = re.compile(r"[0-9]{1,10}(\.0)?")
PROMISED_S: Final = 90.0
"""How often a stream speaks where the client did not say (``Keepalive-Ping-Interval``, seconds)."""


class Code(StrEnum):
    CANCELED = "canceled"
    INVALID_ARGUMENT = "invalid_argument"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    PERMISSION_DENIED = "permission_denied"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    FAILED_PRECONDITION = "failed_precondition"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"
    ABORTED = "aborted"
    UNAVAILABLE = "unavailable"
    UNAUTHENTICATED = "unauthenticated"


_STATUS: Final[Mapping[Code, int]] = {
    Code.CANCELED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.ABORTED: 409,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
_CODES: Final[Mapping[type[SandlotError], Code]] = {
    InvalidArgument: Code.INVALID_ARGUMENT,
    Unauthenticated: Code.UNAUTHENTICATED,
    PermissionDenied: Code.PERMISSION_DENIED,
    NotFound: Code.NOT_FOUND,
    Conflict: Code.FAILED_PRECONDITION,
    SandboxGone: Code.UNAVAILABLE,
    SandboxNotFound: Code.UNAVAILABLE,
    LimitExceeded: Code.RESOURCE_EXHAUSTED,
    NotEnoughSpace: Code.RESOURCE_EXHAUSTED,
    Unavailable: Code.UNAVAILABLE,
    DeadlineExceeded: Code.DEADLINE_EXCEEDED,
}


class RpcError(Exception):
    """An answer with this code, where the engine's error alone would be given another."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Message(msgspec.Struct, rename="camel", omit_defaults=True):
    """A message in the JSON form of protocol buffers: bytes in base64, what is not known left out."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the sandbox it is for, as which user (None: the default one), and how long it may take."""

    request: Request
    live: LiveSandbox
    user: str | None
    timeout_s: float | None
    keepalive_s: float
    max_bytes: int
    """Of one message."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a server stream sends: ``first`` at once, then ``items``; ``close`` is awaited in every case.

    ``keepalive`` is sent whenever nothing else was for a while.
    """

    items: AsyncIterator[Message]
    first: Sequence[Message] = ()
    close: Callable[[], Awaitable[Any]] | None = None
    keepalive: Message | None = None


T = TypeVar("T", bound=Message)
R = TypeVar("R")
Handler = Callable[[Call], Awaitable[Response]]


def unary(
    service: str,
    method: str,
    kind: type[T],
    handle: Callable[[Call, T], Awaitable[Message]],
    *,
    max_bytes: int | None = None,
) -> Route:
    """One message for one. ``max_bytes`` of it are taken, by default what the server takes of any body."""
    decoder = msgspec.json.Decoder(kind, strict=False)

    async def answer(call: Call) -> Response:
        message = _decoded(decoder, await call.request.body())
        return Response(to_json(await _in_time(call, handle(call, message))), media_type=UNARY)

    return _route(service, method, UNARY, answer, max_bytes=max_bytes)


def server_stream(
    service: str, method: str, kind: type[T], handle: Callable[[Call, T], Awaitable[Answers]]
) -> Route:
    """One message for many. How long these may take is for ``handle`` to see to."""
    decoder = msgspec.json.Decoder(kind, strict=False)

    async def answer(call: Call) -> Response:
        messages = [message async for message in _messages(call, decoder)]
        if len(messages) != 1:
            raise RpcError(Code.INVALID_ARGUMENT, f"one message is due here, not {len(messages)}")
        return _stream(call, await _in_time(call, handle(call, messages[0])))

    return _route(service, method, STREAM, answer)


def client_stream(
    service: str,
    method: str,
    kind: type[T],
    handle: Callable[[Call, AsyncIterator[T]], Awaitable[Message]],
    *,
    max_bytes: int | None = None,
) -> Route:
    """Many messages for one, each of at most ``max_bytes``. However many, and with any time between them."""
    decoder = msgspec.json.Decoder(kind, strict=False)

    async def answer(call: Call) -> Response:
        message = await _in_time(call, handle(call, _messages(call, decoder)))
        return Response(_frame(message) + _last(None), media_type=STREAM)

    return _route(service, method, STREAM, answer, max_bytes=max_bytes, endless=True)


def enveloped(body: bytes, flags: int = 0) -> bytes:
    return _PREFIX.pack(flags, len(body)) + body


def _route(
    service: str,
    method: str,
    media_type: str,
    answer: Handler,
    *,
    max_bytes: int | None = None,
    endless: bool = False,
) -> Route:
    async def endpoint(request: Request) -> Response:
        if _type_of(request) != media_type:
            return Response(status_code=415, headers={"accept-post": media_type})
        try:
            _check_protocol(request, media_type)
            call = await _call(request, max_bytes, endless=endless)
        except SandboxNotFound as error:
            return response_for(error)
        except (SandlotError, RpcError) as error:
            return _refused(error, media_type)
        try:
            return await answer(call)
        except (SandlotError, RpcError) as error:
            explained = await _explained(call, error)
            if isinstance(explained, SandboxGone):
                explained = SandboxNotFound.because(explained, call.live.id)
            if isinstance(explained, SandboxNotFound):
                return response_for(explained)
            return _refused(explained, media_type)
        except HTTPException as error:
            return _refused(_of_body(error), media_type)

    endpoint.__name__ = f"e2b_{service.rpartition('.')[2]}_{method}".lower()
    return Route(f"/{service}/{method}", endpoint, methods=["POST"])


async def _call(request: Request, max_bytes: int | None, *, endless: bool) -> Call:
    live = await sandbox_of(request)
    door = door_of(request)
    limit = max_bytes or door.max_body_bytes
    receive = request.receive
    if not endless:
        receive = bounded(request.scope, receive, limit=limit + _PREFIX.size, idle_s=door.body_idle_s)
    return Call(
        Request(request.scope, receive),
        live,
        user_of(request),
        _timeout_s(request),
        _number(request, "keepalive-ping-interval") or PROMISED_S,
        limit,
    )


def _timeout_s(request: Request) -> float | None:
    ms = _number(request, "connect-timeout-ms")
    return None if not ms else ms / 1000


def _number(request: Request, name: str) -> float | None:
    """Older clients write whole numbers with a point and a zero behind it."""
    text = request.headers.get(name)
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise InvalidArgument(f"{name}: a whole number of at most ten digits is needed, not {text[:40]!r}")
    return float(text)


def _type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_protocol(request: Request, media_type: str) -> None:
    version = request.headers.get("connect-protocol-version", _VERSION)
    if version != _VERSION:
        raise InvalidArgument(
            f"connect-protocol-version: {_VERSION} is understood here, not {version[:20]!r}"
        )
    name = "content-encoding" if media_type == UNARY else "connect-content-encoding"
    if request.headers.get(name, "identity") != "identity":
        raise RpcError(Code.UNIMPLEMENTED, f"{name}: only identity is understood here")


async def _in_time(call: Call, work: Awaitable[R]) -> R:
    try:
        async with asyncio.timeout(call.timeout_s):
            return await work
    except TimeoutError:
        raise out_of_time(call) from None


def out_of_time(call: Call) -> RpcError:
    """What a call is answered that is not done in the time that it gave itself."""
    return RpcError(Code.DEADLINE_EXCEEDED, f"not done within the {call.timeout_s:g} s that the call gave it")


def _of_body(error: HTTPException) -> RpcError:
    code = Code.DEADLINE_EXCEEDED if error.status_code == 408 else Code.INVALID_ARGUMENT
    return RpcError(code, str(error.detail))


async def _messages(call: Call, decoder: msgspec.json.Decoder[T]) -> AsyncGenerator[T, None]:
    """As they come, one at a time here. Raises RpcError."""
    buffer = bytearray()
    async for chunk in call.request.stream():
        buffer += chunk
        while len(buffer) >= _PREFIX.size:
            flags, size = _PREFIX.unpack_from(buffer)
            _check_prefix(flags, size, call.max_bytes)
            end = _PREFIX.size + size
            if len(buffer) < end:
                break
            body = bytes(buffer[_PREFIX.size : end])
            del buffer[:end]
            yield _decoded(decoder, body)
    if buffer:
        raise RpcError(Code.INVALID_ARGUMENT, "the last message is not complete")


def _check_prefix(flags: int, size: int, max_bytes: int) -> None:
    if flags & _COMPRESSED:
        raise RpcError(Code.UNIMPLEMENTED, "compressed messages are not understood here")
    if flags:
        raise RpcError(Code.INVALID_ARGUMENT, f"a message of a request has no such flags: {flags:#x}")
    if size > max_bytes:
        raise RpcError(
            Code.INVALID_ARGUMENT, f"a message of {size} bytes is too large, {max_bytes} is the limit"
        )


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RpcError(Code.INVALID_ARGUMENT, f"the message cannot be read: {error}") from None


def _stream(call: Call, answers: Answers) -> Response:
    async def last_words(error: Exception) -> bytes:
        if not isinstance(error, SandlotError | RpcError):
            _log.error("unexpected error", path=call.request.url.path, exc_info=error)
        return _last(await _explained(call, error))

    async def framed() -> AsyncGenerator[bytes, None]:
        async for item in answers.items:
            yield _frame(item)
        yield _last(None)

    return Stream(
        framed(),
        bytes,
        streams=door_of(call.request).streams,
        media_type=STREAM,
        first=b"".join(map(_frame, answers.first)) or None,
        close=answers.close,
        keepalive=None if answers.keepalive is None else _frame(answers.keepalive),
        keepalive_s=call.keepalive_s,
        last_words=last_words,
    )


def _frame(message: Message) -> bytes:
    return enveloped(to_json(message))


def _last(error: Exception | None) -> bytes:
    return enveloped(json.dumps({} if error is None else {"error": _described(error)}).encode(), _END)


def _refused(error: Exception, media_type: str) -> Response:
    if media_type == STREAM:
        return Response(_last(error), media_type=STREAM)
    described = _described(error)
    return Response(to_json(described), _STATUS[Code(described["code"])], media_type=UNARY)


async def _explained(call: Call, error: Exception) -> Exception:
    """The engine's word on why a talk with a sandbox broke off; "unauthenticated" for an unknown user."""
    if isinstance(error, InvalidArgument) and call.user is not None and not await knows(call.live, call.user):
        return Unauthenticated(f"user: there is no {call.user[:64]!r} in sandbox {call.live.id}")
    if not isinstance(error, SandlotError):
        return error
    explained = await door_of(call.request).access.explain(call.live.id, error)
    if isinstance(explained, SandboxPaused):
        return SandboxNotFound.because(explained, call.live.id)
    return explained


async def knows(live: LiveSandbox, user: str) -> bool:
    """Whether there is such a user inside. For whoever was refused: a call that works need not ask."""
    try:
        await live.agent.stat("/", user=user)
    except InvalidArgument:
        return False
    except SandlotError:
        return True
    return True


def _described(error: Exception) -> dict[str, str]:
    if isinstance(error, RpcError):
        return {"code": error.code, "message": error.message}
    if isinstance(error, SandlotError):
        code = mapped(error, _CODES, Code.INTERNAL)
        return {"code": code, "message": error.message}
    return {"code": Code.INTERNAL, "message": HTTPStatus(500).phrase}
