"""Snapshots of this machine's sandboxes, and sandboxes from them."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from sandlot.errors import SandlotError
from sandlot.node.copying import DISK, Capture, Copying, Facts
from sandlot.node.forking import Enter
from sandlot.node.making import Maker, to_end
from sandlot.node.model import Leftover, SandboxSpec, SnapshotFacts
from sandlot.node.sandbox import NodeSandbox
from sandlot.node.snapshots import Materialised, SnapshotStore


class Keeping:
    """``folder`` is for captures on their way into the store."""

    def __init__(
        self, folder: Path, store: SnapshotStore, maker: Maker, copying: Copying, enter: Enter
    ) -> None:
        self._folder = folder
        self._store = store
        self._maker = maker
        self._copying = copying
        self._enter = enter

    async def snapshot(self, id: str, snapshot_id: str, *, memory: bool) -> SnapshotFacts:
        """See ``Node.snapshot``."""
        folder = self._folder / secrets.token_hex(8)
        try:
            capture = await self._copying.capture(id, folder, "is being saved", memory=memory)
            return await self._save(id, snapshot_id, capture)
        finally:
            await to_end(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _save(self, id: str, snapshot_id: str, capture: Capture) -> SnapshotFacts:
        record = self._maker.recorded(id)
        size_bytes = await asyncio.to_thread(capture.size_bytes)
        about = msgspec.to_builtins(capture.facts)
        saving = asyncio.to_thread(
            self._store.save, snapshot_id, capture.files(), about, like=record.last_snapshot
        )
        try:
            stored_bytes = await to_end(saving)
        except asyncio.CancelledError:
            await to_end(self.delete(snapshot_id))
            raise
        self._maker.note(record, last_snapshot=snapshot_id)
        memory = capture.facts.memory is not None
        return SnapshotFacts(memory, size_bytes, stored_bytes, capture.downtime_s)

    async def restore(self, spec: SandboxSpec, snapshot_id: str, *, memory: bool) -> NodeSandbox:
        """See ``Node.restore``."""
        async with self.opened(snapshot_id, spec, memory=memory) as capture:
            return await self._enter(
                spec, lambda: self._copying.make(capture, spec, memory=memory, snapshot_id=snapshot_id)
            )

    @asynccontextmanager
    async def opened(
        self, snapshot_id: str, spec: SandboxSpec, *, memory: bool | None
    ) -> AsyncIterator[Capture]:
        """The snapshot, verified, for a sandbox that ``spec`` describes; ``memory`` None: where it has that.

        Raises NotFound, InvalidArgument, Conflict, NotEnoughSpace.
        """
        facts = Facts.read(await asyncio.to_thread(self._store.about, snapshot_id), snapshot_id)
        memory = facts.memory is not None if memory is None else memory
        self._copying.check(facts, spec, f"snapshot {snapshot_id}", memory=memory)
        names = [DISK, *(facts.memory or () if memory else ())]
        async with _in_thread(self._store.open(snapshot_id, names)) as files:
            yield Capture(facts, files.folder)

    async def delete(self, snapshot_id: str) -> dict[str, int]:
        """See ``Node.delete_snapshot``."""
        return await to_end(asyncio.to_thread(self._store.delete, snapshot_id))

    async def sweep(self, keep: set[str]) -> list[Leftover]:
        """See ``Node.sweep_snapshots``."""
        stray = await to_end(asyncio.to_thread(self._store.sweep, keep))
        return [Leftover("snapshot", name) for name in stray]

    def layers(self) -> set[Path]:
        """That snapshots stand on. Blocks."""
        found: set[Path] = set()
        for id in self._store.ids():
            try:
                found.update(map(Path, Facts.read(self._store.about(id), id).layers))
            except SandlotError:
                continue  # nobody can restore it anyway
        return found


@asynccontextmanager
async def _in_thread(context: AbstractContextManager[Materialised]) -> AsyncIterator[Materialised]:
    entering = asyncio.ensure_future(asyncio.to_thread(context.__enter__))
    try:
        files = await to_end(entering)
    except asyncio.CancelledError:
        if entering.done() and entering.exception() is None:
            await to_end(_leave(context))
        raise
    try:
        yield files
    finally:
        await to_end(_leave(context))


def _leave(context: AbstractContextManager[Materialised]) -> Awaitable[object]:
    return asyncio.to_thread(context.__exit__, None, None, None)
