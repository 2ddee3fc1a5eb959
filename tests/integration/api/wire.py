"""What the tests of the bare HTTP API say and hear: one shape for errors, and clients that misbehave."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import httpx

from sandlot.server.local import LocalServer

PATIENCE_S = 60.0
SANDBOXES = "/v1/sandboxes"


def refused(answer: httpx.Response, status: int, code: str, *words: str) -> dict[str, Any]:
    """``answer`` is this error, in the API's shape, and its message has ``words``; its detail."""
    assert answer.status_code == status, answer.text[:500]
    return named(answer.json(), code, *words)


def named(body: Mapping[str, Any], code: str, *words: str) -> dict[str, Any]:
    assert body.keys() == {"error"}
    error = dict(body["error"])
    assert error.keys() <= {"code", "message", "details"}
    assert error["code"] == code, error
    lost = [word for word in words if word not in error["message"]]
    assert not lost, f"{lost} not in {error['message']!r}"
    return error


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text[:500]
    return [json.loads(line) for line in answer.text.splitlines()]


def until(condition: Callable[[], Any], what: str) -> Any:
    """What ``condition`` gives, once it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.05)
    return found


class RawClient:
    """One connection to the server, with nothing between the test and the bytes."""

    def __init__(
        self, server: LocalServer, *, receive_buffer: int | None = None, key: str | None = None
    ) -> None:
        """``key``: the server's first one if none is given."""
        self._key = key or server.key
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(("127.0.0.1", server.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_what_fits(self, data: bytes) -> None:
        """As much as is taken before the server closes, or its answers must be read first."""
        self._socket.setblocking(False)
        try:
            while data:
                data = data[self._socket.send(data) :]
        except (BlockingIOError, ConnectionError):
            pass
        finally:
            self._socket.settimeout(PATIENCE_S)

    def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        length: int | None = None,
        headers: str = "",
    ) -> None:
        """Send a request: with ``body`` as JSON, or with the promise of ``length`` bytes to follow."""
        content = b"" if body is None else json.dumps(body).encode()
        self.send(
            f"{method} {target} HTTP/1.1\r\nhost: sandlot\r\nx-api-key: {self._key}\r\n{headers}"
            f"content-length: {len(content) if length is None else length}\r\n\r\n".encode()
            + content
        )

    def read_until(self, mark: bytes) -> bytes:
        """All up to ``mark`` and what came with it."""
        seen = b""
        while mark not in seen:
            piece = self._socket.recv(65536)
            assert piece, f"closed before {mark!r}: {seen[-500:]!r}"
            seen += piece
        return seen

    def read_some(self, size: int) -> None:
        while size > 0:
            piece = self._socket.recv(min(size, 65536))
            assert piece, "closed too early"
            size -= len(piece)

    def answer(self) -> tuple[int, dict[str, Any]]:
        """The status and JSON of an answer after which the server closes."""
        seen = self.rest()
        head, _, body = seen.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    def rest(self) -> bytes:
        """All until the server closes."""
        return b"".join(iter(lambda: self._socket.recv(65536), b""))

    def is_answered(self) -> bool:
        """Whether a part of an answer has come."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable)

    def vanish(self, how: str) -> None:
        """``closed``: as when a program ends. ``reset``: as when it is killed with data unread."""
        if how == "reset":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
