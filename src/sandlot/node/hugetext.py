"""A copy of a runtime in huge pages, from which it starts for less.

For one sandbox `runsc` executes itself seven times, and each time a thousand pages of its program must be
mapped, a few by each fault. In a tmpfs of huge pages (Documentation/admin-guide/mm/transhuge.rst) one fault
maps two megabytes, and the tables that describe them are the same for all sandboxes: a tenth of a start's
processor time, as measured.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import structlog

from sandlot.node import mounts, syscalls

log = structlog.get_logger(__name__)

_SLACK = 4 << 20  # what a tmpfs of huge pages rounds up


def place(program: Path, folder: Path) -> Path:
    """A copy of ``program`` in huge pages, mounted at ``folder``; where this kernel has none, the program.

    What an earlier server left there is replaced; processes that run from it go on.
    """
    remove(folder)
    folder.mkdir(mode=0o755)
    copy = folder / program.name
    try:
        size = program.stat().st_size + _SLACK
        flags = syscalls.MS_NODEV | syscalls.MS_NOSUID
        syscalls.mount("none", folder, "tmpfs", flags, f"huge=always,mode=755,size={size}")
        shutil.copy(program, copy)
    except OSError as error:
        log.info("a runtime is not kept in huge pages", program=str(program), reason=str(error))
        remove(folder)
        return program
    return copy


def remove(folder: Path) -> None:
    """Idempotent. What runs from the copy goes on."""
    mounts.take_off(folder)
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()
