"""What a node writes down of each sandbox before it makes any of it, so that a crash at any point can be
undone.

Written aside and renamed, without fsync: a record must survive the server's death, not the machine's;
after that no sandbox is left that it could tell about.
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

log = structlog.get_logger(__name__)


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Names are known before the things are made. ``main`` is there once the sandbox has started.

    ``paused``: it is to stand still until somebody resumes it.
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
    version: int = 1


class Records:
    """One folder per sandbox below ``folder``, readable by root alone: it holds the agent's secret."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, record: Record) -> None:
        folder = self._folder / record.id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = folder / "record.json.new"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(record))  # all of it, or an error: a full disk takes a part
        aside.rename(folder / "record.json")

    def read(self, id: str) -> Record | None:
        """None when there is none, or none that can be read: then only the world knows what is left."""
        path = self._folder / id / "record.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Record)
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
