"""Packs: files in which pages lie, each written once, and read by as many snapshots as share pages.

What no snapshot needs any more becomes a hole; a pack that none needs is removed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from sandlot.node import syscalls
from sandlot.node.snapshots.pages import PAGE
from sandlot.node.snapshots.ranges import Range
from sandlot.node.sums import sync_folder


class Packs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def new_name(self) -> str:
        return secrets.token_hex(8)

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()

    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def sync(self) -> None:
        sync_folder(self.folder)

    def allocated_bytes(self, name: str) -> int:
        return self.path(name).stat().st_blocks * 512

    def free(self, name: str, ranges: Iterable[Range]) -> None:
        """Give back the space of these pages, where the pack is there."""
        try:
            descriptor = os.open(self.path(name), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            for first, end in ranges:
                syscalls.punch_hole(descriptor, first * PAGE, (end - first) * PAGE)
        finally:
            os.close(descriptor)
