"""The few things that asynchronous and blocking code do differently: the asynchronous half. See ``_sio``."""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from typing import IO, Any, TypeVar

import httpx

from ._config import Endpoint
from ._errors import SandboxTimeoutError
from ._http import client_options, handshake_errors, proxy_for, tls_for, websocket_url
from ._tar import PulledFile
from ._wire import CONNECT_TIMEOUT, pieces

T = TypeVar("T")
AsyncBody = (
    str | bytes | bytearray | memoryview | IO[bytes] | IO[str] | Iterable[bytes] | AsyncIterable[bytes]
)
AsyncCallback = Callable[[T], Awaitable[None] | None]

sleep = asyncio.sleep

_Clients = dict[Endpoint, tuple[httpx.AsyncClient, AsyncGenerator[None]]]
_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Clients] = weakref.WeakKeyDictionary()


async def shared_client(endpoint: Endpoint) -> httpx.AsyncClient:
    """The client of this endpoint on the running loop. It is closed when the loop ends."""
    loop = asyncio.get_running_loop()
    clients = _by_loop.setdefault(loop, {})
    if endpoint not in clients:
        client = httpx.AsyncClient(**client_options(endpoint))
        guard = _closed_with_loop(client, clients, endpoint)
        clients[endpoint] = (client, guard)
        await anext(guard)
    return clients[endpoint][0]


async def _closed_with_loop(
    client: httpx.AsyncClient, clients: _Clients, endpoint: Endpoint
) -> AsyncGenerator[None]:
    # A loop closes the asynchronous generators begun on it just before it ends (asyncio.run does, and all
    # its like): the one hook there is for closing sockets while the loop still runs.
    try:
        yield
    finally:
        clients.pop(endpoint, None)
        await client.aclose()


async def call(callback: AsyncCallback[T] | None, value: T) -> None:
    """Call a callback of the user, which may be a plain function or a coroutine function."""
    if callback is None:
        return
    answer = callback(value)
    if inspect.isawaitable(answer):
        await answer


async def run(function: Callable[..., T], *args: Any) -> T:
    """A blocking function, off the loop."""
    return await asyncio.to_thread(function, *args)


def content(data: AsyncBody) -> bytes | AsyncIterator[bytes]:
    """What the user gave to be written, as httpx takes it. Files and generators are read as they are sent."""
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    if isinstance(data, AsyncIterable):
        return aiter(data)
    return chunks(pieces(data))


async def chunks(source: Iterator[bytes]) -> AsyncIterator[bytes]:
    """A blocking iterator, read off the loop."""
    while chunk := await asyncio.to_thread(next, source, b""):
        yield chunk


async def feed(source: AsyncIterator[bytes], consume: Callable[[PulledFile], T]) -> T:
    """Run ``consume`` in a thread on a file that reads from ``source``.

    When cancelled, the thread ends first.
    """
    loop = asyncio.get_running_loop()
    pulls: list[Any] = []
    stopped = False

    async def following() -> bytes:
        return await anext(source, b"")

    def pull() -> bytes:
        if stopped:
            raise InterruptedError("the transfer was cancelled")
        pulls[:] = [asyncio.run_coroutine_threadsafe(following(), loop)]
        data: bytes = pulls[0].result()
        return data

    thread = asyncio.ensure_future(asyncio.to_thread(consume, PulledFile(pull)))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        stopped = True
        for one in pulls:
            one.cancel()
        await asyncio.wait([thread])
        if not thread.cancelled():
            thread.exception()
        raise


class AsyncSocket:
    """A WebSocket to the server: text frames as ``str``, binary ones as ``bytes``, None when it is closed."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, endpoint: Endpoint, path: str) -> AsyncSocket:
        from websockets.asyncio.client import connect

        with handshake_errors(endpoint):
            connection = await connect(
                websocket_url(endpoint, path),
                additional_headers=endpoint.headers,
                open_timeout=CONNECT_TIMEOUT,
                compression=None,
                proxy=proxy_for(endpoint),
                ssl=tls_for(endpoint),
            )
        return cls(connection)

    async def receive(self, timeout: float | None) -> str | bytes | None:
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(timeout):
                data: str | bytes = await self._connection.recv()
                return data
        except TimeoutError:
            raise SandboxTimeoutError(f"the terminal wrote nothing for {timeout:g} s") from None
        except ConnectionClosed:
            return None

    async def send(self, data: str | bytes) -> None:
        await self._connection.send(data)

    async def close(self) -> None:
        await self._connection.close()
