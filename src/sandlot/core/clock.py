"""Two clocks: the one that people and other machines know, which may jump, and one that only goes on."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Clock:
    """The machine's. ``uptime_s`` counts from the machine's start, through sleep, alike in every process."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def uptime_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        """Which start of the machine ``uptime_s`` counts from."""
        return _BOOT.read_text().strip()
