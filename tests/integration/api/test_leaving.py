"""Clients that vanish in the middle of something: nothing of it stays that nobody wants."""

from __future__ import annotations

import base64
import itertools
import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from sandlot.server.local import LocalServer

from .wire import SANDBOXES, RawClient, lines, until

MIB = 1024 * 1024
ALL_STATES = "creating,running,killing,killed,failed"
INTERRUPTED = """
import time
print("began", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    kept = 8
    raise
"""

_numbers = itertools.count()

vanishing = pytest.mark.parametrize("how", ["closed", "reset"])


@pytest.fixture
def client(server: LocalServer) -> Iterator[RawClient]:
    with RawClient(server) as raw:
        yield raw


def names(http: httpx.Client, at: str, path: str) -> list[str]:
    answer = http.get(f"{at}/files/list", params={"path": path})
    return [each["name"] for each in answer.raise_for_status().json()["files"]]


def disk_used(http: httpx.Client, at: str) -> int:
    return int(http.get(f"{at}/metrics").json()["disk_used_bytes"])


@vanishing
def test_mid_command_it_goes_on_and_can_be_followed(
    http: httpx.Client, at: str, client: RawClient, how: str
) -> None:
    go = f"go-{next(_numbers)}"
    script = f"echo began; until [ -e {go} ]; do sleep 0.05; done; echo ended; exit 5"
    client.ask("POST", f"{at}/commands", {"command": script})
    seen = client.read_until(base64.b64encode(b"began\n"))
    id = json.loads(next(line for line in seen.splitlines() if b'"started"' in line))["id"]
    client.vanish(how)
    assert http.get(f"{at}/commands/{id}").json()["running"]
    http.put(f"{at}/files", params={"path": go}).raise_for_status()
    said = lines(http.get(f"{at}/commands/{id}/output?stdout_from=0"))
    assert b"".join(base64.b64decode(each["data"]) for each in said[1:-1]) == b"began\nended\n"
    assert said[-1]["exit_code"] == 5


@vanishing
def test_mid_upload_the_old_file_stays_and_nothing_else(
    http: httpx.Client, at: str, client: RawClient, how: str
) -> None:
    folder = f"upload-{next(_numbers)}"
    http.put(f"{at}/files", params={"path": f"{folder}/kept"}, content=b"old").raise_for_status()
    client.ask("PUT", f"{at}/files?path={folder}/kept", length=10 * MIB)
    client.send(b"new" * MIB)
    until(lambda: len(names(http, at, folder)) == 2, "a temporary file")
    client.vanish(how)
    until(lambda: names(http, at, folder) == ["kept"], "the temporary file's removal")
    assert http.get(f"{at}/files", params={"path": f"{folder}/kept"}).content == b"old"


@vanishing
def test_mid_archive_no_part_of_a_file_stays(
    http: httpx.Client, at: str, client: RawClient, how: str
) -> None:
    folder = f"archive-{next(_numbers)}"
    http.put(f"{at}/files", params={"path": "packed/large"}, content=os.urandom(4 * MIB)).raise_for_status()
    archive = http.get(f"{at}/archive?path=packed").content
    client.ask("PUT", f"{at}/archive?path={folder}", length=len(archive))
    client.send(archive[: 2 * MIB])
    until(lambda: http.get(f"{at}/files/stat?path={folder}").status_code == 200, "the folder")
    until(lambda: names(http, at, folder), "a temporary file")
    client.vanish(how)
    until(lambda: names(http, at, folder) == [], "the temporary file's removal")


@vanishing
def test_mid_download_the_file_is_let_go(http: httpx.Client, at: str, server: LocalServer, how: str) -> None:
    """A removed file takes its space for as long as somebody reads it."""
    before = disk_used(http, at)
    http.put(f"{at}/files?path=large", content=os.urandom(24 * MIB)).raise_for_status()
    with RawClient(server, receive_buffer=65536) as client:
        client.ask("GET", f"{at}/files?path=large")
        client.read_some(MIB)
        http.delete(f"{at}/files?path=large").raise_for_status()
        assert disk_used(http, at) > before + 20 * MIB
        client.vanish(how)
    until(lambda: disk_used(http, at) < before + 4 * MIB, "the space being given back")


