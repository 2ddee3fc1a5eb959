"""HTTP/1.1 by uvicorn, with the limits it lacks: on heads, on what waits, and on how many connect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandlot.doors.encoding import to_json
from sandlot.doors.errors import RETRY_AFTER_S
from sandlot.doors.native.errors import ErrorBody, ErrorDetail
from sandlot.server.connections import Connections


class _Enough(Exception):
    """Raised into the parser, which then takes no more."""


class GuardedHttp(HttpToolsProtocol):
    """One connection.

    * A request's head must be complete within ``header_timeout_s`` and ``max_header_bytes``.
    * A client that takes nothing of an answer for ``send_idle_timeout_s`` is cut off.
    * At most ``max_pipelined`` requests wait for the answers before theirs. After these the connection is
      closed, and the client sends the others anew, as HTTP foresees.
    * A body that goes on after its answer must end within ``header_timeout_s``, too.
    * One of ``others`` gives way to it where there are too many, or it is turned away.

    What is not HTTP gets this API's error shape, like everything else.
    """

    others: ClassVar[Connections]

    header_timeout_s: ClassVar[float] = 10.0
    send_idle_timeout_s: ClassVar[float] = 300.0
    max_header_bytes: ClassVar[int] = 64 * 1024
    max_headers: ClassVar[int] = 256
    max_pipelined: ClassVar[int] = 64

    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_body = False
    _head_bytes = 0
    _upgraded = False
    _on_enough: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        held = len(self.connections)
        super().connection_made(transport)
        self._arm_head_timer()
        if self.others.admit(self, held):
            # A door calls it once a key was shown.
            self.app_state = {**self.app_state, "on_key": lambda: self.others.recognise(self)}
        else:
            self._refuse_for_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.others.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing() or self._upgraded:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_header_bytes:
                self._refuse_head()
        if not self._is_serving() and self._head_timer is None and self.timeout_keep_alive_task is None:
            # What came ended uvicorn's wait for a next request, and may not be the beginning of one.
            self._arm_head_timer()

    def handle_websocket_upgrade(self) -> None:
        self._upgraded = True
        self._disarm()
        self.others.forget(self)
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        if self._head_timer is None:
            self._arm_head_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > self.max_headers:
            self._stop_parsing(self._refuse_head)

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_body = True
        self.others.work(self)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        # Each with its colon, space and line end: many small ones are as large as a large one.
        size = sum(len(name) + len(value) + 4 for name, value in self.headers) + len(self.url)
        if size > self.max_header_bytes:
            self._stop_parsing(self._refuse_head)
        if len(self.pipeline) >= self.max_pipelined:
            self._stop_parsing(self._close_after_those)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_serving() or self.transport.is_closing():
            return
        self.others.rest(self)
        if self._in_body:
            self._unset_keepalive_if_required()
            self._arm_head_timer()

    def give_way(self) -> None:
        if self._is_serving() or self.transport.get_write_buffer_size() > 0:
            self.transport.abort()
        elif self._in_head and self._head_bytes > 0:
            self._refuse_for_room()
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self.loop.call_later(self.send_idle_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def send_400_response(self, msg: str) -> None:
        if self.transport.is_closing():
            return
        if self._on_enough is not None:
            self._on_enough()
        else:
            self._refuse(400, "Bad Request", "invalid_argument", "this is not a valid HTTP/1.1 request")

    def _stop_parsing(self, then: Callable[[], None]) -> NoReturn:
        self._on_enough = then
        raise _Enough

    def _is_serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_after_those(self) -> None:
        self.cycle.keep_alive = False

    def _arm_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.header_timeout_s, self._head_too_slow)

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self._is_serving():
            # The next request is begun while an answer is still on its way: the answer comes first.
            self._arm_head_timer()
        elif not self._in_head or self._head_bytes == 0:
            self.transport.close()
        else:
            message = f"the request's head was not complete after {self.header_timeout_s:g} s"
            self._refuse(408, "Request Timeout", "request_timeout", message)

    def _refuse_head(self) -> None:
        message = (
            f"the request's head is larger than {self.max_header_bytes} bytes or {self.max_headers} lines"
        )
        self._refuse(431, "Request Header Fields Too Large", "too_large", message)

    def _refuse_for_room(self) -> None:
        message = "the server has as many connections as it takes; try again in a moment"
        self._refuse(
            503, "Service Unavailable", "unavailable", message, headers=f"retry-after: {RETRY_AFTER_S}\r\n"
        )

    def _refuse(self, status: int, phrase: str, code: str, message: str, headers: str = "") -> None:
        body = to_json(ErrorBody(ErrorDetail(code, message)))
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{headers}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _disarm(self) -> None:
        for timer in (self._head_timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._send_timer = None


def guarded(*, max_connections: int = 4096, **limits: Any) -> type[asyncio.Protocol]:
    """``GuardedHttp`` with these limits; uvicorn makes the connections itself and takes a class."""
    return type("GuardedHttp", (GuardedHttp,), {"others": Connections(max_connections), **limits})
