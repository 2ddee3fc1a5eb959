"""One WebSocket to a port of a sandbox: the server ends the client's, and is itself a client of the guest's.

Messages pass whole, so that each is bounded; pings are answered on either side, close codes pass through.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from sandlot.doors.ingress import headers
from sandlot.doors.ingress.refusals import BadAnswer, Broken
from sandlot.doors.streaming import stopping
from sandlot.errors import DeadlineExceeded, InvalidArgument, SandlotError, Unavailable
from sandlot.node.agent import PortStream

HANDSHAKE_S: Final = 600.0
CLOSE_S: Final = 2.0
"""How long the program may take to answer a client's goodbye."""
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024

_OURS: Final = (
    b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-protocol",
    b"sec-websocket-version", b"content-length",
)  # fmt: skip
_log = logging.getLogger(__name__)
_log.disabled = True  # what a guest sends is not our log's matter


@dataclass(frozen=True, slots=True)
class _Goodbye:
    code: int | None
    reason: str = ""


async def relay(
    stream: PortStream, scope: Scope, receive: Receive, send: Send, stop: asyncio.Future[None]
) -> None:
    """Raises as ``exchange`` does, but only before the client's WebSocket is open."""
    talk = _Relay(stream, scope, receive, send)
    if await talk.open(stop):
        await talk.converse(stop)


