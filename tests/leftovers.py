"""What Sandlot leaves on a machine while it works; nothing of it may remain after."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

_SETTLE_S = 30.0


@dataclass(frozen=True)
class Footprint:
    """Names of everything on this machine that a sandbox may be made of."""

    mounts: frozenset[str]
    loops: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    tables: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]

    @classmethod
    def take(cls) -> Self:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return cls(
            mounts=frozenset(line.split()[4] for line in mounts),
            loops=frozenset(_lines("losetup", "--noheadings", "--output", "NAME,BACK-FILE")),
            namespaces=frozenset(path.name for path in _children("/run/netns")),
            links=frozenset(link["ifname"] for link in json.loads(_output("ip", "-json", "link") or "[]")),
            tables=frozenset(_lines("nft", "list", "tables")),
            cgroups=frozenset(str(path) for path in Path("/sys/fs/cgroup").rglob("sandlot-*")),
            processes=frozenset(_runtimes()),
        )

    def expect_same(self) -> None:
        """Cleaning goes on in the background for a moment; then nothing may differ."""
        deadline = time.monotonic() + _SETTLE_S
        while (left := self.more_in(Footprint.take())) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not left, f"left behind: {left}"

    def more_in(self, after: Footprint) -> dict[str, list[str]]:
        more = {
            each.name: sorted(getattr(after, each.name) - getattr(self, each.name)) for each in fields(self)
        }
        return {name: found for name, found in more.items() if found}


def _runtimes() -> list[str]:
    """Whatever runs in a control group of ours, by pid and name."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            cgroup = (process / "cgroup").read_text()
        except OSError:
            continue
        if "/sandlot-" in cgroup:
            found.append(f"{process.name} {name}")
    return found


def _children(folder: str) -> list[Path]:
    path = Path(folder)
    return list(path.iterdir()) if path.is_dir() else []


def _lines(*command: str) -> list[str]:
    return _output(*command).splitlines()


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
