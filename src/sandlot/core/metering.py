"""What each tenant's sandboxes have used, those that ended included: totals that never go down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from sandlot.core.history import SAMPLE_EVERY_S, History, Sample, began_at
from sandlot.core.model import Sandbox
from sandlot.node import Node, Usage

_log = structlog.get_logger(__name__)

FRESH_S: Final = 1.0
PATIENCE_S: Final = 3.0
_NOTHING: Final = Usage()


@dataclass(slots=True)
class _Metered:
    tenant: str
    base: Usage | None
    """What it had used before this process began to count; not known of an adopted one before a look."""
    history: History
    last: Usage = _NOTHING
    ending: bool = False


class Meter:
    """Counts from the start of this process, like every other count of it.

    What runs is measured when somebody asks and once more when it ends, always from outside.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._metered: dict[str, _Metered] = {}
        self._ended: dict[str, Usage] = {}
        # One of its own: who watches the server must not wait for those who make sandboxes, nor they for him.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sandlot-meter")
        self._measuring: asyncio.Task[None] | None = None
        self._measured_at = -FRESH_S

    def begin(self, sandbox: Sandbox, *, adopted: bool) -> None:
        history = History(None if adopted else began_at(sandbox.created_at))
        self._metered[sandbox.id] = _Metered(sandbox.tenant, None if adopted else _NOTHING, history)

    async def end(self, id: str) -> None:
        """The last look, before its groups are removed. Later calls do nothing."""
        metered = self._metered.get(id)
        if metered is None or metered.ending:
            return
        metered.ending = True
        try:
            found = await asyncio.to_thread(self._node.usage, [id])
            _note(metered, found.get(id))
        finally:
            # Now and not before: until here it is among those that run, so that no total ever goes down.
            del self._metered[id]
            ended = self._ended.get(metered.tenant, _NOTHING)
            self._ended[metered.tenant] = _totals(_sum(ended, metered))

    async def per_tenant(self) -> Mapping[str, Usage]:
        """At most ``FRESH_S`` old; older where measuring takes longer than ``PATIENCE_S``, see ``age_s``."""
        if self.age_s > FRESH_S:
            await self._look()
        totals = dict(self._ended)
        for metered in self._metered.values():
            totals[metered.tenant] = _sum(totals.get(metered.tenant, _NOTHING), metered)
        return totals

    async def history(self, id: str, start: datetime | None, end: datetime | None) -> list[Sample]:
        """What one that runs has used, oldest first. A new one has a sample as soon as somebody asks."""
        if (metered := self._metered.get(id)) is None:
            return []
        for _ in range(2):  # a look that goes on may have begun before this sandbox did
            if not metered.history:
                await self._look()
        return metered.history.between(start, end)

    async def keep_looking(self) -> None:
        """So that there is a history, whoever asks when. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            if self._metered:
                await self._look()

    @property
    def age_s(self) -> float:
        """How old the figures of ``per_tenant`` are."""
        return time.monotonic() - self._measured_at

    async def close(self) -> None:
        if self._measuring is not None:
            await asyncio.wait([self._measuring])
        self._thread.shutdown(wait=False)

    async def _look(self) -> None:
        """Measure, or wait for who does; not for ever."""
        if self._measuring is None:
            self._measuring = asyncio.create_task(self._measure(), name="measure what sandboxes use")
        await asyncio.wait([self._measuring], timeout=PATIENCE_S)

    async def _measure(self) -> None:
        began = time.monotonic()
        ids = list(self._metered)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._node.usage, ids)
            clock, now = time.monotonic(), time.time()
            for id, metered in self._metered.items():
                if (usage := found.get(id)) is not None:
                    _note(metered, usage)
                    metered.history.add(usage, clock=clock, now=now)
            self._measured_at = began
        except Exception as error:
            _log.error("what sandboxes use could not be measured", exc_info=error)
        finally:
            self._measuring = None


def _note(metered: _Metered, usage: Usage | None) -> None:
    if usage is None:
        return
    last = metered.last
    # Its network interface may be gone before it is: what was counted stays counted.
    rx, tx = max(usage.rx_bytes, last.rx_bytes), max(usage.tx_bytes, last.tx_bytes)
    metered.last = replace(usage, rx_bytes=rx, tx_bytes=tx)
    if metered.base is None:
        metered.base = _totals(metered.last)


def _totals(usage: Usage) -> Usage:
    """Without what is only as of a moment."""
    return replace(usage, memory_bytes=0, cache_bytes=0, disk_bytes=0, frozen=0)


def _sum(total: Usage, metered: _Metered) -> Usage:
    if metered.base is None:
        return total
    return total + metered.last - metered.base
