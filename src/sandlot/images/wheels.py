"""Fetches Python wheels for a guest with the host's own pip: its mirrors, its proxy, its certificates."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandlot.errors import Unavailable
from sandlot.images.runner import Runner

_DOWNLOAD_DEADLINE_S = 3600
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_OLDEST_MANYLINUX, _NEWEST_MANYLINUX = (
    5,
    35,
)  # 35 is the C library of the oldest guest supported, Ubuntu 22.04


@dataclass(frozen=True)
class GuestPython:
    """The interpreter that the wheels are for: ``version`` like "3.11", ``machine`` like "x86_64"."""

    version: str
    machine: str

    @classmethod
    def of_rootfs(cls, rootfs: Path, architecture: str) -> GuestPython:
        """Reads it off the file system, whose python3 is a link to the interpreter with its version."""
        name = (rootfs / "usr/bin/python3").readlink().name
        machine = _MACHINES.get(architecture)
        if machine is None:
            raise Unavailable(
                f"there are no wheels for {architecture}; this template is for {', '.join(_MACHINES)}"
            )
        return cls(name.removeprefix("python"), machine)

    def pip_options(self) -> list[str]:
        """Tells ``pip download`` about another interpreter; it does not derive older platform tags itself."""
        tags = [f"manylinux_2_{n}" for n in range(_NEWEST_MANYLINUX, _OLDEST_MANYLINUX - 1, -1)]
        tags += ["manylinux2014", "manylinux2010", "manylinux1", "linux"]
        platforms = [f"--platform={tag}_{self.machine}" for tag in tags]
        return [f"--python-version={self.version}", "--implementation=cp", *platforms]

    def read_pins(self, folder: Path) -> str:
        """The pinned requirements for this interpreter. Raises Unavailable where there are none."""
        try:
            return (folder / f"python{self.version}.txt").read_text()
        except FileNotFoundError:
            known = ", ".join(sorted(path.stem.removeprefix("python") for path in folder.glob("*.txt")))
            raise Unavailable(
                f"the guest has Python {self.version}, and this template's packages are pinned for {known}"
            ) from None


async def download(
    requirements: Path,
    target: Path,
    python: GuestPython,
    runner: Runner,
    report: Callable[[str, float | None], None],
) -> None:
    """Puts the wheels that ``requirements`` pins into ``target``, telling of each as it begins."""
    total = await asyncio.to_thread(lambda: requirements.read_text().count("=="))
    begun = 0

    def on_line(line: str) -> None:
        nonlocal begun
        if line.startswith(("Collecting ", "Processing ")):  # from an index, or a file that pip has already
            begun += 1
            name = re.split(r"==|-\d", Path(line.split()[1]).name)[0]
            report(f"fetching {name}", min(begun / total, 1.0))

    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar=off"]
    await runner.run(
        [*pip, *python.pip_options(), "--dest", target, "--requirement", requirements],
        deadline_s=_DOWNLOAD_DEADLINE_S,
        isolated=False,
        on_line=on_line,
    )
