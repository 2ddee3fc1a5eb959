"""HTTPS beside plain HTTP, as real clients meet it: they know the names and trust the authority, no more."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from sandlot import Sandbox
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.integration.ingress.conftest import PATIENCE_S, start_server
from tests.leftovers import Footprint

DOMAIN = "box.test"


class SecureServer(LocalServer):
    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.tls_port = int(probe.getsockname()[1])
        settings = {"SANDLOT_DOMAIN": DOMAIN, "SANDLOT_TLS_PORT": str(self.tls_port)}
        super().__init__(folder, TEMPLATES_DIR, **settings)

    def cli(self, *words: str) -> str:
        environment = os.environ | {
            "SANDLOT_DATA_DIR": str(self.folder / "data"),
            "SANDLOT_DOMAIN": DOMAIN,
            **self.environment,
        }
        command = [sys.executable, "-m", "sandlot.cli.main", *words]
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cli("ca"))

    def get(self, name: str, path: str, **headers: str) -> httpx.Response:
        """As a client does that finds ``name`` in the DNS."""
        with httpx.Client(verify=self.context(), timeout=PATIENCE_S) as client:
            return client.get(
                f"https://127.0.0.1:{self.tls_port}{path}",
                headers={"host": f"{name}:{self.tls_port}", **headers},
                extensions={"sni_hostname": name},
            )


@pytest.fixture(scope="module")
def secure(footprint: Footprint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    server = SecureServer(tmp_path_factory.mktemp("secure"))
    server.start()
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def sandbox(secure: SecureServer) -> Iterator[Sandbox]:
    with Sandbox.create(timeout=1800, url=secure.url, api_key=secure.key) as sandbox:
        start_server(sandbox)
        yield sandbox


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
    secure.stop()
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