@vanishing
def test_mid_code_the_run_is_interrupted_and_variables_stay(
    http: httpx.Client, at: str, client: RawClient, how: str
) -> None:
    client.ask("POST", f"{at}/code", {"code": INTERRUPTED, "timeout_s": None})
    client.read_until(b"began")
    client.vanish(how)
    said = lines(http.post(f"{at}/code", json={"code": "kept", "timeout_s": 50}))
    assert [each.get("text") for each in said if each["type"] == "result"] == ["8"]


CREATE_ATTEMPTS = 20


@vanishing
def test_mid_create_no_sandbox_stays(
    http: httpx.Client, server: LocalServer, isolation: str, how: str
) -> None:
    def found(states: str) -> list[dict[str, Any]]:
        query = {"state": states, "metadata": f"vanished:{mark}"}
        return list(http.get(SANDBOXES, params=query).json()["sandboxes"])

    for _ in range(CREATE_ATTEMPTS):
        mark = f"{isolation}-{next(_numbers)}"
        with RawClient(server) as client:
            client.ask("POST", SANDBOXES, {"isolation": isolation, "metadata": {"vanished": mark}})
            until(lambda: found(ALL_STATES), "its beginning")
            if not client.is_answered():
                client.vanish(how)
                break
        for sandbox in found("running"):  # it was faster than we looked: not this one
            http.delete(f"{SANDBOXES}/{sandbox['id']}")
    else:
        pytest.fail(f"{CREATE_ATTEMPTS} sandboxes were there before we looked")
    until(lambda: not found("creating,running,killing"), "its end")
    [sandbox] = found(ALL_STATES)
    assert (sandbox["state"], sandbox["reason"]) == ("killed", "its creator went away before it was ready")


@vanishing
def test_watchers_that_vanish_leave_no_watch(
    http: httpx.Client, at: str, server: LocalServer, how: str
) -> None:
    """There are more of them than a sandbox has watches."""
    for _ in range(100):
        with RawClient(server) as client:
            client.ask("GET", f"{at}/files/watch?path=.")
            client.read_until(b"watching")
            client.vanish(how)


def terminal(server: LocalServer, at: str, query: str = "") -> ClientConnection:
    return connect(
        f"{server.url.replace('http', 'ws')}{at}/terminal?rows=20&cols=80{query}",
        additional_headers={"X-API-Key": server.key},
    )


def shown_until(terminal: ClientConnection, mark: bytes) -> bytes:
    shown = b""
    while mark not in shown:
        message = terminal.recv(timeout=30)
        assert isinstance(message, bytes), message
        shown += message
    return shown


def test_a_dropped_terminal_is_attached_again(http: httpx.Client, server: LocalServer, at: str) -> None:
    with terminal(server, at, "&command=/bin/bash%20--norc") as first:
        started = json.loads(first.recv(timeout=30))
        first.send(b"answer=$((6*7)); echo ready-$answer\n")
        seen = len(shown_until(first, b"ready-42"))
        first.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.socket.shutdown(socket.SHUT_RDWR)
    assert http.get(f"{at}/commands/{started['id']}").json()["running"]

    with terminal(server, at, f"&command_id={started['id']}&from={seen}") as again:
        assert json.loads(again.recv(timeout=30))["id"] == started["id"]
        again.send(b"echo still-$answer; stty size; exit 4\n")
        shown = shown_until(again, b"still-42")
        assert b"ready-42" not in shown
        while isinstance(message := again.recv(timeout=30), bytes):
            shown += message
        assert b"20 80" in shown
        assert json.loads(message)["exit_code"] == 4
