from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

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


@pytest.fixture(scope="package")
def secure(footprint: Footprint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    server = SecureServer(tmp_path_factory.mktemp("secure"))
    server.start()
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="package")
def sandbox(secure: SecureServer) -> Iterator[Sandbox]:
    with Sandbox.create(timeout=1800, url=secure.url, api_key=secure.key) as sandbox:
        start_server(sandbox)
        yield sandbox
