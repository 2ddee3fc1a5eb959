"""How late the event loop is: every request waits at least that long."""

from __future__ import annotations

import asyncio
from typing import Final

from sandlot.tally import Durations

LOOK_EVERY_S: Final = 0.5


class LoopLag:
    """``seconds`` are how much later than asked a timer rang."""

    def __init__(self) -> None:
        self.seconds = Durations()

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self.seconds.observe(max(0.0, loop.time() - due))
