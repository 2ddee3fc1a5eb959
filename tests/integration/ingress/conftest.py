from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandlot import Sandbox
from sandlot.server.local import LocalServer

PATIENCE_S = 60.0
GUEST_SERVER = Path(__file__).with_name("guest_server.py")
Reach = Callable[..., httpx.Client]

HOSTILE: dict[int, bytes] = {
    4001: b"SSH-2.0-OpenSSH_9.2\r\n",
    4002: b"",
    4003: b"HTTP/1.1 200 OK\r\n",
    4004: b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 20_000 + b"\r\n",
    4005: b"HTTP/1.1 200 OK\r\nx-a: " + b"b" * 200_000,
    4006: b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    4007: b"HTTP/1.1 200 OK\r\nx-a: a\x01b\r\ncontent-length: 0\r\n\r\n",
    4008: b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
    4009: b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    4010: b"HTTP/1.1 101 Switching Protocols\r\nupgrade: nothing\r\n\r\n",
    4011: b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx",
    4012: b"HTTP/1.1 200 OK\r\nx a: b\r\n\r\n",
}
"""Answers that are none, by the port that gives them: each is a 502."""
CUT_SHORT: dict[int, bytes] = {
    4101: b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nfive.",
    4102: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive.\r\nzz\r\n",
    4103: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive.\r\n",
}
"""Answers that begin well and end badly: the client must not take them for whole."""
TWO_LENGTHS = 4201
"""A port that announces 500 bytes and chunks: the chunks count, or two readers would read two answers."""


@pytest.fixture(scope="module")
def sandbox(server: LocalServer) -> Iterator[Sandbox]:
    """One with the server of ``guest_server.py`` in it."""
    with Sandbox.create(timeout=1800) as sandbox:
        start_server(sandbox)
        yield sandbox


def start_server(sandbox: Sandbox) -> None:
    both = (
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive.\r\n0\r\n\r\n"
    )
    answers = {**HOSTILE, **CUT_SHORT, TWO_LENGTHS: both}
    for port, data in answers.items():
        sandbox.files.write(f"/tmp/{port}", data)
    sandbox.files.write("/tmp/guest_server.py", GUEST_SERVER.read_bytes())
    arguments = " ".join(f"{port}=/tmp/{port}" for port in answers)
    command = sandbox.commands.start(f"exec python3 -u /tmp/guest_server.py {arguments}", timeout=None)
    first = next(iter(command))
    assert first.data == b"ready", first
    command.detach()


@pytest.fixture
def reach(server: LocalServer) -> Iterator[Reach]:
    """A client for a port of a sandbox, by its host name: what a browser would send."""
    clients: list[httpx.Client] = []

    def client(sandbox_id: str, port: int = 3000, **options: Any) -> httpx.Client:
        headers = {"host": f"{port}-{sandbox_id}.localhost:{server.port}", **options.pop("headers", {})}
        clients.append(httpx.Client(base_url=server.url, headers=headers, timeout=PATIENCE_S, **options))
        return clients[-1]

    yield client
    for each in clients:
        each.close()
