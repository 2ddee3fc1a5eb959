"""Two clocks: the one that people and other machines know, which may jump, and one that only goes on."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """The machine's. ``uptime_s`` counts from the machine's start, through sleep, alike in every process."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def uptime_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
