"""The server as a process: how it starts, what it says, how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.unit.doors.fake_engine import ID

PATIENCE_S = 30.0
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the server runs as root")


class Process:
    def __init__(self, folder: Path, kind: str, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.credentials = folder / "config" / "sandlot" / "credentials.toml"
        settings = {
            "SANDLOT_DATA_DIR": str(folder / "data"),
            "SANDLOT_PORT": str(self.port),
            "XDG_CONFIG_HOME": str(folder / "config"),
            **environment,
        }
        self._stderr = folder / "stderr"
        command = [sys.executable, "-m", "tests.unit.server.served", kind]
        with self._stderr.open("ab") as log:
            self.child = subprocess.Popen(
                command, env=os.environ | settings, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def said_until(self, word: str) -> str:
        """What it has said, up to the line with ``word``."""
        assert self.child.stdout is not None
        said = ""
        for line in self.child.stdout:
            said += line
            if word in line:
                return said
        raise AssertionError(f"it ended without saying {word!r}: {said}\n{self.stderr}")

    def client(self) -> httpx.AsyncClient:
        key = tomllib.loads(self.credentials.read_text())["api_key"]
        return httpx.AsyncClient(base_url=self.url, headers={"X-API-Key": key}, timeout=PATIENCE_S)

    async def exit(self) -> int:
        return await asyncio.to_thread(self.child.wait, PATIENCE_S)


@contextmanager
def process(folder: Path, kind: str = "plain", **environment: str) -> Iterator[Process]:
    started = Process(folder, kind, **environment)
    try:
        yield started
    finally:
        started.child.kill()
        started.child.wait()
        if started.child.stdout is not None:
            started.child.stdout.close()


@asynccontextmanager
async def following(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    """A command's stream, begun."""
    async with client.stream("POST", f"/v1/sandboxes/{ID}/commands", json={"command": "x"}) as answer:
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["type"] == "started"
        yield lines


async def test_it_says_where_it_listens_and_its_first_key_once(tmp_path: Path) -> None:
    with process(tmp_path) as server:
        said = server.said_until("Ready")
        kept = tomllib.loads(server.credentials.read_text())
        assert server.url in said
        assert said.count(kept["api_key"]) == 1
        assert "gvisor: runsc" in said
        assert "container: not on this host" in said
        assert "WARNING" not in said
        async with server.client() as client:
            assert (await client.get(f"/v1/sandboxes/{ID}")).status_code == 200
        server.child.send_signal(signal.SIGTERM)
        assert await server.exit() == 0
    with process(tmp_path, SANDLOT_PORT=str(server.port), SANDLOT_HOST="0.0.0.0") as again:
        said = again.said_until("Ready")
        assert "sl_" not in said
        assert "in the clear" in said
        assert kept["api_key"] not in again.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_stop_tells_streams_why_and_is_a_success(tmp_path: Path, number: signal.Signals) -> None:
    with process(tmp_path) as server:
        server.said_until("Ready")
        async with server.client() as client, following(client) as lines:
            server.child.send_signal(number)
            last = json.loads(await anext(lines))
            assert (last["type"], last["error"]["code"]) == ("error", "unavailable")
            assert [line async for line in lines] == []
        assert await server.exit() == 0
        assert "Traceback" not in server.stderr


async def test_a_stop_closes_terminals_with_a_reason(tmp_path: Path) -> None:
    with process(tmp_path) as server:
        server.said_until("Ready")
        key = tomllib.loads(server.credentials.read_text())["api_key"]
        address = f"{server.url.replace('http', 'ws')}/v1/sandboxes/{ID}/terminal"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address):
                pass
        assert refused.value.response.status_code == 401
        async with connect(f"{address}?api_key={key}") as terminal:
            assert json.loads(await terminal.recv())["type"] == "started"
            server.child.send_signal(signal.SIGTERM)
            assert json.loads(await terminal.recv())["error"]["code"] == "unavailable"
            await terminal.wait_closed()
            assert terminal.close_code == 1012
        assert await server.exit() == 0
        assert key not in server.stderr


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with process(tmp_path, "stubborn", SANDLOT_STOP_TIMEOUT_S="600") as server:
        server.said_until("Ready")
        server.child.send_signal(signal.SIGTERM)
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", server.port)) == 0:
                probe.close()
                probe = socket.socket()
        server.child.send_signal(signal.SIGTERM)
        assert await server.exit() == 128 + signal.SIGTERM


async def test_a_stop_that_hangs_ends_all_the_same(tmp_path: Path) -> None:
    with process(tmp_path, "stubborn", SANDLOT_STOP_TIMEOUT_S="0.3") as server:
        server.said_until("Ready")
        server.child.send_signal(signal.SIGTERM)
        assert await server.exit() == 1
        assert "not stopped after 0.3 s" in server.stderr


async def test_a_start_that_fails_ends_with_the_reason(tmp_path: Path) -> None:
    with process(tmp_path, "failing") as server:
        assert await server.exit() == 1
        assert "upside down" in server.stderr
        assert server.stderr.rstrip().splitlines()[-1].startswith("sandlot: the server could not start")


async def test_a_port_or_a_folder_in_use_is_a_plain_message(tmp_path: Path) -> None:
    with process(tmp_path) as server:
        server.said_until("Ready")
        (tmp_path / "two").mkdir()
        for folder, environment, says in (
            (
                tmp_path / "two",
                {"SANDLOT_PORT": str(server.port)},
                f"port {server.port} on 127.0.0.1 is in use",
            ),
            (tmp_path / "two", {"SANDLOT_DATA_DIR": str(tmp_path / "data")}, f"process {server.child.pid}"),
        ):
            with process(folder, **environment) as second:
                assert await second.exit() == 1
                assert says in second.stderr
                assert "Traceback" not in second.stderr
