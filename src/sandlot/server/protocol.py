"""HTTP/1.1 by uvicorn, with the limits it lacks: on the size and time of heads, and on stalled readers."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandlot.doors.encoding import to_json
from sandlot.doors.native.errors import ErrorBody, ErrorDetail


class GuardedHttp(HttpToolsProtocol):
    """One connection.

    * A request's head must be complete within ``header_timeout_s`` and ``max_header_bytes``.
    * A client that takes nothing of an answer for ``send_idle_timeout_s`` is cut off.

    What is not HTTP gets this API's error shape, like everything else.
    """

    header_timeout_s: ClassVar[float] = 10.0
    send_idle_timeout_s: ClassVar[float] = 300.0
    max_header_bytes: ClassVar[int] = 64 * 1024

    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > self.max_header_bytes and not self.transport.is_closing():
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        if self._head_timer is None:
            self._arm_head_timer()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        # Each with its colon, space and line end: many small ones are as large as a large one.
        size = sum(len(name) + len(value) + 4 for name, value in self.headers) + len(self.url)
        if size > self.max_header_bytes:
            self._refuse_head()
        else:
            super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self.loop.call_later(self.send_idle_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(400, "Bad Request", "invalid_argument", "this is not a valid HTTP/1.1 request")

    def _arm_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.header_timeout_s, self._head_too_slow)

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # The next request is begun while an answer is still on its way: the answer comes first.
            self._arm_head_timer()
        elif self._head_bytes == 0:
            self.transport.close()
        else:
            message = f"the request's head was not complete after {self.header_timeout_s:g} s"
            self._refuse(408, "Request Timeout", "request_timeout", message)

    def _refuse_head(self) -> None:
        message = f"the request's head is larger than {self.max_header_bytes} bytes"
        self._refuse(431, "Request Header Fields Too Large", "too_large", message)

    def _refuse(self, status: int, phrase: str, code: str, message: str) -> None:
        body = to_json(ErrorBody(ErrorDetail(code, message)))
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _disarm(self) -> None:
        for timer in (self._head_timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._send_timer = None


def guarded(**limits: Any) -> type[asyncio.Protocol]:
    """``GuardedHttp`` with these limits; uvicorn makes the connections itself and takes a class."""
    return type("GuardedHttp", (GuardedHttp,), limits)
