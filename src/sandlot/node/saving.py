"""A sandbox stands still while it is saved: what suspending it, snapshots and forks have in common."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from sandlot.errors import Conflict, SandlotError, Unavailable
from sandlot.node import sums
from sandlot.node.making import Maker, to_end
from sandlot.node.model import Tier
from sandlot.node.records import Record
from sandlot.node.sandbox import NodeSandbox
from sandlot.node.snapshots import Space

log = structlog.get_logger(__name__)

_SLACK_BYTES = 64 << 20
"""What a checkpoint has besides what the control group holds, at most."""
_LEAST_S = 30.0
_SLOWEST = 32 << 20  # bytes a second


@dataclass
class Still:
    """One that stands still. ``stays`` is set by whoever ends it: then it is not let go on."""

    sandbox: NodeSandbox
    record: Record
    stays: bool = False


class Saver:
    def __init__(self, maker: Maker, space: Space) -> None:
        self._maker = maker
        self._space = space

    @asynccontextmanager
    async def still(self, id: str, why: str, *, memory: bool) -> AsyncIterator[Still]:
        """Nothing in it runs and nobody reaches it; afterwards it is as it was, running or paused.

        With ``memory`` it is ready for ``checkpoint``, and its connections end. Should the server be killed
        meanwhile, the next one finds in the record that it must let it go on. Raises NotFound, Conflict,
        Unavailable, DeadlineExceeded.
        """
        sandbox, record = self._maker.found(id), self._maker.recorded(id)
        check_tier(record.tier, memory=memory)
        still = Still(sandbox, self._maker.note(record, saving=True))
        sandbox.refuse_calls(Unavailable(f"sandbox {id} {why}; try again in a moment"))
        with contextlib.ExitStack() as stack:
            try:
                if memory:
                    stack.enter_context(sandbox.held_awake())
                    await sandbox.hang_up()
                    await to_end(self._maker.driver(record.tier).pause(id, self._maker.run_folder(id)))
                else:
                    await sandbox.stand_still()
                yield still
            finally:
                if not still.stays:
                    await to_end(self._go_on(record, sandbox, memory=memory))

    async def _go_on(self, record: Record, sandbox: NodeSandbox, *, memory: bool) -> None:
        id = record.id
        try:
            if memory:
                await self._maker.driver(record.tier).resume(id, self._maker.run_folder(id))
        except SandlotError as error:
            log.warning("a sandbox may not go on after it stood still", sandbox=id, reason=error.message)
        self._maker.note(record, saving=False)
        try:
            await (sandbox.pause() if record.paused else sandbox.wake())
        except SandlotError as error:
            log.warning("a sandbox does not go on as before", sandbox=id, reason=error.message)

    async def checkpoint(self, still: Still, into: Path, *, durable: bool = False) -> None:
        """Its memory, in a new folder; on failure there is none. ``durable``: it is to be on disk soon.

        Raises Conflict, NotEnoughSpace, Unavailable, DeadlineExceeded.
        """
        record = still.record
        use = await asyncio.to_thread(still.sandbox.parts.cgroup.memory)
        self._space.check(use.held_bytes + _SLACK_BYTES)
        await asyncio.to_thread(_empty, into)
        bundle, timeout_s = self._maker.run_folder(record.id), _LEAST_S + record.memory_bytes / _SLOWEST
        driver, parts = self._maker.driver(record.tier), still.sandbox.parts
        try:
            writing = driver.checkpoint(record.id, bundle, into, timeout_s)
            await to_end(sums.written_out(into, writing) if durable else writing)
            if not await asyncio.to_thread(driver.is_whole, parts.cgroup, parts.main):
                raise Unavailable(f"a part of sandbox {record.id}'s runtime ended before it was saved")
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise

    def check_runtime(self, tier: Tier, version: str | None, what: str) -> None:
        """Raises Conflict where memory was saved by another runtime than this host has."""
        if (here := self._maker.runtimes.get(tier)) != version:
            raise Conflict(
                f"{what} was saved by version {version} of its runtime, and this host has {here}: only the"
                " same version can bring its memory back"
            )


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)


def check_tier(tier: Tier, *, memory: bool) -> None:
    """Raises Conflict where it cannot keep memory."""
    if memory and not tier.keeps_memory:
        raise Conflict(f"the {tier} tier keeps files only, not memory and processes: ask without memory")
