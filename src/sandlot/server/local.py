"""A server of one's own for a while, as a process: for tests, benches and the demo."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from sandlot.server import keys, tenants
from sandlot.server.settings import Settings

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0


class LocalServer:
    """A server with a data folder, a port and a key of its own. ``stop`` leaves its sandboxes running.

    It makes no hot sandboxes unless the settings say so: its callers count what there is.
    """

    def __init__(
        self, folder: Path, templates_dir: Path, *, through: Sequence[str] = (), **settings: str
    ) -> None:
        """``through``: a command that becomes the server's, such as one that changes its namespaces."""
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self._settings = settings
        self._through = through
        self._process: subprocess.Popen[bytes] | None = None
        self._templates_dir = templates_dir

    @property
    def key(self) -> str:
        text = (self.folder / "config" / "sandlot" / "credentials.toml").read_text()
        return str(tomllib.loads(text)["api_key"])

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find this server."""
        return {"SANDLOT_URL": self.url, "SANDLOT_API_KEY": self.key}

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Raises RuntimeError before the first start."""
        if self._process is None:
            raise RuntimeError("this server was not started")
        return self._process

    def start(self) -> None:
        environment = os.environ | {
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "SANDLOT_DATA_DIR": str(self.folder / "data"),
            "SANDLOT_TEMPLATES_DIR": str(self._templates_dir),
            "SANDLOT_PORT": str(self.port),
            "SANDLOT_POOL_HOT_MAX": "0",
            **self._settings,
        }
        with self.log.open("ab") as log:
            command = [*self._through, sys.executable, "-m", "sandlot.cli.main", "serve"]
            # A group of its own: a Ctrl-C at the terminal is for whoever must stop the server in good order.
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, process_group=0
            )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask it to stop; its sandboxes go on."""
        self._signal(signal.SIGTERM)

    def crash(self) -> None:
        self._signal(signal.SIGKILL)

    def end(self) -> None:
        """Kill every sandbox, of whichever tenant, stop the server, and let it clean up."""
        if self.process.poll() is not None:
            self.start()
        try:
            with ThreadPoolExecutor(1) as thread:  # the caller's own may have a loop that runs
                found = thread.submit(asyncio.run, self._keys()).result()
            for key in found:
                self._kill_all(key)
        finally:
            self.stop()

    async def _keys(self) -> list[str]:
        """One for each tenant that has sandboxes."""
        settings = Settings.model_validate({"data_dir": self.folder / "data"})
        everyone = await tenants.everyone(settings)
        found = [tenant.name for tenant, use in everyone if use.sandboxes or use.paused]
        return [await keys.create(settings, "to end all sandboxes", name) for name in found]

    def _kill_all(self, key: str) -> None:
        with httpx.Client(base_url=self.url, headers={"X-API-Key": key}, timeout=60) as client:
            while found := client.get("/v1/sandboxes").raise_for_status().json()["sandboxes"]:
                for sandbox in found:
                    client.delete(f"/v1/sandboxes/{sandbox['id']}")

    def _signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.wait()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise RuntimeError(f"the server did not become ready:\n{self.log.read_text()[-4000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
