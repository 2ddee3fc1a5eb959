"""A server that is started and killed as often as one likes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tomllib
from pathlib import Path

import httpx

from sandlot.node import instance_of

READY_WITHIN_S = 60.0
_SETTINGS = {
    "SANDLOT_POOL_NETWORK_SLOTS": "2",
    "SANDLOT_POOL_DISK_SLOTS": "2",
    "SANDLOT_DEFAULT_DISK_MIB": "256",
    "SANDLOT_DEFAULT_MEMORY_MIB": "256",
    "SANDLOT_HOST_RESERVE_MIB": "64",
    "SANDLOT_LOG_FORMAT": "json",
    "SANDLOT_PAUSE_TO_DISK_AFTER_S": "0.3",
    "SANDLOT_POOL_HOT_MAX": "0",
}


class Server:
    """One data folder, one port; at most one process at a time."""

    def __init__(self, folder: Path, templates_dir: Path, **settings: str) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.instance = instance_of(self.data_dir)
        self.log = folder / "server.log"
        self.pid = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {
            **os.environ,
            **_SETTINGS,
            "XDG_CONFIG_HOME": str(folder / "config"),
            "SANDLOT_DATA_DIR": str(self.data_dir),
            "SANDLOT_TEMPLATES_DIR": str(templates_dir),
            "SANDLOT_PORT": str(port),
            **settings,
        }
        self._zygote: asyncio.subprocess.Process | None = None

    @property
    def key(self) -> str:
        text = (self.folder / "config" / "sandlot" / "credentials.toml").read_text()
        return str(tomllib.loads(text)["api_key"])

    async def open(self) -> None:
        # The last word tells tests/leftovers.py that what carries this instance's name has an owner.
        command = (sys.executable, "-m", f"{__package__}.zygote", str(self.folder), "serve")
        self._zygote = await asyncio.create_subprocess_exec(
            *command,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            process_group=0,
        )

    async def close(self) -> None:
        if self._zygote is None:
            return
        if self.pid:
            await self.kill()
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        await self._zygote.wait()

    async def begin(self, *, known: bool) -> None:
        """Start a server and do not wait for it. ``known``: what the host can do is not tried again."""
        zygote = self._zygote
        assert zygote is not None
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        zygote.stdin.write(b"known\n" if known else b"probe\n")
        self.pid = int(await zygote.stdout.readline())

    async def ready(self) -> None:
        async with asyncio.timeout(READY_WITHIN_S), httpx.AsyncClient() as http:
            while True:
                if not self.runs():
                    raise AssertionError(f"the server ended by itself:\n{self.said()}")
                try:
                    if (await http.get(f"{self.url}/readyz", timeout=5)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    def runs(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""

    async def _end(self, number: signal.Signals) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return
        async with asyncio.timeout(READY_WITHIN_S):
            while self.runs():
                await asyncio.sleep(0.002)
