"""Everything of one instance that is on this host, counted against what should be."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SETTLED_WITHIN_S = 30.0


class Host:
    """``idle_networks`` and ``idle_disks`` stand ready in a server that has settled."""

    def __init__(self, instance: str, data_dir: Path, *, idle_networks: int, idle_disks: int) -> None:
        self._instance = instance
        self._node = data_dir / "node"
        self._run = Path(f"/run/sandlot-{instance}")
        self._idle_networks = idle_networks
        self._idle_disks = idle_disks

    def mismatches(self, live: Iterable[str]) -> list[str]:
        """What is not as it must be with these sandboxes running and the pools full."""
        ids = set(live)
        networks, disks = len(ids) + self._idle_networks, len(ids) + self._idle_disks
        mounts = self._mounts()
        elements = self._elements()
        found = [
            _same("records", self._names(self._node / "sandboxes"), ids),
            _same("run folders", self._names(self._run / "sandboxes"), ids),
            _same("control groups", self.groups().keys(), ids),
            _same("processes", {id for id, pids in self.groups().items() if pids}, ids),
            _same("runtimes elsewhere", self._strays(ids), ()),
            _many("overlays", [point for point in mounts if point.endswith("/root")], len(ids)),
            _many("disk mounts", [p for p in mounts if not p.endswith(("/root", "/runtime"))], disks),
            _many("runtimes in huge pages", [point for point in mounts if point.endswith("/runtime")], 1),
            _many("disk images", self._names(self._node / "disks"), disks),
            _many("loop devices", self._loops(), disks),
            _many("namespaces", _named("/run/netns", f"sl-{self._instance}-"), networks),
            _many("namespace mounts", self._mounts(f"/run/netns/sl-{self._instance}-"), networks),
            _many("cables", _named("/sys/class/net", f"sl{self._instance}-"), networks),
            _many("addresses in the firewall", elements["slots"], networks),
            _same("probe's", [str(path) for path in Path("/run").glob(f"{self._run.name}-*")], ()),
        ]
        return [line for line in found if line]

    def expect(self, live: Iterable[str]) -> None:
        """Cleaning goes on in the background for a moment; what is wrong after that stays wrong."""
        ids = list(live)
        until(lambda: self.mismatches(ids))

    def expect_nothing(self) -> None:
        """As after the last sandbox ended and the server was stopped."""
        until(self._rest)

    def groups(self) -> dict[str, list[int]]:
        """The processes in each sandbox's control groups."""
        found: dict[str, set[int]] = {}
        for parent in _hierarchies(f"sandlot-{self._instance}"):
            for folder in parent.iterdir():
                if folder.is_dir():
                    found.setdefault(folder.name, set()).update(_pids(folder / "cgroup.procs"))
        return {id: sorted(pids) for id, pids in found.items()}

    def main_of(self, id: str) -> int | None:
        """The runtime's main process, where the sandbox's record knows it yet."""
        try:
            record = json.loads((self._node / "sandboxes" / id / "record.json").read_text())
        except FileNotFoundError:
            return None
        return record["main"]["pid"] if record.get("main") else None

    def _rest(self) -> list[str]:
        rest = [
            f"mount {point}" for point in self._mounts() + self._mounts(f"/run/netns/sl-{self._instance}-")
        ]
        rest += [f"group {id}" for id in self.groups()]
        rest += [f"loop {file}" for file in self._loops()]
        rest += _named("/run/netns", f"sl-{self._instance}-") + _named(
            "/sys/class/net", f"sl{self._instance}-"
        )
        rest += [str(path) for path in Path("/run").glob(f"{self._run.name}*")]
        rest += [str(path) for name in ("sandboxes", "disks") for path in (self._node / name).glob("*")]
        if f"sandlot_{self._instance}" in _output("nft", "list", "tables"):
            rest.append("the firewall's table")
        return rest + self._strays(set())

    def _mounts(self, prefix: str = "") -> list[str]:
        prefix = prefix or f"{self._run}/"
        table = Path("/proc/self/mountinfo").read_text().splitlines()
        return [point for line in table if (point := line.split(" ")[4]).startswith(prefix)]

    def _loops(self) -> list[str]:
        found = []
        for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                found.append(entry.read_text().strip())
            except OSError:
                continue
        return [file for file in found if file.startswith(f"{self._node}/")]

    def _strays(self, ids: set[str]) -> list[str]:
        """Runtimes of ours that belong to none of the sandboxes, in whatever control group."""
        mark = f"{self._run}/sandboxes/".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in command and not any(id.encode() in command for id in ids):
                found.append(f"{process.name} {command[:200]!r}")
        return found

    def _elements(self) -> dict[str, list[Any]]:
        listing = json.loads(_output("nft", "-j", "list", "table", "inet", f"sandlot_{self._instance}"))
        sets = (entry["set"] for entry in listing["nftables"] if "set" in entry)
        return {each["name"]: each.get("elem", []) for each in sets}

    def _names(self, folder: Path) -> list[str]:
        return os.listdir(folder) if folder.is_dir() else []


def until(wrong: Callable[[], list[str]], within_s: float = SETTLED_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while found := wrong():
        assert time.monotonic() < deadline, "\n".join(found)
        time.sleep(0.05)


def _hierarchies(name: str) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    return [path for path in (root / name, *(each / name for each in root.iterdir())) if path.is_dir()]


def _pids(path: Path) -> set[int]:
    try:
        return {int(line) for line in path.read_text().split()} - {0}
    except OSError:
        return set()


def _named(folder: str, prefix: str) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(prefix)] if Path(folder).is_dir() else []


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout or '{"nftables": []}'


def _same(what: str, found: Iterable[str], expected: Iterable[str]) -> str:
    extra, missing = set(found) - set(expected), set(expected) - set(found)
    return f"{what}: too many {sorted(extra)}, missing {sorted(missing)}" if extra or missing else ""


def _many(what: str, found: list[Any], expected: int) -> str:
    return f"{what}: {len(found)} instead of {expected}: {found}" if len(found) != expected else ""
