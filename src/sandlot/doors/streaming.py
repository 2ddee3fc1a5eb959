"""Responses whose bodies are made while they are sent. Shared by all doors.

Back-pressure is the transport's: the next item is asked for only when the last one has been taken, so a
client that does not read holds one item here, and the guest stops. A client that goes away is noticed at
once, also while nothing is being sent, and the source is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Generic, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandlot.errors import GuestError, Unavailable

T = TypeVar("T")

BREATH = 8
"""How many items of a source that is always ready are sent before others on the loop have their turn."""

FAREWELL_S = 2.0
"""How long a client may take to read a stream's last words when the server stops."""


class ResponseAborted(ConnectionError):
    """Raised out of the application so that the connection is cut: what was sent is not the whole."""


class Streams:
    """The streams now open, so that a stopping server can end each with a word of why."""

    def __init__(self) -> None:
        self._stops: set[asyncio.Future[None]] = set()
        self._stopping = False
        self._last_left = asyncio.Event()

    @property
    def open(self) -> int:
        """How many."""
        return len(self._stops)

    @contextmanager
    def joined(self) -> Iterator[asyncio.Future[None]]:
        """A future that is done when this stream has to end."""
        stop = asyncio.get_running_loop().create_future()
        if self._stopping:
            stop.set_result(None)
        self._stops.add(stop)
        try:
            yield stop
        finally:
            self._stops.discard(stop)
            if not self._stops:
                self._last_left.set()

    def stop(self) -> None:
        """End every stream, and each that is opened later."""
        self._stopping = True
        for stop in self._stops:
            if not stop.done():
                stop.set_result(None)

    async def ended(self, timeout_s: float) -> None:
        """Wait until the streams have said their last words, or ``timeout_s`` is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._stops:
                    self._last_left.clear()
                    await self._last_left.wait()


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` gives; it is cancelled, and ClientDisconnect raised, when the client leaves before.

    To be called when the whole body has been received.
    """
    working = asyncio.create_task(work, name="work for a client")
    gone = asyncio.create_task(_disconnected(receive), name="work: wait for disconnect")
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.wait({working, gone})


async def exactly(chunks: AsyncGenerator[bytes, None], length: int) -> AsyncGenerator[bytes, None]:
    """Raises GuestError where they end before ``length`` bytes."""
    async with aclosing(chunks):
        async for chunk in chunks:
            length -= len(chunk)
            yield chunk
    if length > 0:
        raise GuestError(f"the source ended {length} bytes early: it changed while it was read")


def stopping() -> Unavailable:
    """What a stream says when the server ends it."""
    return Unavailable(
        "the server is stopping; sandboxes and their commands go on, connect again in a moment"
    )


class Stream(Response, Generic[T]):
    """Sends ``first``, then each of ``items``, encoded.

    Without ``first`` the status waits for the first item (at most ``keepalive_s``, or ``status_s`` where that
    is given), so that what goes wrong before it is an ordinary error answer. Later errors become
    ``last_words`` where the protocol has some, and cut the connection where it has none.

    ``close`` is awaited in every case, also where no item was ever asked for.
    """

    def __init__(
        self,
        items: AsyncIterator[T],
        encode: Callable[[T], bytes],
        *,
        streams: Streams,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        first: bytes | None = None,
        close: Callable[[], Awaitable[Any]] | None = None,
        keepalive: bytes | None = None,
        keepalive_s: float = 15.0,
        status_s: float | None = None,
        last_words: Callable[[Exception], Awaitable[bytes]] | None = None,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})
        self._items = items
        self._encode = encode
        self._streams = streams
        self._first = first
        self._close = close
        self._keepalive = keepalive
        self._keepalive_s = keepalive_s
        self._status_s = status_s
        self._last_words = last_words
        self._started = False
        self._concluded = False
        self._sending = asyncio.Lock()
        self._sent_at = 0.0
        self._opened_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._opened_at = self._sent_at = _now()
        try:
            with self._streams.joined() as stop:
                await self._serve(receive, send, stop)
        finally:
            await self._release()

    async def _serve(self, receive: Receive, send: Send, stop: asyncio.Future[None]) -> None:
        pump = asyncio.create_task(self._pump(send), name="stream")
        gone = asyncio.create_task(_disconnected(receive), name="stream: wait for disconnect")
        try:
            while not pump.done() and not gone.done() and not stop.done():
                await asyncio.wait(
                    {pump, gone, stop}, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED
                )
                if not pump.done() and not gone.done():
                    await self._begin(send)
                    await self._keep_alive(send)
        finally:
            left = gone.done()
            broken = await _ended(pump)
            await _ended(gone)
        if not left:
            await self._finish(send, stopping() if pump.cancelled() else broken)

    async def _pump(self, send: Send) -> None:
        if self._first is not None:
            await self._send(send, self._first)
        sent = 0
        async for item in self._items:
            await self._send(send, self._encode(item))
            sent += 1
            if sent % BREATH == 0:
                # A source that is always ready, before a client that is gone, would never let go of the loop.
                await asyncio.sleep(0)
        # Here and not once the pump is seen to have ended: so the end leaves together with the last item.
        async with self._sending:
            await self._conclude(send)

    async def _send(self, send: Send, body: bytes) -> None:
        async with self._sending:
            await self._start(send)
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._sent_at = _now()

    async def _start(self, send: Send) -> None:
        if not self._started:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            self._started = True

    def _patience(self) -> float | None:
        due = []
        if self._keepalive is not None:
            due.append(self._sent_at + self._keepalive_s)
        if self._status_s is not None and not self._started:
            due.append(self._opened_at + self._status_s)
        return max(0.0, min(due) - _now()) if due else None

    async def _begin(self, send: Send) -> None:
        if self._status_s is not None and _now() >= self._opened_at + self._status_s:
            async with self._sending:
                await self._start(send)

    async def _keep_alive(self, send: Send) -> None:
        if self._keepalive is None:
            return
        if self._sending.locked():
            # The client has not yet taken the last piece: it is not the one that is kept waiting.
            self._sent_at = _now()
        elif _now() >= self._sent_at + self._keepalive_s:
            await self._send(send, self._keepalive)

    async def _finish(self, send: Send, broken: BaseException | None) -> None:
        if broken is not None:
            if not self._started:
                raise broken
            if self._last_words is None or not isinstance(broken, Exception):
                raise ResponseAborted(str(broken)) from broken
            await self._say(send, await self._last_words(broken))
        await self._conclude(send)

    async def _conclude(self, send: Send) -> None:
        if not self._concluded:
            self._concluded = True
            await self._start(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _say(self, send: Send, words: bytes) -> None:
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._send(send, words)
        except TimeoutError as error:
            raise ResponseAborted("the client does not read") from error

    async def _release(self) -> None:
        aclose = getattr(self._items, "aclose", None)
        if aclose is not None:
            await aclose()
        if self._close is not None:
            await self._close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(task: asyncio.Task[None]) -> BaseException | None:
    """Cancel ``task`` where it still runs, wait for it; its error, None where it has none."""
    task.cancel()
    await asyncio.wait({task})
    return None if task.cancelled() else task.exception()


def _now() -> float:
    return asyncio.get_running_loop().time()
