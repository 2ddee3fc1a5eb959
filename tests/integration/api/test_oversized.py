"""Too much of anything is refused before it costs much, and says how much would do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandlot.server.local import LocalServer

from .wire import SANDBOXES, RawClient, lines, named, refused

MIB = 1024 * 1024


def test_a_large_body(http: httpx.Client) -> None:
    answer = http.post(SANDBOXES, json={"metadata": {"k": "x" * MIB}})
    refused(answer, 413, "too_large", str(MIB))


def test_a_large_body_of_unknown_length(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"template": "'
        while True:
            yield b"x" * 65536

    try:
        answer = http.post(SANDBOXES, content=endless())
    except httpx.WriteError:
        return  # the server has answered and closed while we were still at it
    refused(answer, 413, "too_large", str(MIB))


@pytest.mark.parametrize("length", [str(10**15), "9" * 18])
def test_a_length_that_is_announced_is_refused_before_it_comes(server: LocalServer, length: str) -> None:
    with RawClient(server) as client:
        client.ask("POST", SANDBOXES, length=int(length))
        status, body = client.answer()
    assert status == 413
    named(body, "too_large", str(MIB))


@pytest.mark.parametrize("length", ["-1", "x", "9" * 40, "1\r\ncontent-length: 2"])
def test_a_length_that_is_none(server: LocalServer, length: str) -> None:
    with RawClient(server) as client:
        client.send(f"POST {SANDBOXES} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{{}}".encode())
        status, body = client.answer()
    assert status == 400
    named(body, "invalid_argument", "HTTP")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/sandboxes?x=" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/sandboxes HTTP/1.1\r\nhost: x\r\nx-large: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /v1/sandboxes HTTP/1.1\r\nhost: x\r\n" + b"x-many: y\r\n" * 7_000 + b"\r\n",
        b"GET /v1/sandboxes HTTP/1.1\r\nhost: x\r\nx-endless: " + b"x" * 70_000,
    ],
    ids=["address", "one header", "many headers", "never complete"],
)
def test_a_large_head(server: LocalServer, head: bytes) -> None:
    with RawClient(server) as client:
        client.send(head)
        status, body = client.answer()
    assert status == 431
    named(body, "too_large", "head", "65536")


def test_what_is_not_http(server: LocalServer) -> None:
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"hello\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
        with RawClient(server) as client:
            client.send(noise)
            status, body = client.answer()
        assert status == 400
        named(body, "invalid_argument", "HTTP")


@pytest.mark.parametrize("field", ["env", "metadata"])
def test_many_or_large_pairs(http: httpx.Client, field: str) -> None:
    for pairs in ({f"V{n}": "x" for n in range(5000)}, {"V": "x" * 100_000}):
        refused(http.post(SANDBOXES, json={field: pairs}), 400, "invalid_argument", field, "256", "65536")


@pytest.mark.parametrize(
    "args",
    [
        ["true", "x" * 131_072],
        ["true"] + ["x" * 100] * 9000,
        ["true", "é" * 70_000],
        ["true"] + ["x"] * 200_000,
    ],
    ids=["one word", "many words", "bytes, not characters", "very many words"],
)
def test_a_huge_command_line(http: httpx.Client, at: str, args: list[str]) -> None:
    body = json.dumps({"args": args}, ensure_ascii=False).encode()
    answer = http.post(f"{at}/commands", content=body)
    refused(answer, 400, "invalid_argument", "196608", "131071", "file")


def test_very_many_empty_words(http: httpx.Client, at: str) -> None:
    refused(
        http.post(f"{at}/commands", json={"args": ["true"] + [""] * 20_000}), 400, "invalid_argument", "8192"
    )


def test_the_longest_word_and_script_run(http: httpx.Client, at: str) -> None:
    said = lines(http.post(f"{at}/commands", json={"args": ["true", "x" * 131_071]}))
    assert said[-1]["exit_code"] == 0
    said = lines(http.post(f"{at}/commands", json={"command": "true " + "x" * 131_066}))
    assert said[-1]["exit_code"] == 0


@pytest.mark.parametrize(
    "env", [{f"V{n}": "x" for n in range(5000)}, {"V": "x" * 100_000}], ids=["many", "large"]
)
def test_a_huge_environment(http: httpx.Client, at: str, env: dict[str, Any]) -> None:
    for path, body in (("commands", {"command": "true"}), ("code", {"code": "1"}), ("contexts", {})):
        answer = http.post(f"{at}/{path}", json={**body, "env": env})
        refused(answer, 400, "invalid_argument", "env", "256", "65536")


def test_code_is_bounded_by_the_body(http: httpx.Client, at: str) -> None:
    refused(http.post(f"{at}/code", json={"code": "#" * MIB}), 413, "too_large", str(MIB))
    assert lines(http.post(f"{at}/code", json={"code": "1 #" + "x" * (MIB - 1000)}))[-1]["type"] == "done"
