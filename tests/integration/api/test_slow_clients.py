"""A thousand clients that never get done, beside one who works: that one notices nothing.

The server has fewer connections than they ask for, and began with fewer open files than it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .test_crowd import HALF_OPEN, resident_bytes
from .wire import PATIENCE_S, SANDBOXES, RawClient, lines, named, until

MIB = 1024 * 1024
CONNECTIONS = 300
THOUSAND = 1000
KEY_HOLDERS = 100

STRANGERS = {
    "nothing": b"",
    "half a line": b"GET /v1/sand",
    "half a head": b"GET /v1/sandboxes HTTP/1.1\r\nhost: x\r\nx-api-key: sl_",
    "half a body": b"POST /v1/sandboxes HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{",
    "half a chunk": b"POST /v1/sandboxes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{",
    "half an upgrade": b"GET /v1/sandboxes/x/terminal HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade",
    "an unread page": b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 20,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}


@pytest.fixture(scope="module")
def small(footprint: Footprint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    local = LocalServer(
        tmp_path_factory.mktemp("small"),
        TEMPLATES_DIR,
        through=["prlimit", "--nofile=200:2048"],
        SANDLOT_MAX_CONNECTIONS=str(CONNECTIONS),
        SANDLOT_HEADER_TIMEOUT_S="3",
        SANDLOT_BODY_IDLE_TIMEOUT_S="3",
        SANDLOT_SEND_IDLE_TIMEOUT_S="5",
        SANDLOT_KEEP_ALIVE_S="5",
    )
    local.start()
    try:
        yield local
    finally:
        local.end()


@pytest.fixture(scope="module")
def worker(small: LocalServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=small.url, headers={"X-API-Key": small.key}, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def box(worker: httpx.Client) -> str:
    body = {"isolation": "container", "timeout_s": 1800}
    return f"{SANDBOXES}/{worker.post(SANDBOXES, json=body).raise_for_status().json()['id']}"


def open_sockets(server: LocalServer) -> int:
    found = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            found += "socket" in str(link.readlink())
    return found


def crowd(stack: ExitStack, server: LocalServer, size: int = THOUSAND) -> None:
    """Each kind in turn; they connect, say what they say, and stay."""
    kinds = list(STRANGERS.values())
    for number in range(size):
        stack.enter_context(RawClient(server, receive_buffer=4096)).send(kinds[number % len(kinds)])


def test_work_goes_on_beside_a_thousand_who_never_finish(
    small: LocalServer, worker: httpx.Client, box: str
) -> None:
    assert lines(worker.post(f"{box}/commands", json={"command": "exit 3"}))[-1]["exit_code"] == 3
    before, sockets = resident_bytes(small), open_sockets(small)
    with ExitStack() as stack:
        for number in range(KEY_HOLDERS):
            client = stack.enter_context(RawClient(small))
            client.ask("PUT", f"{box}/files?path=half-{number}", length=MIB)
            client.send(b"half")
        crowd(stack, small)
        for _ in range(5):
            assert lines(worker.post(f"{box}/commands", json={"command": "exit 3"}))[-1]["exit_code"] == 3
        made = worker.post(SANDBOXES, json={"isolation": "container"}).raise_for_status().json()
        assert worker.delete(f"{SANDBOXES}/{made['id']}").json() == {"killed": True}
        # Some more: those who are just being told that there is no room.
        assert open_sockets(small) <= sockets + CONNECTIONS + 8
        assert resident_bytes(small) < before + 64 * MIB
        until(
            lambda: open_sockets(small) <= sockets + 40, "the connections being let go, their clients there"
        )
    until(lambda: open_sockets(small) <= sockets + 8, "the rest of the connections being let go")


def test_many_who_never_finish_their_request(small: LocalServer, worker: httpx.Client, box: str) -> None:
    before = resident_bytes(small)
    with ExitStack() as stack:
        crowd = [stack.enter_context(RawClient(small)) for _ in range(HALF_OPEN)]
        for number, client in enumerate(crowd):
            client.send(f"GET {SANDBOXES} HTTP/1.1\r\nhost: half-open-{number}\r\n".encode())
        for _ in range(5):
            assert lines(worker.post(f"{box}/commands", json={"command": "exit 3"}))[-1]["exit_code"] == 3
        assert resident_bytes(small) < before + 32 * MIB
        for client in crowd:
            status, body = client.answer()
            assert status == 408
            named(body, "request_timeout", "head", "3 s")


def test_many_who_say_nothing_are_let_go(small: LocalServer, worker: httpx.Client, box: str) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(RawClient(small)) for _ in range(HALF_OPEN)]
        assert lines(worker.post(f"{box}/commands", json={"command": "exit 3"}))[-1]["exit_code"] == 3
        for client in crowd:
            assert client.rest() == b""


def test_one_who_never_finishes_a_body(small: LocalServer, worker: httpx.Client, box: str) -> None:
    """Of an upload, whose old content stays; a request of JSON is the same to the server."""
    worker.put(f"{box}/files?path=kept", content=b"old").raise_for_status()
    with RawClient(small) as upload, RawClient(small) as request:
        upload.ask("PUT", f"{box}/files?path=kept", length=MIB)
        upload.send(b"new")
        request.ask("POST", SANDBOXES, length=MIB)
        request.send(b'{"template": ')
        for client in (upload, request):
            status, body = client.answer()
            assert status == 408
            named(body, "request_timeout", "body", "3 s")
    assert worker.get(f"{box}/files?path=kept").content == b"old"


def test_a_stream_stays_while_a_thousand_come(small: LocalServer, worker: httpx.Client, box: str) -> None:
    with RawClient(small) as listener, ExitStack() as stack:
        listener.ask(
            "POST", f"{box}/commands", {"command": "until [ -e go ]; do sleep 0.05; done; echo gone"}
        )
        listener.read_until(b'"started"')
        crowd(stack, small)
        worker.put(f"{box}/files", params={"path": "go"}).raise_for_status()
        assert b'"exit_code":0' in listener.read_until(b'"exit"')


def test_ten_thousand_requests_in_one_write(small: LocalServer, worker: httpx.Client, box: str) -> None:
    before = resident_bytes(small)
    with RawClient(small) as client:
        request = f"GET {box} HTTP/1.1\r\nhost: x\r\nx-api-key: {small.key}\r\n\r\n"
        client.send_what_fits(request.encode() * 10_000)
        assert lines(worker.post(f"{box}/commands", json={"command": "exit 3"}))[-1]["exit_code"] == 3
        assert resident_bytes(small) < before + 32 * MIB
        answers = client.rest()
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b'"state":"running"') > 0
    assert b"connection: close" in answers


def test_many_headers(small: LocalServer) -> None:
    with RawClient(small) as client:
        client.send(b"GET /healthz HTTP/1.1\r\n" + b"a:\r\n" * 300 + b"\r\n")
        status, body = client.answer()
    assert status == 431
    named(body, "too_large", "256 lines")


def test_a_body_that_drips(small: LocalServer) -> None:
    with RawClient(small) as client:
        client.ask("POST", SANDBOXES, length=MIB)

        def drop() -> bool:
            client.send(b" ")
            return client.is_answered()

        until(drop, "an answer")
        status, body = client.answer()
    assert status == 408
    named(body, "request_timeout", "not complete", "12 s")


def test_what_came_of_it(small: LocalServer) -> None:
    """Nothing that the server did not foresee."""
    written = [json.loads(line) for line in small.log.read_text().splitlines() if line.startswith("{")]
    assert [each for each in written if each.get("level") in ("error", "critical")] == []
