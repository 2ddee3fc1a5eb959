"""HTTPS beside plain HTTP, as real clients meet it: they know the names and trust the authority, no more."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from sandlot import Sandbox

from .conftest import DOMAIN, SecureServer


def test_the_api(secure: SecureServer) -> None:
    answer = secure.get(f"api.{DOMAIN}", "/v1/sandboxes", **{"x-api-key": secure.key})
    assert answer.status_code == 200
    assert secure.get(f"api.{DOMAIN}", "/v1/sandboxes").status_code == 401
    assert httpx.get(f"{secure.url}/healthz").status_code == 200


def test_a_port(secure: SecureServer, sandbox: Sandbox) -> None:
    seen = secure.get(f"3000-{sandbox.id}.{DOMAIN}", "/here?x=1").json()
    assert seen["target"] == "/here?x=1"
    headers = dict(seen["headers"])
    assert headers["x-forwarded-proto"] == "https"
    assert headers["host"] == f"3000-{sandbox.id}.{DOMAIN}:{secure.tls_port}"


def test_another_name_is_not_vouched_for(secure: SecureServer) -> None:
    with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
        secure.get("api.example.org", "/healthz")


async def test_a_websocket(secure: SecureServer, sandbox: Sandbox) -> None:
    address = f"wss://3000-{sandbox.id}.{DOMAIN}:{secure.tls_port}/ws"
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": secure.tls_port,
        "ssl": secure.context(),
        "proxy": None,
    }
    async with connect(address, max_size=None, **options) as socket:
        assert json.loads(await socket.recv())["x-forwarded-proto"] == "https"
        message = b"z" * 3_000_000
        await socket.send(message)
        assert await socket.recv() == message


def test_a_large_download(secure: SecureServer, sandbox: Sandbox) -> None:
    assert len(secure.get(f"3000-{sandbox.id}.{DOMAIN}", "/chunks?count=200").content) == 200 * 65536


def test_curl_and_the_bundle(secure: SecureServer) -> None:
    name = f"api.{DOMAIN}"
    for trusted in (secure.cli("ca"), secure.cli("ca", "--bundle")):
        where = f"{name}:{secure.tls_port}:127.0.0.1"
        command = ["curl", "--silent", "--show-error", "--cacert", trusted, "--resolve", where]
        done = subprocess.run(
            [*command, f"https://{name}:{secure.tls_port}/healthz"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == {"status": "ok"}


def test_a_port_in_use_is_one_line(secure: SecureServer, tmp_path: Path) -> None:
    environment = os.environ | {"SANDLOT_DATA_DIR": str(tmp_path), "SANDLOT_PORT": "1"}
    flags = ["--domain", DOMAIN, "--tls-port", str(secure.tls_port), "--port", str(_free_port())]
    command = [sys.executable, "-m", "sandlot.cli.main", "serve", *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"sandlot: port {secure.tls_port} on 127.0.0.1 is in use by another program;"
        " choose another with --tls-port\n"
    )


def test_the_certificate_outlives_a_restart(secure: SecureServer) -> None:
    trusted = Path(secure.cli("ca")).read_bytes()
    with (
        socket.create_connection(("127.0.0.1", secure.tls_port)) as plain,
        secure.context().wrap_socket(plain, server_hostname=f"api.{DOMAIN}"),
    ):
        secure.stop()
    # A client that rests, and takes no notice, was not waited for.
    assert "graceful shutdown exceeded" not in secure.log.read_text()
    secure.start()
    assert Path(secure.cli("ca")).read_bytes() == trusted
    assert secure.get(f"api.{DOMAIN}", "/healthz").status_code == 200


def test_ca_without_a_domain_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sandlot.cli.main", "ca", "--data-dir", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if key != "SANDLOT_DOMAIN"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "sandlot serve --domain" in done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
