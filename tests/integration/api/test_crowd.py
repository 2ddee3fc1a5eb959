"""Clients that take their time cost the server little, and the others nothing."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import httpx

from sandlot.server.local import LocalServer

from .wire import RawClient, lines, until

MIB = 1024 * 1024
HALF_OPEN = 200


def resident_bytes(server: LocalServer) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match
    return int(match[1]) * 1024


def test_one_who_does_not_read_an_endless_stream(http: httpx.Client, at: str, server: LocalServer) -> None:
    http.post(f"{at}/commands", json={"command": "true"})
    before = resident_bytes(server)
    with RawClient(server, receive_buffer=65536) as client:
        client.ask("POST", f"{at}/commands", {"args": ["yes"], "timeout_s": None, "tag": "endless"})
        client.read_until(b'"stdout"')
        [id] = [
            each["id"]
            for each in http.get(f"{at}/commands").json()["commands"]
            if each["tag"] == "endless" and each["running"]
        ]
        seen = [-1, -1, -1, -1]

        def held() -> int:
            """How much was put out, once it has not become more for several looks."""
            seen.append(http.get(f"{at}/commands/{id}").json()["stdout_end"])
            return seen[-1] if len(set(seen[-4:])) == 1 else 0

        size = until(held, "the command being held back")
        assert size < 16 * MIB
        assert resident_bytes(server) < before + 32 * MIB

        assert lines(http.post(f"{at}/commands", json={"command": "exit 3"}))[-1]["exit_code"] == 3
        client.read_some(8 * MIB)
        until(lambda: http.get(f"{at}/commands/{id}").json()["stdout_end"] > size, "its going on")
        assert resident_bytes(server) < before + 32 * MIB
    assert http.post(f"{at}/commands/{id}/signal", json={"signal": "KILL"}).status_code == 204
    until(lambda: not http.get(f"{at}/commands/{id}").json()["running"], "its end")


def test_one_who_does_not_read_endless_code(http: httpx.Client, at: str, server: LocalServer) -> None:
    lines(http.post(f"{at}/code", json={"code": "kept = 7"}))
    before = resident_bytes(server)
    with RawClient(server, receive_buffer=65536) as client:
        code = "while True:\n    print('x' * 1000)"
        client.ask("POST", f"{at}/code", {"code": code, "timeout_s": None})
        client.read_until(b'"stdout"')
        for _ in range(20):
            assert lines(http.post(f"{at}/commands", json={"command": "exit 3"}))[-1]["exit_code"] == 3
        assert resident_bytes(server) < before + 32 * MIB
    said = lines(http.post(f"{at}/code", json={"code": "kept", "timeout_s": 50}))
    assert [each.get("text") for each in said if each["type"] == "result"] == ["7"]


def test_one_who_does_not_read_a_large_file(http: httpx.Client, at: str, server: LocalServer) -> None:
    said = lines(http.post(f"{at}/commands", json={"command": "truncate -s 4G sparse"}))
    assert said[-1]["exit_code"] == 0
    before = resident_bytes(server)
    with RawClient(server, receive_buffer=65536) as client:
        client.ask("GET", f"{at}/files?path=sparse")
        client.read_some(MIB)
        for _ in range(20):
            assert http.get(f"{at}/files/stat?path=sparse").json()["size"] == 4 << 30
        assert resident_bytes(server) < before + 32 * MIB


def test_many_at_once_are_all_answered(http: httpx.Client, at: str, server: LocalServer) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(RawClient(server)) for _ in range(HALF_OPEN)]
        for client in crowd:
            client.ask("GET", f"{at}/files/stat?path=.", headers="connection: close\r\n")
        for client in crowd:
            status, body = client.answer()
            assert (status, body["kind"]) == (200, "dir")
