"""What a node writes down of each sandbox before it makes any of it, so that a crash at any point can be
undone.

Written aside and renamed, without fsync: a record must survive the server's death, not the machine's; after
that no sandbox is left that it could tell about, but for those that are kept on disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import structlog

from sandlot.node.cgroups import Limits
from sandlot.node.drivers.base import Started
from sandlot.node.model import Tier
from sandlot.node.sums import Sum, sync_folder

log = structlog.get_logger(__name__)


class Suspended(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of a sandbox is on disk: its disk's image, and with ``memory`` the files of a checkpoint, by name.

    ``waking``: something may run that was made from that.
    """

    memory: dict[str, Sum] | None = None
    waking: bool = False


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Names are known before the things are made. ``main`` is there once the sandbox has started.

    ``paused``: it is to stand still until somebody resumes it. ``saving``: it stands still inside, for as
    long as it takes to save it. ``layers`` are what its disk lies over, and ``runtime`` is the version that
    it runs on. ``aside`` is what it was, suspended, until it has gone back to a snapshot.
    """

    id: str
    tier: Tier
    secret: str
    memory_bytes: int
    limits: Limits
    disk_bytes: int
    internet: bool
    disk: str | None = None
    network: str | None = None
    main: Started | None = None
    paused: bool = False
    saving: bool = False
    hostname: str = ""
    layers: tuple[str, ...] = ()
    runtime: str | None = None
    generation: int = 0
    suspended: Suspended | None = None
    last_snapshot: str | None = None
    aside: Record | None = None
    version: int = 1

    def disks(self) -> dict[str, int]:
        """Its disk slots: their sizes, by name."""
        own = {} if self.disk is None else {self.disk: self.disk_bytes}
        return own | (self.aside.disks() if self.aside is not None else {})


# Made before there are threads: two that are the first to decode a type at once crash the process.
_DECODER = msgspec.json.Decoder(Record)


class Records:
    """One folder per sandbox below ``folder``, readable by root alone: it holds the agent's secret."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder(self, id: str) -> Path:
        """What lies in it goes with the record."""
        return self._folder / id

    def write(self, record: Record, *, durable: bool = False) -> None:
        """``durable``: when this returns it survives the machine's death, too; that takes milliseconds."""
        folder = self._folder / record.id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = folder / "record.json.new"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(record))  # all of it, or an error: a full disk takes a part
            if durable:
                file.flush()
                os.fsync(file.fileno())
        aside.rename(folder / "record.json")
        if durable:
            for each in (folder, self._folder):
                sync_folder(each)

    def read(self, id: str) -> Record | None:
        """None when there is none, or none that can be read: then only the world knows what is left."""
        path = self._folder / id / "record.json"
        try:
            return _DECODER.decode(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
            log.warning("unreadable record", path=str(path), reason=str(error))
            return None

    def ids(self) -> set[str]:
        return {path.name for path in self._folder.iterdir()} if self._folder.is_dir() else set()

    def remove(self, id: str) -> None:
        """Raises OSError where it cannot be removed."""
        folder = self._folder / id
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)


def changed(record: Record, **changes: Any) -> Record:
    return msgspec.structs.replace(record, **changes)
