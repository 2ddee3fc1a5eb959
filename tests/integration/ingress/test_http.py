"""A port by its host name is like the port itself."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

import httpx
import pytest

from sandlot import Sandbox
from sandlot.server.local import LocalServer

from .conftest import CUT_SHORT, HOSTILE, PATIENCE_S, TWO_LENGTHS, Reach

CHUNK = bytes(range(256)) * 256


def test_the_request_arrives_as_it_was_sent(sandbox: Sandbox, reach: Reach, server: LocalServer) -> None:
    client = reach(sandbox.id)
    answer = client.request(
        "PUT",
        "/a%2Fb/c?q=%20x&q=y",
        content=b"hello",
        headers={"x-mine": "é".encode("latin-1"), "te": "gzip"},
    )
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["method"], seen["target"], seen["size"]) == ("PUT", "/a%2Fb/c?q=%20x&q=y", 5)
    headers = {name.lower(): value for name, value in seen["headers"]}
    host = f"3000-{sandbox.id}.localhost:{server.port}"
    assert headers["host"] == host
    assert headers["x-mine"] == "é"
    assert "te" not in headers
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == host


def test_the_answer_arrives_as_it_was_sent(sandbox: Sandbox, reach: Reach) -> None:
    answer = reach(sandbox.id).get("/")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-kept"] == "yes"
    assert "x-hop" not in answer.headers
    assert len(answer.headers.get_list("date")) == 1


def test_many_requests_on_one_connection(sandbox: Sandbox, reach: Reach) -> None:
    client = reach(sandbox.id)
    for number in range(20):
        assert client.post(f"/{number}", content=b"x" * number).json()["size"] == number


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH"])
def test_methods(sandbox: Sandbox, reach: Reach, method: str) -> None:
    answer = reach(sandbox.id).request(method, "/")
    assert answer.status_code == 200
    if method == "HEAD":
        assert answer.content == b""
        assert int(answer.headers["content-length"]) > 0
    else:
        assert answer.json()["method"] == method


def test_answers_without_a_body(sandbox: Sandbox, reach: Reach) -> None:
    client = reach(sandbox.id)
    assert client.get("/unmodified").status_code == 304
    assert client.get("/unmodified").headers["etag"] == '"x"'
    assert client.post("/poke").status_code == 204
    assert client.get("/").status_code == 200


def test_a_large_upload_of_unknown_length(sandbox: Sandbox, reach: Reach) -> None:
    digest = hashlib.sha256()

    def body() -> Iterator[bytes]:
        for _ in range(512):
            digest.update(CHUNK)
            yield CHUNK

    seen = reach(sandbox.id).post("/", content=body()).json()
    assert seen["size"] == 512 * len(CHUNK)
    assert seen["sha256"] == digest.hexdigest()
    assert ["transfer-encoding", "chunked"] in [[name.lower(), value] for name, value in seen["headers"]]


def test_a_large_download(sandbox: Sandbox, reach: Reach) -> None:
    with reach(sandbox.id).stream("GET", "/chunks?count=512") as answer:
        size = sum(len(piece) for piece in answer.iter_bytes())
    assert size == 512 * len(CHUNK)


def test_what_nobody_reads_does_not_grow_the_server(
    sandbox: Sandbox, reach: Reach, server: LocalServer
) -> None:
    """A download of 20 GB whose client takes nothing for a while, and then leaves."""
    before = _rss_mib(server)
    with reach(sandbox.id).stream("GET", "/chunks?count=300000") as answer:
        pieces = answer.iter_raw()
        for _ in range(2000):
            next(pieces)
        assert _rss_mib(server) - before < 64
    assert reach(sandbox.id).get("/").status_code == 200


def test_events_come_one_by_one(sandbox: Sandbox, reach: Reach) -> None:
    with reach(sandbox.id).stream("GET", "/events") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = answer.iter_lines()
        for number in range(3):
            assert next(lines) == f"data: {number}"
            next(lines)
            reach(sandbox.id).post("/poke")
    # Who leaves is gone inside, too.
    assert reach(sandbox.id).get("/gone").text == "gone"


def test_an_answer_before_the_end_of_the_request(sandbox: Sandbox, server: LocalServer) -> None:
    with _raw(server, sandbox.id, "POST /early", "content-length: 100000000") as connection:
        connection.sendall(CHUNK)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_expect_continue(sandbox: Sandbox, server: LocalServer) -> None:
    with _raw(server, sandbox.id, "POST /", "content-length: 5", "expect: 100-continue") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"size": 5' in answer
    assert b'"expect"' not in answer.lower()


def test_a_closed_port(sandbox: Sandbox, reach: Reach) -> None:
    answer = reach(sandbox.id, 3999).get("/")
    assert answer.status_code == 502
    body = answer.json()
    assert "port is not open" in body["message"]
    assert (body["code"], body["sandboxId"], body["port"]) == (502, sandbox.id, 3999)


def test_a_sandbox_that_never_was(reach: Reach) -> None:
    answer = reach("sb" + "a" * 20).get("/")
    assert answer.status_code == 502
    assert "was not found" in answer.json()["message"]


@pytest.mark.parametrize("port", HOSTILE)
def test_an_answer_that_is_none(sandbox: Sandbox, reach: Reach, port: int) -> None:
    answer = reach(sandbox.id, port).get("/")
    assert answer.status_code == 502, answer.text
    assert answer.json()["sandboxId"] == sandbox.id
    assert reach(sandbox.id).get("/").status_code == 200


@pytest.mark.parametrize("port", CUT_SHORT)
def test_an_answer_that_breaks_off(sandbox: Sandbox, reach: Reach, port: int) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        reach(sandbox.id, port).get("/")


def test_an_answer_of_two_lengths(sandbox: Sandbox, reach: Reach) -> None:
    answer = reach(sandbox.id, TWO_LENGTHS).get("/")
    assert answer.text == "five."
    assert "content-length" not in answer.headers


def test_by_the_headers_of_e2bs_clients(sandbox: Sandbox, server: LocalServer) -> None:
    for port, status in ((3000, 200), (3999, 502)):
        headers = {"e2b-sandbox-id": sandbox.id, "e2b-sandbox-port": str(port)}
        answer = httpx.get(f"{server.url}/v1/sandboxes", headers=headers, timeout=PATIENCE_S)
        assert answer.status_code == status
        if port == 3000:
            assert answer.json()["target"] == "/v1/sandboxes"


def test_the_server_itself_is_not_there(sandbox: Sandbox, reach: Reach) -> None:
    for path in ("/v1/sandboxes", "/healthz", "/metrics", "/sandboxes", "/openapi.json"):
        assert reach(sandbox.id).get(path).json()["target"] == path


def _rss_mib(server: LocalServer) -> float:
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def _raw(server: LocalServer, sandbox_id: str, request: str, *lines: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
    head = [f"{request} HTTP/1.1", f"host: 3000-{sandbox_id}.localhost", "connection: close", *lines, "", ""]
    connection.sendall("\r\n".join(head).encode())
    return connection
