"""The memory of sandboxes that were paused goes to the host's swap, where it has any.

One at a time, in the background: nobody waits for it. What is used again comes back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

_MEMINFO = Path("/proc/meminfo")
_LEAST_BYTES = 64 << 20


class Group(Protocol):
    """Both raise OSError."""

    def swap_out(self, stop: Callable[[], bool]) -> None: ...
    def stay_in_memory(self) -> None: ...


@dataclass(eq=False)
class _Swapping:
    task: asyncio.Task[None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)


class Swapper:
    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._going: dict[str, _Swapping] = {}
        self._all: set[asyncio.Task[None]] = set()

    def begin(self, id: str, group: Group) -> None:
        """It stands still, and will for a while."""
        if id in self._going or free_swap_bytes() < _LEAST_BYTES:
            return
        swapping = self._going[id] = _Swapping()
        swapping.task = task = asyncio.create_task(self._swap(id, group, swapping), name=f"swap out {id}")
        self._all.add(task)
        task.add_done_callback(self._all.discard)

    def end(self, id: str) -> None:
        """It is to run again, or has ended. Does not wait. Idempotent."""
        if (swapping := self._going.pop(id, None)) is not None:
            swapping.stop.set()

    async def close(self) -> None:
        """Begin nothing more, and wait for the end of what has begun."""
        for id in list(self._going):
            self.end(id)
        if self._all:
            await asyncio.wait(self._all)

    async def _swap(self, id: str, group: Group, swapping: _Swapping) -> None:
        async with self._turn:
            if not swapping.stop.is_set():
                await asyncio.to_thread(_swap_out, id, group, swapping.stop)
        if self._going.get(id) is swapping:
            del self._going[id]


def _swap_out(id: str, group: Group, stop: threading.Event) -> None:
    try:
        group.swap_out(stop.is_set)
    except OSError as error:
        log.info("the memory of a paused sandbox stays where it is", sandbox=id, reason=str(error))
    with contextlib.suppress(OSError):
        group.stay_in_memory()


def free_swap_bytes() -> int:
    """``SwapFree`` of proc_meminfo(5)."""
    for line in _MEMINFO.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "SwapFree":
            return int(value.split()[0]) << 10
    return 0
