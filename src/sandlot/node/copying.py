"""Copies of a sandbox as it was at one moment: what forks, snapshots and rollbacks are made of.

A capture is a checkpoint and an image of the disk of the same moment. A copy gets a disk of its own, in which
its ids replace the original's, a network of its own, and before anybody can talk to it a new secret, its own
name and the host's word that it is another one now.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sandlot.errors import Conflict, InvalidArgument, NotFound
from sandlot.node import ext4, sparse
from sandlot.node.disks import DiskSlot
from sandlot.node.failures import plainly
from sandlot.node.idmap import IdRange
from sandlot.node.making import Beginning, Maker, to_end
from sandlot.node.model import SandboxSpec, Tier
from sandlot.node.records import Record, changed
from sandlot.node.rootfs import Naming
from sandlot.node.sandbox import NodeSandbox
from sandlot.node.saving import Saver, check_tier
from sandlot.node.snapshots import Space
from sandlot.node.suspending import Suspending

DISK = "disk.img"


class Facts(msgspec.Struct, frozen=True):
    """What a copy must know of its original. ``ids`` is the index of the range that owns its files."""

    tier: Tier
    secret: str
    hostname: str
    layers: tuple[str, ...]
    runtime: str | None
    memory_bytes: int
    disk_bytes: int
    ids: int
    memory: tuple[str, ...] | None
    """The names of its checkpoint's files; None where only its files were kept."""
    version: int = 1

    @classmethod
    def of(cls, record: Record, disk: DiskSlot, memory: tuple[str, ...] | None) -> Facts:
        return cls(
            tier=record.tier,
            secret=record.secret,
            hostname=record.hostname,
            layers=record.layers,
            runtime=record.runtime,
            memory_bytes=record.memory_bytes,
            disk_bytes=record.disk_bytes,
            ids=disk.ids.index,
            memory=memory,
        )

    @classmethod
    def read(cls, about: dict[str, Any], snapshot_id: str) -> Facts:
        """Raises Conflict."""
        try:
            return msgspec.convert(about, cls)
        except msgspec.ValidationError as error:
            raise Conflict(f"snapshot {snapshot_id} is damaged, or of another version: {error}") from error


@dataclass(frozen=True)
class Capture:
    """``folder`` has the disk's image and, with memory, the checkpoint. ``downtime_s``: for how long the
    original stood still.
    """

    facts: Facts
    folder: Path
    downtime_s: float = 0.0

    def files(self) -> dict[str, Path]:
        return {name: self.folder / name for name in (DISK, *(self.facts.memory or ()))}

    def size_bytes(self) -> int:
        """What is in it, less the holes. Blocks."""
        return sum(path.stat().st_blocks * 512 for path in self.files().values())


class Copying:
    def __init__(self, maker: Maker, saver: Saver, suspending: Suspending, space: Space) -> None:
        self._maker = maker
        self._saver = saver
        self._suspending = suspending
        self._space = space

    async def capture(self, id: str, folder: Path, why: str, *, memory: bool) -> Capture:
        """In a new ``folder``, of one that runs, is frozen or suspended, which is afterwards as before. On
        failure there is no folder.

        Raises NotFound, Conflict, NotEnoughSpace, Unavailable, DeadlineExceeded.
        """
        try:
            if id in self._maker.sandboxes:
                return await self._capture_running(id, folder, why, memory=memory)
            return await self._capture_suspended(id, folder, memory=memory)
        except BaseException as error:
            await to_end(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
            if (plain := plainly(error)) is not None:
                raise plain from error
            raise

    async def _capture_running(self, id: str, folder: Path, why: str, *, memory: bool) -> Capture:
        began = time.monotonic()
        async with self._saver.still(id, why, memory=memory) as still:
            disk = still.sandbox.parts.disk
            if memory:
                await self._saver.checkpoint(still, folder)
            self._space.check(await asyncio.to_thread(disk.used_bytes))
            names = await to_end(asyncio.to_thread(_copy_running, disk, folder))
            facts = Facts.of(still.record, disk, names if memory else None)
        return Capture(facts, folder, time.monotonic() - began)

    async def _capture_suspended(self, id: str, folder: Path, *, memory: bool) -> Capture:
        record = self._maker.recorded(id)
        if record.suspended is None or record.disk is None:
            raise NotFound(f"sandbox {id} neither runs nor is kept on disk")
        check_tier(record.tier, memory=memory)
        kept = record.suspended.memory
        if memory and kept is None:
            raise Conflict(f"of sandbox {id} only files are kept: ask without memory")
        if memory:
            await self._suspending.verify(record)
        disk = self._maker.disks.find(record.disk, record.disk_bytes)
        self._space.check(disk.image.stat().st_blocks * 512)
        image = self._suspending.image(id) if memory else None
        await to_end(asyncio.to_thread(_copy_suspended, disk, image, folder))
        return Capture(Facts.of(record, disk, tuple(kept) if memory and kept else None), folder)

    def check(self, facts: Facts, spec: SandboxSpec, what: str, *, memory: bool) -> None:
        """Whether that can become this. Raises InvalidArgument, Conflict."""
        if memory and facts.memory is None:
            raise Conflict(f"{what} holds files only: ask without memory")
        wanted = (spec.tier, spec.disk_bytes, spec.memory_bytes if memory else facts.memory_bytes)
        if wanted != (facts.tier, facts.disk_bytes, facts.memory_bytes):
            raise InvalidArgument(
                f"{what} is of the {facts.tier} tier, with {facts.memory_bytes >> 20} MiB of memory and a"
                f" disk of {facts.disk_bytes >> 20} MiB: so are all that are made from it"
            )
        if memory:
            self._saver.check_runtime(facts.tier, facts.runtime, what)

    def record(self, facts: Facts, spec: SandboxSpec, *, memory: bool) -> Record:
        """Of a copy: its agent knows the original's secret at first."""
        secret = facts.secret if memory else secrets.token_hex(32)
        return self._maker.new_record(spec, secret=secret, layers=map(Path, facts.layers))

    def beginning(self, capture: Capture, spec: SandboxSpec, *, memory: bool) -> Beginning:
        image, ids = capture.folder / DISK, IdRange(capture.facts.ids)

        async def copy() -> tuple[DiskSlot, int]:
            return await self._maker.disks.claim_copy(image, spec.disk_bytes, ids, anew=not memory)

        return Beginning(
            copy,
            naming=Naming(spec.hostname, former=capture.facts.hostname),
            memory=capture.folder if memory else None,
            secret=secrets.token_hex(32),
        )

    async def make(
        self, capture: Capture, spec: SandboxSpec, *, memory: bool, snapshot_id: str | None = None
    ) -> NodeSandbox:
        """A new sandbox; the caller cleans up after a failure. ``snapshot_id``: the capture is kept so."""
        record = changed(self.record(capture.facts, spec, memory=memory), last_snapshot=snapshot_id)
        self._maker.records.write(record)
        return await self._maker.make(record, spec, self.beginning(capture, spec, memory=memory))


def _copy_running(disk: DiskSlot, folder: Path) -> tuple[str, ...]:
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    names = tuple(sorted(path.name for path in folder.iterdir()))
    ext4.settle(disk.folder)
    sparse.copy(disk.image, folder / DISK)
    return names


def _copy_suspended(disk: DiskSlot, memory: Path | None, folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    sparse.copy(disk.image, folder / DISK)
    for file in memory.iterdir() if memory else ():
        (folder / file.name).hardlink_to(file)
