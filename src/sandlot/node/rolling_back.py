"""Going back in place: the same sandbox as it was in a snapshot.

The snapshot is verified before anything is touched. Then the present state is set aside, suspended, inside
the new record, until the sandbox of the snapshot answers; where it does not come to that, the present state
is taken up again. After a crash in between it is what was set aside, suspended.
"""

from __future__ import annotations

import structlog

from sandlot.errors import Conflict, NotFound, SandlotError
from sandlot.node.copying import Capture, Copying
from sandlot.node.failures import plainly
from sandlot.node.keeping import Keeping
from sandlot.node.making import Maker, to_end
from sandlot.node.model import SandboxSpec
from sandlot.node.records import Record, changed
from sandlot.node.sandbox import NodeSandbox
from sandlot.node.suspending import Suspending

log = structlog.get_logger(__name__)


class RollingBack:
    def __init__(self, maker: Maker, suspending: Suspending, copying: Copying, keeping: Keeping) -> None:
        self._maker = maker
        self._suspending = suspending
        self._copying = copying
        self._keeping = keeping

    async def roll_back(self, id: str, spec: SandboxSpec, snapshot_id: str) -> NodeSandbox:
        """See ``Node.roll_back``."""
        present = self._maker.recorded(id)
        async with self._keeping.opened(snapshot_id, spec, memory=None) as capture:
            runs = id in self._maker.sandboxes
            aside = await self._set_aside(present)
            try:
                sandbox = await self._make(capture, spec, snapshot_id, aside)
            except BaseException as error:
                await to_end(self._go_back(present, spec, runs=runs))
                if (plain := plainly(error)) is not None:
                    raise plain from error
                raise
        await to_end(self._forget(aside))
        return sandbox

    async def _set_aside(self, present: Record) -> Record:
        id = present.id
        if id in self._maker.sandboxes:
            try:
                await self._suspending.suspend(id, memory=present.tier.keeps_memory)
            except Conflict as error:
                # That something in it cannot be saved must not keep it from going back: its files are safe.
                log.info("only files are set aside", sandbox=id, reason=error.message)
                await self._suspending.suspend(id, memory=False)
        await self._suspending.cleared(id)
        record = self._maker.recorded(id)
        if record.suspended is None or record.disk is None:
            raise NotFound(f"sandbox {id} neither runs nor is kept on disk")
        return await self._maker.take_down(record)

    async def _make(
        self, capture: Capture, spec: SandboxSpec, snapshot_id: str, aside: Record
    ) -> NodeSandbox:
        memory = capture.facts.memory is not None
        record = changed(
            self._copying.record(capture.facts, spec, memory=memory), aside=aside, last_snapshot=snapshot_id
        )
        record = await self._maker.note_durably(record)
        return await self._maker.make(record, spec, self._copying.beginning(capture, spec, memory=memory))

    async def _go_back(self, present: Record, spec: SandboxSpec, *, runs: bool) -> None:
        id = present.id
        if (sandbox := self._maker.sandboxes.pop(id, None)) is not None:
            await sandbox.close()
        if (record := self._maker.records.read(id)) is None:
            return
        try:
            await self._suspending.take_up_aside(record)
            if not runs:
                return
            sandbox = await self._suspending.resume(id, spec)
            if present.paused:
                await sandbox.pause()
                self._maker.note(self._maker.recorded(id), paused=True)
        except (OSError, SandlotError) as error:
            log.error("a sandbox that could not go back stays on disk", sandbox=id, reason=str(error))

    async def _forget(self, aside: Record) -> None:
        await self._suspending.give_up_memory(aside.id)
        if aside.disk is not None:
            try:
                await self._maker.disks.release(self._maker.disks.find(aside.disk, aside.disk_bytes))
            except (OSError, SandlotError) as error:
                log.warning("the former disk of a sandbox is left", sandbox=aside.id, reason=str(error))