class _Relay:
    def __init__(self, stream: PortStream, scope: Scope, receive: Receive, send: Send) -> None:
        self._stream = stream
        self._scope = scope
        self._receive = receive
        self._send = send
        self._guest = ClientProtocol(
            parse_uri("ws://sandbox/"),
            subprotocols=[Subprotocol(name) for name in scope["subprotocols"]] or None,
            max_size=MAX_MESSAGE_BYTES,
            logger=_log,
        )
        self._writing = asyncio.Lock()
        self._frames: list[Frame] = []
        self._message = bytearray()
        self._is_text = False
        self._failed = False

    # ── opening ──────────────────────────────────────────────────────────────────────────────────────

    async def open(self, stop: asyncio.Future[None]) -> bool:
        """False where the program refused, which the client has been told."""
        await self._receive()  # websocket.connect
        opening = asyncio.create_task(self._shake_hands(), name="ingress: open a WebSocket")
        leaving = asyncio.ensure_future(self._receive())
        ends: set[asyncio.Future[Any]] = {opening, leaving, stop}
        try:
            await asyncio.wait(ends, timeout=HANDSHAKE_S, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                response = opening.result()
            elif leaving.done():
                raise ClientDisconnect
            else:
                raise (
                    stopping()
                    if stop.done()
                    else DeadlineExceeded(f"the program in the sandbox did not answer for {HANDSHAKE_S:g} s")
                )
        finally:
            for task in (opening, leaving):
                task.cancel()
            await asyncio.wait(ends - {stop})
        return await self._accept(response)

    async def _shake_hands(self) -> Response:
        request = _request(self._scope, self._guest.connect())
        self._guest.send_request(request)
        await self._flush()
        while not (events := self._guest.events_received()) and self._guest.handshake_exc is None:
            await self._hear()
        error = self._guest.handshake_exc
        if not events or (error is not None and not isinstance(error, InvalidStatus)):
            raise BadAnswer(f"the program in the sandbox did not open a WebSocket: {error}")
        response, *frames = events
        assert isinstance(response, Response)  # noqa: S101
        self._frames = [frame for frame in frames if isinstance(frame, Frame)]
        return response

    async def _accept(self, response: Response) -> bool:
        try:
            raw = [(name.encode(), value.encode("latin-1")) for name, value in response.headers.raw_items()]
            passed = [item for item in headers.of_answer(raw) if item[0] not in _OURS]
        except ValueError as error:
            raise BadAnswer(
                f"the program in the sandbox answered with what cannot be passed on: {error}"
            ) from None
        if response.status_code == 101:
            protocol = self._guest.subprotocol
            await self._send({"type": "websocket.accept", "subprotocol": protocol, "headers": passed})
            return True
        if not 200 <= response.status_code < 600:
            raise BadAnswer(f"the program in the sandbox answered with status {response.status_code}")
        await self._send(
            {"type": "websocket.http.response.start", "status": response.status_code, "headers": passed}
        )
        await self._send({"type": "websocket.http.response.body", "body": bytes(response.body or b"")})
        return False

    # ── open ─────────────────────────────────────────────────────────────────────────────────────────

    async def converse(self, stop: asyncio.Future[None]) -> None:
        """Until one side leaves, or the server stops."""
        heard = asyncio.create_task(self._from_guest(), name="ingress: from the guest")
        told = asyncio.create_task(self._from_client(), name="ingress: from the client")
        ends: set[asyncio.Future[Any]] = {heard, told, stop}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if heard.done():
                await self._say_goodbye(heard.result())
            elif told.done():
                if told.result():
                    await asyncio.wait({heard}, timeout=CLOSE_S)
            else:
                await self._say_goodbye(_Goodbye(CloseCode.SERVICE_RESTART, "the server is stopping"))
                await self._leave(_Goodbye(CloseCode.GOING_AWAY))
        finally:
            for task in (heard, told):
                task.cancel()
            await asyncio.wait({heard, told})

    async def _from_guest(self) -> _Goodbye | None:
        """What to say to the client at the end; None where the connection just broke."""
        while True:
            for frame in self._frames:
                await self._deliver(frame)
            try:
                await self._flush()
                if self._failed or self._guest.close_rcvd is not None or self._guest.parser_exc is not None:
                    break
                await self._hear()
            except SandlotError:
                return None
            self._frames = [frame for frame in self._guest.events_received() if isinstance(frame, Frame)]
        return self._last_words()

    def _last_words(self) -> _Goodbye | None:
        received, sent = self._guest.close_rcvd, self._guest.close_sent
        if received is not None:
            code = None if received.code == CloseCode.NO_STATUS_RCVD else received.code
            return _Goodbye(code, received.reason)
        if sent is None:
            return None
        if sent.code == CloseCode.MESSAGE_TOO_BIG:
            return _Goodbye(sent.code, f"a message of the sandbox is larger than {MAX_MESSAGE_BYTES} bytes")
        return _Goodbye(CloseCode.INTERNAL_ERROR, "the program in the sandbox broke the protocol")

    async def _deliver(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._message += frame.data
        if not frame.fin:
            return
        data = bytes(self._message)
        self._message.clear()
        if not self._is_text:
            await self._send({"type": "websocket.send", "bytes": data})
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._guest.fail(CloseCode.INVALID_DATA, "text must be UTF-8")
            self._failed = True
        else:
            await self._send({"type": "websocket.send", "text": text})

    async def _from_client(self) -> bool:
        """Whether the client left in good order."""
        while (message := await self._receive())["type"] == "websocket.receive":
            # What a program does not take, it does not take: its own end says why.
            with suppress(SandlotError, InvalidState):
                if (text := message.get("text")) is not None:
                    self._guest.send_text(text.encode())
                else:
                    self._guest.send_binary(message["bytes"])
                await self._flush()
        code = message.get("code")
        if code == CloseCode.ABNORMAL_CLOSURE:
            return False
        known = None if code == CloseCode.NO_STATUS_RCVD else code
        await self._leave(_Goodbye(known, (message.get("reason") or "") if known else ""))
        return True

    async def _say_goodbye(self, goodbye: _Goodbye | None) -> None:
        """Without words the client's connection is cut, as the guest's was."""
        if goodbye is not None:
            message = {"type": "websocket.close", "code": goodbye.code, "reason": goodbye.reason}
            await self._send(message)

    async def _leave(self, goodbye: _Goodbye) -> None:
        with suppress(SandlotError, InvalidState, TimeoutError):
            self._guest.send_close(goodbye.code, goodbye.reason)
            async with asyncio.timeout(CLOSE_S):
                await self._flush()

    # ── bytes ────────────────────────────────────────────────────────────────────────────────────────

    async def _hear(self) -> None:
        try:
            data = await self._stream.read()
        except Unavailable as error:
            raise Broken("the connection to the program in the sandbox broke") from error
        if data:
            self._guest.receive_data(data)
        else:
            self._guest.receive_eof()

    async def _flush(self) -> None:
        """One at a time, so that frames do not mix. What waits here is one message and the pongs to what has
        been read: both sides wait for it.
        """
        async with self._writing:
            for data in self._guest.data_to_send():
                if data:
                    await self._stream.write(data)


def _request(scope: Scope, handshake: Request) -> Request:
    """Raises InvalidArgument for what cannot be said to the guest."""
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    passed = Headers()
    for name, value in headers.of_request(scope):
        if name not in _OURS:
            passed[name.decode("latin-1")] = value.decode("latin-1")
    for key, text in handshake.headers.raw_items():
        if key.lower() != "host":
            passed[key] = text
    try:
        return Request(target.decode("ascii"), passed)
    except UnicodeDecodeError:
        raise InvalidArgument("the address must be ASCII; escape other characters as %XX") from None
