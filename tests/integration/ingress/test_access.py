"""Who reaches a port, and what becomes of sandboxes that sleep, end, or are left while one talks to them."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sandlot import Sandbox
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.integration.sandbox.test_idle import group_of, wait_frozen
from tests.leftovers import Footprint

from .conftest import PATIENCE_S, Reach, start_server


@pytest.fixture(scope="module")
def guarded(server: LocalServer) -> Iterator[Sandbox]:
    with Sandbox.create(ingress="token", timeout=1800) as sandbox:
        start_server(sandbox)
        yield sandbox


def token_of(sandbox: Sandbox) -> str:
    token = sandbox.info().ingress_token
    assert token is not None
    return token


def test_without_the_token_nobody_is_let_in(guarded: Sandbox, reach: Reach) -> None:
    for headers in ({}, {"x-sandlot-token": "0" * 40}, {"cookie": "sandlot_token=x"}):
        answer = reach(guarded.id, headers=headers).get("/")
        assert answer.status_code == 403
        assert "send its ingress token" in answer.json()["message"]


@pytest.mark.parametrize("name", ["x-sandlot-token", "e2b-traffic-access-token"])
def test_with_it_in_a_header(guarded: Sandbox, reach: Reach, name: str) -> None:
    answer = reach(guarded.id, headers={name: token_of(guarded)}).get("/")
    assert answer.status_code == 200
    assert token_of(guarded) not in answer.text


def test_a_browser_is_given_it_once(guarded: Sandbox, reach: Reach) -> None:
    browser = reach(guarded.id, follow_redirects=False)
    first = browser.get(f"/a?x=1&sandlot_token={token_of(guarded)}")
    assert (first.status_code, first.headers["location"]) == (307, "/a?x=1")
    browser.headers["cookie"] = first.headers["set-cookie"].partition(";")[0] + "; mine=1"
    second = browser.get(first.headers["location"])
    assert second.json()["target"] == "/a?x=1"
    assert ["cookie", "mine=1"] in second.json()["headers"]


def test_a_websocket_has_it_in_its_address(guarded: Sandbox, server: LocalServer) -> None:
    address = f"ws://3000-{guarded.id}.localhost/ws?sandlot_token={token_of(guarded)}"
    with connect(address, sock=_connected(server), max_size=None) as opened:
        assert "upgrade" in json.loads(opened.recv())


def test_one_sandboxs_token_opens_no_other(guarded: Sandbox, sandbox: Sandbox, reach: Reach) -> None:
    assert sandbox.info().ingress_token is None
    with Sandbox.create(ingress="token") as other:
        assert reach(other.id, headers={"x-sandlot-token": token_of(guarded)}).get("/").status_code == 403


def test_ports_that_are_off(reach: Reach) -> None:
    with Sandbox.create(ingress="off") as sandbox:
        start_server(sandbox)
        answer = reach(sandbox.id).get("/")
    assert answer.status_code == 502
    assert "was not found" in answer.json()["message"]


def test_a_sandbox_that_stands_still_is_woken(server: LocalServer, reach: Reach) -> None:
    """Without a program that listens it freezes; with one it is awake. Either way one is answered."""
    with Sandbox.create() as sandbox:
        group = group_of(server, sandbox)
        wait_frozen(group)
        client = reach(sandbox.id)
        answer = client.get("/")
        assert answer.status_code == 502
        assert "port is not open" in answer.json()["message"]
        wait_frozen(group)
        start_server(sandbox)
        assert client.get("/").status_code == 200
        with client.stream("GET", "/events") as events:
            next(events.iter_lines())
            assert not group.is_frozen()
            [command] = sandbox.commands.list()
            sandbox.commands.connect(command.id).kill()
        wait_frozen(group)  # though the client's own connection is still there


def test_a_sandbox_that_is_killed_meanwhile(reach: Reach) -> None:
    with Sandbox.create() as sandbox:
        start_server(sandbox)
        client = reach(sandbox.id)
        with ThreadPoolExecutor(1) as beside:
            hanging = beside.submit(client.get, "/hang")
            assert reach(sandbox.id).get("/hung").status_code == 204
            sandbox.kill()
            for answer in (hanging.result(), client.get("/")):
                assert answer.status_code == 502
                assert "was not found" in answer.json()["message"]


def test_a_server_that_stops_ends_them(footprint: Footprint, tmp_path: Path) -> None:
    server = LocalServer(tmp_path, TEMPLATES_DIR)
    server.start()
    try:
        sandbox = Sandbox.create(url=server.url, api_key=server.key)
        start_server(sandbox)
        host = f"3000-{sandbox.id}.localhost"
        with (
            httpx.Client(base_url=server.url, headers={"host": host}, timeout=PATIENCE_S) as client,
            client.stream("GET", "/events") as events,
            connect(f"ws://{host}/ws", sock=_connected(server), max_size=None) as opened,
        ):
            lines = events.iter_lines()
            next(lines)
            opened.recv()
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
            assert server.process.wait(PATIENCE_S) == 0
            with pytest.raises(ConnectionClosed):
                opened.recv()
        assert (opened.close_code, opened.close_reason) == (1012, "the server is stopping")
    finally:
        server.end()


def _connected(server: LocalServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
