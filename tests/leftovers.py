"""What Sandlot leaves on a machine while it works; nothing of it may remain after."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from sandlot.node import instance_of

_SETTLE_S = 30.0


@dataclass(frozen=True)
class Footprint:
    """Names of everything on this machine that a sandbox may be made of, but for what living servers own.

    Several runs may share a machine, each with servers of its own.
    """

    mounts: frozenset[str]
    loops: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    tables: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]

    @classmethod
    def take(cls) -> Self:
        living = _marks_of_the_living()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found = {
            "mounts": [line.split()[4] for line in mounts],
            "loops": _lines("losetup", "--noheadings", "--output", "NAME,BACK-FILE"),
            "namespaces": [path.name for path in _children("/run/netns")],
            "links": [link["ifname"] for link in json.loads(_output("ip", "-json", "link") or "[]")],
            "tables": _lines("nft", "list", "tables"),
            "cgroups": _groups(),
            "processes": _runtimes(),
        }
        return cls(
            **{
                name: frozenset(each for each in names if not any(mark in each for mark in living))
                for name, names in found.items()
            }
        )

    def expect_same(self) -> None:
        """Left behind is what stays: cleaning goes on for a moment, and so do other runs' tests."""
        deadline = time.monotonic() + _SETTLE_S
        left = self.more_in(Footprint.take())
        while left and time.monotonic() < deadline:
            time.sleep(0.2)
            now = self.more_in(Footprint.take())
            both = {name: sorted({*names} & {*now.get(name, ())}) for name, names in left.items()}
            left = {name: names for name, names in both.items() if names}
        assert not left, f"left behind: {left}"

    def more_in(self, after: Footprint) -> dict[str, list[str]]:
        more = {
            each.name: sorted(getattr(after, each.name) - getattr(self, each.name)) for each in fields(self)
        }
        return {name: found for name, found in more.items() if found}


def _marks_of_the_living() -> list[str]:
    """What names of things carry, of the servers that run now."""
    marks = []
    for data_dir in _served():
        instance = instance_of(data_dir)
        marks += [f"sandlot-{instance}", f"sandlot_{instance}", f"sl-{instance}-", f"sl{instance}-"]
        marks.append(str(data_dir))
    return marks


def _served() -> Iterator[Path]:
    """The data folder of each server that the environment told it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if not (process / "cmdline").read_bytes().endswith(b"\0serve\0"):
                continue
            for variable in (process / "environ").read_bytes().split(b"\0"):
                if variable.startswith(b"SANDLOT_DATA_DIR="):
                    yield Path(variable.partition(b"=")[2].decode())
        except OSError:
            continue


def _runtimes() -> list[str]:
    """Whatever runs in a control group of ours, by pid, name and group."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            groups = (process / "cgroup").read_text().splitlines()
        except OSError:
            continue
        ours = [group for group in groups if "/sandlot-" in group]
        if ours:
            found.append(f"{process.name} {name} {ours[0]}")
    return found


def _groups() -> list[str]:
    # os.walk does not mind folders that go meanwhile.
    return [
        f"{folder}/{name}"
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith("sandlot-")
    ]


def _children(folder: str) -> list[Path]:
    path = Path(folder)
    return list(path.iterdir()) if path.is_dir() else []


def _lines(*command: str) -> list[str]:
    return _output(*command).splitlines()


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
