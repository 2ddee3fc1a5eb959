"""An owner for background tasks: nothing runs that nobody would cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

import structlog

from sandlot.errors import SandlotError

_log = structlog.get_logger(__name__)


class Tasks:
    """Tasks that live until they are done or their owner closes. A failure is logged, never lost."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(
        self, work: Coroutine[Any, Any, Any], *, name: str, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """In a copy of the caller's context, or in ``context``."""
        task = asyncio.create_task(work, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._done, context=context)
        return task

    async def close(self) -> None:
        """Cancel all and wait until each has cleaned up."""
        pending = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _tell(task.get_name(), error)


def _tell(name: str, error: BaseException) -> None:
    if isinstance(error, SandlotError):
        # Foreseen, and whoever waits for the task is told: no bug to be traced.
        _log.warning("background task failed", task=name, code=error.code, reason=error.message)
    else:
        _log.error("background task failed", task=name, exc_info=error)
