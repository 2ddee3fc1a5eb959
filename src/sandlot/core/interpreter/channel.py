"""Events on their way from the task that drives a run to whoever listens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from sandlot.core.interpreter.events import CodeEvent

CAPACITY = 1024 * 1024
"""Bytes that may wait for a slow listener; then the kernel waits."""


class Channel:
    """One producer, one consumer."""

    def __init__(self, abandoned: Callable[[], None]) -> None:
        self._events: deque[tuple[CodeEvent, int]] = deque()
        self._size = 0
        self._overflowing = False
        self._finished = False
        self._failure: BaseException | None = None
        self._changed: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._abandoned = abandoned

    @property
    def full(self) -> bool:
        return self._size >= CAPACITY and not self._overflowing

    @property
    def saturated(self) -> bool:
        """Full, whatever the producer then does."""
        return self._size >= CAPACITY

    def put(self, event: CodeEvent, size: int) -> None:
        """Never waits: a producer that honours the bound asks ``full`` first and waits for ``room``."""
        if not self._finished:
            self._events.append((event, size))
            self._size += size
            self._wake(self._changed)

    async def room(self) -> None:
        """Until the channel is not full. May be cancelled."""
        while self.full:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def overflow(self) -> None:
        """From now on it is never full: the run is being ended, and must not wait for its listener."""
        self._overflowing = True
        self._wake(self._room)

    def finish(self, failure: BaseException | None = None) -> None:
        if not self._finished:
            self._finished = True
            self._failure = failure
            self._wake(self._changed)

    def abandon(self) -> None:
        """The listener is gone: whatever still comes is dropped, and the producer is told."""
        if not self._finished:
            self._finished = True
            self.overflow()
            self._abandoned()
        self._events.clear()
        self._size = 0

    async def get(self) -> CodeEvent | None:
        """The next event; None after the last. Raises what ``finish`` was given."""
        while not self._events:
            if self._finished:
                if self._failure is not None:
                    raise self._failure
                return None
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed
        event, size = self._events.popleft()
        self._size -= size
        if not self.saturated:
            self._wake(self._room)
        return event

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
