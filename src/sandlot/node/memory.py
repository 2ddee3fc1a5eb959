"""How much memory the machine could still give."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


def available_memory_mib() -> int:
    """The kernel's estimate of what new programs can have without swapping (``MemAvailable``), MiB."""
    for line in _MEMINFO.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) // 1024
    raise OSError(f"{_MEMINFO} has no line MemAvailable")
