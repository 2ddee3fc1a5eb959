"""The demo's own server, and the proof that nothing of it is left when it has gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import httpx

from sandlot.node.model import instance_of
from sandlot.server.local import LocalServer

_SETTLE_S = 30.0


class DemoServer:
    """A server under ``folder``, which holds nothing before and does not exist after."""

    def __init__(self, folder: Path, templates: Path, environment: dict[str, str]) -> None:
        self.folder = folder.resolve()
        self.local = LocalServer(self.folder, templates, **environment)
        self.instance = instance_of(self.folder / "data")
        # Where any user of a host could write, unlike below a checkout in root's home.
        self.canaries = Path("/var/tmp", f"sandlot-demo-{self.instance}")  # noqa: S108 - made anew
        self._lock: IO[bytes] | None = None
        self._ready = False

    @property
    def cgroup(self) -> str:
        return f"sandlot-{self.instance}"

    def start(self) -> None:
        """Takes over what a killed demo left. Raises RuntimeError, with the server's last words."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder.parent / "lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another demo is running in {self.folder.parent}") from None
        self._lock = lock
        self._stop_orphans()
        shutil.rmtree(self.canaries, ignore_errors=True)
        self.canaries.mkdir()
        self.local.start()
        self._ready = True

    def end(self) -> list[str]:
        """Kill every sandbox, stop, remove everything. Returns what is left on the machine: nothing."""
        if self._lock is None:
            return []
        try:
            self._end()
        except (OSError, RuntimeError, httpx.HTTPError, subprocess.TimeoutExpired) as error:
            print(f"the server could not be asked to clean up: {error}", file=sys.stderr)
            with suppress(RuntimeError, subprocess.TimeoutExpired):
                self.local.crash()
        deadline = time.monotonic() + _SETTLE_S
        while (left := list(self.leftovers())) and time.monotonic() < deadline:
            time.sleep(0.2)
        if self.local.log.is_file():
            shutil.copy(self.local.log, self.folder.parent)
        shutil.rmtree(self.canaries, ignore_errors=True)
        if not left:
            shutil.rmtree(self.folder)
        return left

    def _end(self) -> None:
        if not self._ready:
            # Interrupted while it was starting: ended in good order, it can be asked again.
            self.local.stop()
        self.local.end()

    def _stop_orphans(self) -> None:
        deadline = time.monotonic() + _SETTLE_S
        while (orphans := list(self._servers())) and time.monotonic() < deadline:
            for process in orphans:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
            time.sleep(0.5)

    def _servers(self) -> Iterator[int]:
        """Processes that run a server on this folder."""
        mark = f"SANDLOT_DATA_DIR={self.folder / 'data'}\0".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes():
                    yield int(process.name)

    def leftovers(self) -> Iterator[str]:
        """Everything on this machine that carries the instance's name or stands on its folder."""
        folder = str(self.folder)
        for process in self._servers():
            yield f"server, process {process}"
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
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                facts = (path / "cmdline").read_bytes() + (path / "cgroup").read_bytes()
                if folder.encode() in facts or self.cgroup.encode() in facts:
                    yield f"process {path.name} {(path / 'comm').read_text().strip()}"


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
