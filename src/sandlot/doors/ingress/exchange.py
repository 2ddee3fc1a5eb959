"""One HTTP request to a port of a sandbox, and its answer, both as streams.

Back-pressure reaches from one end to the other: the next piece is asked for when the last one was taken.
Bytes of the guest are hostile; h11 parses them, within bounds, and what it does not understand is no answer.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from sandlot.doors.ingress import headers
from sandlot.doors.ingress.refusals import BadAnswer, Broken
from sandlot.doors.streaming import ResponseAborted, stopping
from sandlot.errors import DeadlineExceeded, InvalidArgument, SandlotError, Unavailable
from sandlot.node.agent import PortStream

ANSWER_S: Final = 600.0
"""So long nothing may move in either direction before the answer has begun."""
IDLE_S: Final = 3600.0
"""And after: event streams may be silent for long."""
GRACE_S: Final = 1.0
"""What an answer under way has to end in when the server stops."""
MAX_QUOTED: Final = 200
_MAX_INFORMATIONAL: Final = 16


async def exchange(
    stream: PortStream, scope: Scope, receive: Receive, send: Send, stop: asyncio.Future[None]
) -> None:
    """Raises BadAnswer, DeadlineExceeded, InvalidArgument, Unavailable before anything was answered, and
    ResponseAborted after; ClientDisconnect when the client left.
    """
    await _Exchange(stream, scope, receive, send).run(stop)


class _Exchange:
    def __init__(self, stream: PortStream, scope: Scope, receive: Receive, send: Send) -> None:
        self._stream = stream
        self._scope = scope
        self._receive = receive
        self._send = send
        self._begun = False
        self._guest = h11.Connection(h11.CLIENT, max_incomplete_event_size=headers.MAX_HEADER_BYTES)
        self._patience = asyncio.timeout(ANSWER_S)

    async def run(self, stop: asyncio.Future[None]) -> None:
        try:
            async with self._patience:
                await self._both_ways(_request(self._scope), stop)
        except TimeoutError:
            self._give_up(DeadlineExceeded(f"nothing came from the sandbox for {ANSWER_S:g} s"))
        except SandlotError as error:
            self._give_up(error)

    def _give_up(self, error: SandlotError) -> None:
        if self._begun:
            raise ResponseAborted(error.message) from error
        raise error

    async def _both_ways(self, request: h11.Request, stop: asyncio.Future[None]) -> None:
        asking = asyncio.create_task(self._ask(request), name="ingress: request")
        answering = asyncio.create_task(self._answer(), name="ingress: answer")
        both = {asking, answering}
        try:
            await asyncio.wait({*both, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                await asyncio.wait(both, timeout=GRACE_S, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
            elif asking.done():
                asking.result()
            else:
                raise stopping()
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)

    # ── the request ──────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, request: h11.Request) -> None:
        """Ends with the client: raises ClientDisconnect."""
        try:
            await self._write(request)
            more = True
            while more:
                message = await self._received()
                if body := message.get("body", b""):
                    await self._write(h11.Data(data=body))
                more = message.get("more_body", False)
            await self._write(h11.EndOfMessage())
        except (SandlotError, h11.LocalProtocolError):
            pass  # the program takes no more of it, and may answer all the same
        while True:
            await self._received()

    async def _received(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message

    async def _write(self, event: h11.Event) -> None:
        if data := self._guest.send(event):
            await self._stream.write(data)
        self._moved()

    # ── the answer ───────────────────────────────────────────────────────────────────────────────────

    async def _answer(self) -> None:
        try:
            await self._pass_on()
        except h11.RemoteProtocolError as error:
            said = str(error)[:MAX_QUOTED]
            raise BadAnswer(f"the program in the sandbox did not answer with HTTP: {said}") from error

    async def _pass_on(self) -> None:
        response = await self._head()
        await self._send(_start(response))
        self._begun = True
        while isinstance(event := await self._next(), h11.Data):
            await self._send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _head(self) -> h11.Response:
        for _ in range(_MAX_INFORMATIONAL):
            event = await self._next()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
        raise BadAnswer("the program in the sandbox did not answer with HTTP: there is no final status")

    async def _next(self) -> h11.Event:
        while (event := self._guest.next_event()) is h11.NEED_DATA:
            self._guest.receive_data(await self._read())
            self._moved()
        if not isinstance(event, h11.Event):
            raise BadAnswer("the program in the sandbox did not answer with HTTP: it goes on after its end")
        return event

    async def _read(self) -> bytes:
        try:
            return await self._stream.read()
        except Unavailable as error:
            raise Broken("the connection to the program in the sandbox broke") from error

    def _moved(self) -> None:
        if not self._patience.expired():
            patience = IDLE_S if self._begun else ANSWER_S
            self._patience.reschedule(asyncio.get_running_loop().time() + patience)


def _request(scope: Scope) -> h11.Request:
    """Raises InvalidArgument for what cannot be said to the guest."""
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    passed = headers.of_request(scope)
    if (coding := headers.first(scope["headers"], b"transfer-encoding")) is not None:
        if coding.lower() != b"chunked":
            raise InvalidArgument(f"transfer-encoding {coding.decode('latin-1')!r} is not known here")
        passed = [item for item in passed if item[0] != b"content-length"]
        passed.append((b"transfer-encoding", b"chunked"))
    try:
        return h11.Request(
            method=scope["method"], target=target, headers=[*passed, (b"connection", b"close")]
        )
    except h11.LocalProtocolError as error:
        raise InvalidArgument(f"this request cannot be passed on: {error}") from None


def _start(response: h11.Response) -> Message:
    if response.status_code >= 600:
        raise BadAnswer(f"the program in the sandbox answered with status {response.status_code}")
    try:
        passed = headers.of_answer(response.headers)
    except ValueError as error:
        raise BadAnswer(
            f"the program in the sandbox answered with what cannot be passed on: {error}"
        ) from None
    chunked = headers.first(response.headers, b"transfer-encoding") is not None
    if chunked or response.status_code in (204, 304):
        passed = [item for item in passed if item[0] != b"content-length"]
    return {"type": "http.response.start", "status": response.status_code, "headers": passed}
