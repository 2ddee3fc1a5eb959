"""Room on the host's disk, as it is now."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sandlot.errors import NotEnoughSpace


class Space:
    """What the host's file system has to give, less what is kept."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._make_room: Callable[[], None] | None = None

    def made_by(self, make_room: Callable[[], None]) -> None:
        """Who removes what can be made again, when space is short."""
        self._make_room = make_room

    def check(self, more_bytes: int = 0) -> None:
        """Raises NotEnoughSpace."""
        if self._free() < more_bytes and self._make_room is not None:
            self._make_room()
        if (free := self._free()) < more_bytes:
            raise NotEnoughSpace(
                f"saving this needs {more_bytes >> 20} MiB more, and the host has {max(0, free) >> 20} MiB to"
                f" give: the file system of {self._folder}, less {self._reserve_bytes >> 20} MiB kept."
                " Delete snapshots, or free space on the host"
            )

    def _free(self) -> int:
        usage = os.statvfs(self._folder)
        return usage.f_bavail * usage.f_frsize - self._reserve_bytes
