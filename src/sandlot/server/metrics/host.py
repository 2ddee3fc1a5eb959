"""The machine under the server. Blocks for three small reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MEMINFO: Final = Path("/proc/meminfo")
_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Host:
    """``disk_…`` of the file system that holds the data folder. ``load`` as in getloadavg(3), of a minute."""

    memory_bytes: int
    memory_available_bytes: int
    disk_bytes: int
    disk_available_bytes: int
    load: float
    cpus: int


def look_at_host(data_dir: Path) -> Host:
    """Raises OSError where the data folder is gone."""
    memory = {}
    for line in _MEMINFO.read_text().splitlines():
        name, _, figure = line.partition(":")
        memory[name] = int(figure.split()[0]) * _KIB
    disk = os.statvfs(data_dir)
    return Host(
        memory_bytes=memory["MemTotal"],
        memory_available_bytes=memory["MemAvailable"],
        disk_bytes=disk.f_blocks * disk.f_frsize,
        disk_available_bytes=disk.f_bavail * disk.f_frsize,
        load=os.getloadavg()[0],
        cpus=os.cpu_count() or 1,
    )
