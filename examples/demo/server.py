"""The demo's own server, and the proof that nothing of it is left when it has gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx

from sandlot.node.model import instance_of
from sandlot.server.local import LocalServer

_SETTLE_S = 30.0


class DemoServer:
    """A server under ``folder``, which must not exist before and does not exist after."""

    def __init__(self, folder: Path, templates: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.local = LocalServer(folder, templates, **environment)
        self.instance = instance_of(folder / "data")

    @property
    def cgroup(self) -> str:
        return f"sandlot-{self.instance}"

    def start(self) -> None:
        """Takes over what a killed demo left running. Raises RuntimeError with the server's last words."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.local.start()

    def end(self) -> list[str]:
        """Kill every sandbox, stop, remove everything. Returns what is left on the machine: nothing."""
        if not self.local.log.is_file():
            return []
        try:
            self.local.end()
        except (OSError, RuntimeError, httpx.HTTPError, subprocess.TimeoutExpired) as error:
            print(f"the server could not be asked to clean up: {error}", file=sys.stderr)
        shutil.copy(self.local.log, self.folder.parent)
        deadline = time.monotonic() + _SETTLE_S
        while (left := list(self.leftovers())) and time.monotonic() < deadline:
            time.sleep(0.2)
        if not left:
            shutil.rmtree(self.folder, ignore_errors=True)
        return left

    def leftovers(self) -> Iterator[str]:
        """Everything on this machine that carries the instance's name or stands on its folder."""
        folder = str(self.folder.resolve())
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if folder in line or f"/sl-{self.instance}-" in line:
                yield f"mount {line.split()[4]}"
        for line in _lines("losetup", "--noheadings", "--output", "NAME,BACK-FILE"):
            if folder in line:
                yield f"loop device {line.split()[0]}"
        for line in _lines("ip", "netns", "list"):
            if line.startswith(f"sl-{self.instance}-"):
                yield f"network namespace {line.split()[0]}"
        for line in _lines("ip", "-brief", "link"):
            if line.startswith(f"sl{self.instance}"):
                yield f"network link {line.split()[0]}"
        for line in _lines("nft", "list", "tables"):
            if f"sandlot_{self.instance}" in line:
                yield f"firewall {line}"
        for path in Path("/sys/fs/cgroup").rglob(f"{self.cgroup}*"):
            yield f"control group {path}"
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                facts = (process / "cmdline").read_bytes() + (process / "cgroup").read_bytes()
                if folder.encode() in facts or self.cgroup.encode() in facts:
                    yield f"process {process.name} {(process / 'comm').read_text().strip()}"


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
