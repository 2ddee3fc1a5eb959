"""The few things that asynchronous and blocking code do differently: the blocking half. See ``_aio``."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypeVar

import httpx

from ._config import Endpoint
from ._errors import SandboxTimeoutError
from ._http import client_options, handshake_errors, proxy_for, tls_for, websocket_url
from ._tar import PulledFile
from ._wire import CONNECT_TIMEOUT, pieces

T = TypeVar("T")
Body = str | bytes | bytearray | memoryview | IO[bytes] | IO[str] | Iterable[bytes]
Callback = Callable[[T], None]

sleep = time.sleep

_clients: dict[Endpoint, httpx.Client] = {}
_lock = threading.Lock()


def shared_client(endpoint: Endpoint) -> httpx.Client:
    """The client of this endpoint in this process. It is closed when the process ends."""
    client = _clients.get(endpoint)
    if client is None:
        with _lock:
            client = _clients.setdefault(endpoint, httpx.Client(**client_options(endpoint)))
    return client


def _close_all() -> None:
    for client in _clients.values():
        client.close()


def _forget_all() -> None:
    global _lock
    _lock = threading.Lock()
    _clients.clear()


atexit.register(_close_all)
# Two processes that share a socket would read each other's answers.
os.register_at_fork(after_in_child=_forget_all)


def call(callback: Callback[T] | None, value: T) -> None:
    """Call a callback of the user."""
    if callback is not None:
        callback(value)


def run(function: Callable[..., T], *args: Any) -> T:
    """A blocking function."""
    return function(*args)


def content(data: Body) -> bytes | Iterator[bytes]:
    """What the user gave to be written, as httpx takes it. Files and generators are read as they are sent."""
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    return chunks(pieces(data))


def chunks(source: Iterator[bytes]) -> Iterator[bytes]:
    """A blocking iterator."""
    return source


def feed(source: Iterator[bytes], consume: Callable[[PulledFile], T]) -> T:
    """Run ``consume`` on a file that reads from ``source``."""
    return consume(PulledFile(lambda: next(source, b"")))


class Socket:
    """A WebSocket to the server: text frames as ``str``, binary ones as ``bytes``, None when it is closed."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, endpoint: Endpoint, path: str) -> Socket:
        from websockets.sync.client import connect

        with handshake_errors(endpoint):
            connection = connect(
                websocket_url(endpoint, path),
                additional_headers=endpoint.headers,
                open_timeout=CONNECT_TIMEOUT,
                compression=None,
                proxy=proxy_for(endpoint),
                ssl=tls_for(endpoint),
                legacy=True,
            )
        return cls(connection)

    def receive(self, timeout: float | None) -> str | bytes | None:
        from websockets.exceptions import ConnectionClosed

        try:
            data: str | bytes = self._connection.recv(timeout)
            return data
        except TimeoutError:
            raise SandboxTimeoutError(f"the terminal wrote nothing for {timeout:g} s") from None
        except ConnectionClosed:
            return None

    def send(self, data: str | bytes) -> None:
        self._connection.send(data)

    def close(self) -> None:
        self._connection.close()
