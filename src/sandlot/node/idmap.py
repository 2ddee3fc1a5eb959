"""Ranges of user ids: root inside a sandbox is a number that nobody has outside, another one per sandbox.

Ranges lie in 0x70000000-0x7FFFFFFF, which systemd's list of reserved ids leaves free; /etc/subuid and
systemd-nspawn hand out smaller ones.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

RANGES = 4096
SIZE = 65536
_FIRST = 0x70000000
# Says when it stands in its namespace, and stays there until its input ends.
_STAND = ("unshare", "--user", "/bin/sh", "-c", "echo; read _")


@dataclass(frozen=True)
class IdRange:
    """Ids 0-65535 inside are ``base``-``base + 65535`` outside, users and groups alike."""

    index: int

    @property
    def base(self) -> int:
        return _FIRST + self.index * SIZE

    def open_userns(self) -> int:
        """A descriptor of a user namespace with this mapping; it lives as long as the descriptor.

        A process must stand in the namespace while it is mapped, so this starts one: not for a hot path.
        """
        pipe = subprocess.PIPE
        with subprocess.Popen(_STAND, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
            if child.stdout is None or child.stdout.readline() != "\n":
                _, said = child.communicate()
                raise OSError(f"this host makes no user namespaces: {said.strip()}")
            process = Path("/proc") / str(child.pid)
            for name in ("uid_map", "gid_map"):
                (process / name).write_text(f"0 {self.base} {SIZE}\n")
            return os.open(process / "ns/user", os.O_RDONLY | os.O_CLOEXEC)


class UserNamespaces:
    """The namespaces of ranges that come round again: opened once, and at most ``limit`` kept for that.

    A namespace holds nothing but its mapping, so the next sandbox of a range finds it as new.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[IdRange, int] = {}

    def open(self, ids: IdRange) -> int:
        """A descriptor that the caller closes. Raises OSError."""
        if (kept := self._kept.get(ids)) is not None:
            return os.dup(kept)
        descriptor = ids.open_userns()
        if len(self._kept) < self._limit:
            self._kept[ids] = os.dup(descriptor)
        return descriptor

    def keeps(self, ids: IdRange) -> bool:
        return ids in self._kept

    def close(self) -> None:
        for descriptor in self._kept.values():
            os.close(descriptor)
        self._kept.clear()
