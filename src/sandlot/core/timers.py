"""What is to be done to a sandbox after a while, unless something else comes before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sandlot.core.tasks import Tasks
from sandlot.log_context import about


class Timers:
    """At most one for each sandbox, and all of one purpose."""

    def __init__(self, tasks: Tasks, what: str, work: Callable[[str], Coroutine[Any, Any, object]]) -> None:
        """``work`` is called with the id of a sandbox whose time has come; ``what`` names it in the log."""
        self._tasks = tasks
        self._what = what
        self._work = work
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def arm(self, id: str, after_s: float | None) -> None:
        """So many seconds from now, instead of whenever it was; None for never."""
        if (old := self._timers.pop(id, None)) is not None:
            old.cancel()
        if after_s is not None:
            self._timers[id] = asyncio.get_running_loop().call_later(
                max(0.0, after_s), self._ring, id, context=about(id)
            )

    def close(self) -> None:
        """None of them does anything any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _ring(self, id: str) -> None:
        self._timers.pop(id, None)
        self._tasks.spawn(self._work(id), name=f"{self._what} {id}")
