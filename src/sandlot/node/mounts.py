"""The host's mount table, and taking mounts out of it for certain."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

from sandlot.node import syscalls


def mounted_under(folder: Path) -> list[Path]:
    """Mount points at or below ``folder``, the last mounted first."""
    prefix = f"{folder}/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        points = [unescape(line.split(" ", 5)[4]) for line in table]
    return [Path(point) for point in reversed(points) if f"{point}/".startswith(prefix)]


def remove(points: Iterable[Path]) -> None:
    """Unmount each, lazily: what still has a file open in it goes on until it closes it."""
    for point in points:
        try:
            syscalls.umount(point, syscalls.MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise


def take_off(point: Path) -> None:
    """Unmount whatever is mounted at ``point``, with all below it. The host's whole table is not read."""
    while True:
        try:
            syscalls.umount(point, syscalls.MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            return


def holders_of(folder: Path) -> list[int]:
    """Processes whose mount namespace has something mounted at ``folder``, one per namespace."""
    found: dict[str, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            namespace = os.readlink(process / "ns/mnt")
            if namespace not in found and f" {folder} " in (process / "mountinfo").read_text(
                errors="replace"
            ):
                found[namespace] = int(process.name)
    return list(found.values())


def unescape(text: str) -> str:
    """A field of mountinfo as it was: what would break a line is written in octal (proc_pid_mountinfo(5))."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
