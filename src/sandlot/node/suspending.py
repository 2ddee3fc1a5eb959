"""A sandbox that is kept on disk with nothing of it running, and comes back from there.

Its disk's image stays where it is; a checkpoint of its memory lies beside its record. The record decides:
until it says ``suspended``, and is on disk, the sandbox goes on whatever happens; from then on what runs is
removed. Back again it is the other way round: what was kept is given up when the record says so, once the
agent answers.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import structlog

from sandlot.errors import Conflict, NotFound, SandlotError
from sandlot.network import NetworkPolicy
from sandlot.node import ext4, sums
from sandlot.node.disks import DiskSlot
from sandlot.node.failures import plainly
from sandlot.node.making import Beginning, Maker, to_end
from sandlot.node.model import SandboxSpec
from sandlot.node.processes import identify
from sandlot.node.records import Record, Suspended, changed
from sandlot.node.sandbox import NodeSandbox, connect
from sandlot.node.saving import Saver, Still

log = structlog.get_logger(__name__)

_WAKING_S = 10.0


class Suspending:
    def __init__(self, maker: Maker, saver: Saver) -> None:
        self._maker = maker
        self._saver = saver
        self._forgetting: dict[str, asyncio.Task[None]] = {}
        self._clearing: dict[str, asyncio.Task[Record]] = {}

    def image(self, id: str) -> Path:
        """The folder with the memory of one that is suspended."""
        return self._maker.records.folder(id) / "memory"

    async def suspend(self, id: str, *, memory: bool) -> None:
        """See ``Node.suspend``."""
        async with self._saver.still(id, "is being put on disk", memory=memory) as still:
            record = await self._write_out(still, memory=memory)
            still.stays = True
        await to_end(self._end(still.sandbox, record))

    async def _write_out(self, still: Still, *, memory: bool) -> Record:
        image = self.image(still.record.id)
        await self.forgotten(still.record.id)
        try:
            if memory:
                await self._saver.checkpoint(still, image, durable=True)
            disk = asyncio.to_thread(_write_disk, still.sandbox.parts.disk)
            files = await to_end(asyncio.to_thread(sums.seal, image)) if memory else None
            await to_end(disk)
            return await self._maker.note_durably(
                still.record, suspended=Suspended(files), saving=False, paused=False
            )
        except BaseException as error:
            self._maker.note(still.record)
            await to_end(asyncio.to_thread(shutil.rmtree, image, ignore_errors=True))
            if (plain := plainly(error)) is not None:
                raise plain from error
            raise

    async def _end(self, sandbox: NodeSandbox, record: Record) -> None:
        """It stands still and is on disk: what is left to be removed takes the kernel a while."""
        id = sandbox.id
        self._maker.sandboxes.pop(id, None)
        await sandbox.close()
        task = self._clearing[id] = asyncio.create_task(self._clear_away(record), name=f"clear away {id}")
        task.add_done_callback(lambda _: self._clearing.pop(id, None))

    async def cleared(self, *ids: str) -> None:
        """Wait until nothing runs or is mounted of what was suspended, of these or all. For whoever begins
        something with it.
        """
        while tasks := [self._clearing[id] for id in ids or self._clearing if id in self._clearing]:
            await asyncio.wait(tasks)

    async def _clear_away(self, record: Record) -> Record:
        try:
            return await self._maker.take_down(record)
        except (OSError, SandlotError) as error:
            # It is on disk all the same; whoever takes it up again tries once more.
            log.warning("of a suspended sandbox something is left", sandbox=record.id, reason=str(error))
            return record

    async def resume(self, id: str, spec: SandboxSpec) -> NodeSandbox:
        """See ``Node.resume``."""
        record = self._maker.recorded(id)
        if (kept := record.suspended) is None or record.disk is None:
            raise NotFound(f"sandbox {id} is not kept on disk")
        if kept.memory is not None:
            self._saver.check_runtime(record.tier, record.runtime, f"sandbox {id}")
        if record.main is not None or record.network is not None or kept.waking:
            record = await self._maker.take_down(record)
        limits = self._maker.driver(spec.tier).limits(spec)
        waking = Suspended(kept.memory, waking=True)
        try:
            record = await self._maker.note_durably(
                record, suspended=waking, limits=limits, internet=spec.network.internet
            )
            sandbox = await self._maker.make(record, spec, self._beginning(record))
        except BaseException as error:
            await to_end(self._lay_down(id, kept))
            if (plain := plainly(error)) is not None:
                raise plain from error
            raise
        await to_end(self.give_up_memory(id))
        return sandbox

    async def give_up_memory(self, id: str) -> None:
        """To free its blocks takes the file system a while, for which nobody who resumes it has to wait."""
        await self.forgotten(id)
        removing = asyncio.to_thread(shutil.rmtree, self.image(id), ignore_errors=True)
        task = self._forgetting[id] = asyncio.create_task(removing, name=f"forget the memory of {id}")
        task.add_done_callback(lambda _: self._forgetting.pop(id, None))

    async def forgotten(self, *ids: str) -> None:
        """Wait until what was given up is gone, of these or all."""
        while tasks := [self._forgetting[id] for id in ids or self._forgetting if id in self._forgetting]:
            await asyncio.wait(tasks)

    def _beginning(self, record: Record) -> Beginning:
        memory = record.suspended is not None and record.suspended.memory is not None
        slot = self._slot(record)

        async def reopen() -> tuple[DiskSlot, int]:
            verifying = asyncio.ensure_future(self.verify(record))  # a processor's work beside a disk's
            try:
                userns = await self._maker.disks.reopen(slot, anew=not memory)
            except BaseException:
                await asyncio.gather(verifying, return_exceptions=True)
                raise
            try:
                await verifying
            except BaseException:
                os.close(userns)
                raise
            return slot, userns

        return Beginning(reopen, memory=self.image(record.id) if memory else None, secret=record.secret)

    def _slot(self, record: Record) -> DiskSlot:
        if record.disk is None:
            raise NotFound(f"sandbox {record.id} has no disk")
        return self._maker.disks.find(record.disk, record.disk_bytes)

    async def _lay_down(self, id: str, kept: Suspended) -> None:
        record = self._maker.records.read(id)
        if record is not None:
            record = await self._clear_away(changed(record, suspended=kept))
            self._maker.records.write(changed(record, suspended=kept), durable=True)

    async def verify(self, record: Record) -> None:
        """Raises Conflict where its memory is damaged."""
        if record.suspended is None or record.suspended.memory is None:
            return
        wrong = await to_end(asyncio.to_thread(sums.verify, self.image(record.id), record.suspended.memory))
        if wrong is not None:
            raise Conflict(f"what was kept of sandbox {record.id} is damaged: {wrong}")

    def is_there(self, record: Record) -> bool:
        """Whether its files can be had, at least."""
        return self._slot(record).image.is_file()

    async def settle(self, record: Record) -> Record:
        """After a restart: what was being put on disk, or taken from there, is one or the other again."""
        await self.cleared(record.id)
        if record.aside is not None:
            record = await self.take_up_aside(record)
        if record.suspended is None:
            return record
        if record.suspended.waking and (settled := await self._wakes(record)) is not None:
            return settled
        return await self._clear_away(changed(record, suspended=Suspended(record.suspended.memory)))

    async def take_up_aside(self, record: Record) -> Record:
        """It is again what it was before it was to go back to a snapshot."""
        if (aside := record.aside) is None:
            return record
        await self._maker.take_down(record)
        if record.disk is not None:
            await self._maker.disks.release(self._maker.disks.find(record.disk, record.disk_bytes))
        return await self._maker.note_durably(aside)

    async def _wakes(self, record: Record) -> Record | None:
        """Where it had come far enough it goes on: it may have changed its files already."""
        try:
            main = identify(int((self._maker.run_folder(record.id) / "pid").read_text()))
        except (OSError, ValueError):
            return None
        if main is None or record.network is None:
            return None
        try:
            slot = await self._maker.network.adopt(record.network, NetworkPolicy(internet=record.internet))
            agent = await connect(slot.guest_ip, record.secret, _WAKING_S)
        except SandlotError as error:
            log.info("a sandbox had not come back yet", sandbox=record.id, reason=error.message)
            return None
        await agent.close()
        settled = await self._maker.note_durably(record, main=main, suspended=None)
        await to_end(self.give_up_memory(record.id))
        return settled


def _write_disk(slot: DiskSlot) -> None:
    ext4.settle(slot.folder)
    descriptor = os.open(slot.image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
