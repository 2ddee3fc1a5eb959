"""How a run is brought to its end: asked, then made, then killed, each step on time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

from sandlot.core.interpreter.kernel import KILL_S, Kernel
from sandlot.errors import GuestError

T = TypeVar("T")

STEP_S = 1.0
"""From one step to the next."""
_INTERRUPTS = 4


class Reason(StrEnum):
    TIMEOUT = "timeout"
    ABANDONED = "abandoned"
    TOO_MUCH_OUTPUT = "too much output"


class Ending:
    """The steps: SIGINT to the kernel alone, so that what its code left running in the background goes on;
    SIGINT to its whole group, three times, which the kernel takes as an order; KILL.
    """

    def __init__(self, kernel: Kernel, timeout: float | None, begun: Callable[[], None]) -> None:
        self._kernel = kernel
        self._begun = begun
        loop = asyncio.get_running_loop()
        self._next = None if timeout is None else loop.time() + timeout
        self._steps = 0
        self._waiting: asyncio.Timeout | None = None
        self.reason: Reason | None = None
        self.killed = False

    def begin(self, reason: Reason) -> None:
        """Begin now, whatever it was that time would have brought; a second reason changes nothing."""
        if self.reason is None:
            self.reason = reason
            self._next = asyncio.get_running_loop().time()
            if self._waiting is not None:
                self._waiting.reschedule(self._next)
            self._begun()

    async def within(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call`` returns. It is cancelled and called again when a step falls due.

        Raises GuestError when the kernel outlives its end.
        """
        while True:
            try:
                async with asyncio.timeout_at(self._next) as waiting:
                    self._waiting = waiting
                    return await call()
            except TimeoutError:
                if not waiting.expired():
                    raise
            finally:
                self._waiting = None
            await self._step()

    async def _step(self) -> None:
        if self.reason is None:
            self.begin(Reason.TIMEOUT)
        if self.killed:
            raise GuestError(f"the kernel still runs {KILL_S:g} s after it was killed")
        self._steps += 1
        self.killed = self._steps > _INTERRUPTS
        self._next = asyncio.get_running_loop().time() + (KILL_S if self.killed else STEP_S)
        if self.killed:
            await self._kernel.kill()
        else:
            await self._kernel.interrupt(group=self._steps > 1)
