"""What every sandbox on this machine is put together from, whether it begins anew, as a copy or from disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sandlot.errors import NotFound
from sandlot.log_context import about
from sandlot.network import NetworkPool, NetworkSlot
from sandlot.node import bundle, mounts, rootfs
from sandlot.node.agent import GuestAgent, Renewal
from sandlot.node.cgroups import CgroupTree
from sandlot.node.disks import DiskPool, DiskSlot
from sandlot.node.drivers.base import Driver, Launch
from sandlot.node.model import NodeSettings, SandboxSpec, Tier
from sandlot.node.processes import end, reap
from sandlot.node.records import Record, Records, changed
from sandlot.node.rootfs import Naming
from sandlot.node.sandbox import NodeSandbox, Parts, connect
from sandlot.tally import Durations

T = TypeVar("T")

CONNECT_S = 5.0
PHASES = Durations("tier", "phase")
"""Of making a sandbox: ``prepare`` (disk, network, root file system), ``start`` (the runtime), ``connect``
(to the agent).
"""


@dataclass(frozen=True)
class Beginning:
    """What a sandbox begins from. ``disk`` claims its slot and opens the slot's user namespace.

    ``memory`` is a checkpoint's folder; then the record has the secret that the agent knows from before, and
    ``secret`` is what it is to be. ``naming`` is what /etc is to be told; None leaves it as it is.
    """

    disk: Callable[[], Awaitable[tuple[DiskSlot, int]]]
    naming: Naming | None = None
    memory: Path | None = None
    secret: str = ""


class Maker:
    """Makes sandboxes and takes them down, as their records say. Decides nothing about failures."""

    def __init__(
        self,
        settings: NodeSettings,
        run: Path,
        records: Records,
        cgroups: CgroupTree,
        network: NetworkPool,
        disks: DiskPool,
        driver: Callable[[Tier], Driver],
    ) -> None:
        self.settings = settings
        self.records = records
        self.cgroups = cgroups
        self.network = network
        self.disks = disks
        self.driver = driver
        self.sandboxes: dict[str, NodeSandbox] = {}
        self.runtimes: dict[Tier, str | None] = {}
        self._run = run

    def new_record(
        self, spec: SandboxSpec, *, secret: str, layers: Iterable[Path], generation: int = 0
    ) -> Record:
        return Record(
            id=spec.id,
            tier=spec.tier,
            secret=secret,
            memory_bytes=spec.memory_bytes,
            limits=self.driver(spec.tier).limits(spec),
            disk_bytes=spec.disk_bytes,
            internet=spec.network.internet,
            hostname=spec.hostname,
            layers=tuple(map(str, layers)),
            runtime=self.runtimes.get(spec.tier),
            generation=generation,
        )

    def found(self, id: str) -> NodeSandbox:
        """Raises NotFound."""
        if (sandbox := self.sandboxes.get(id)) is None:
            raise NotFound(f"sandbox {id} does not run here")
        return sandbox

    def recorded(self, id: str) -> Record:
        """Raises NotFound."""
        if (record := self.records.read(id)) is None:
            raise NotFound(f"nothing is written down of sandbox {id}")
        return record

    def note(self, record: Record, **changes: Any) -> Record:
        record = changed(record, **changes)
        self.records.write(record)
        return record

    async def note_durably(self, record: Record, **changes: Any) -> Record:
        record = changed(record, **changes)
        await to_end(asyncio.to_thread(self.records.write, record, durable=True))
        return record

    async def make(self, record: Record, spec: SandboxSpec, beginning: Beginning) -> NodeSandbox:
        """A sandbox whose agent answers. At any moment, on failure too, the record names what is there."""
        driver = self.driver(spec.tier)
        with PHASES.timed(spec.tier, "prepare"):
            disk, userns = await beginning.disk()
            try:
                record = self.note(record, disk=disk.name)
                network = await self.network.claim(spec.network)
                record = self.note(record, network=network.name)
                launch = await asyncio.to_thread(
                    self._prepare, spec, record, beginning.naming, disk, userns, network
                )
            finally:
                os.close(userns)
        with PHASES.timed(spec.tier, "start"):
            if beginning.memory is None:
                main = await driver.start(launch)
            else:
                main = await driver.restore(launch, beginning.memory)
        record = self.note(record, main=main)
        with PHASES.timed(spec.tier, "connect"):
            agent = await connect(network.guest_ip, record.secret, CONNECT_S)
        try:
            record = await self._settle(record, spec, beginning, agent)
        except BaseException:
            await agent.close()
            raise
        parts = Parts(main, launch.cgroup, disk, network, record.limits, self.settings.freeze_idle_after_s)
        return self.enter(record, parts, agent)

    async def _settle(
        self, record: Record, spec: SandboxSpec, beginning: Beginning, agent: GuestAgent
    ) -> Record:
        """It is itself now: a guest that comes back is told, and what it was made from is forgotten."""
        if beginning.memory is not None and (agent.renewable or beginning.secret != record.secret):
            await agent.renew(Renewal(beginning.secret, spec.generation, spec.hostname))
            record = self.note(record, secret=beginning.secret, generation=spec.generation)
        if record.suspended is not None or record.aside is not None:
            record = await self.note_durably(record, suspended=None, aside=None, paused=False)
        return record

    def _prepare(
        self,
        spec: SandboxSpec,
        record: Record,
        naming: Naming | None,
        disk: DiskSlot,
        userns: int,
        network: NetworkSlot,
    ) -> Launch:
        folder = self.run_folder(spec.id)
        folder.mkdir(parents=True, mode=0o700)
        group = self.cgroups.group(spec.id)
        group.create(record.limits)
        rootfs.mount_root(tuple(map(Path, record.layers)), disk, userns, folder)
        if naming is not None:
            rootfs.write_guest_files(disk, naming, network.dns if spec.network.internet else None)
        content = bundle.configuration(
            spec, disk, netns=str(network.netns), cgroup=group.path, secret=record.secret
        )
        (folder / "config.json").write_text(json.dumps(content))
        return Launch(spec.id, folder, network.netns, group, spec, self.settings.start_timeout_s)

    def enter(self, record: Record, parts: Parts, agent: GuestAgent | None) -> NodeSandbox:
        # It watches itself for as long as it lives, which is no part of the request that made it.
        sandbox = about(record.id).run(NodeSandbox, record, parts, self.network, agent)
        self.sandboxes[sandbox.id] = sandbox
        return sandbox

    async def take_down(self, record: Record) -> Record:
        """Nothing of it runs or is mounted any more; its record and its disk's image stay. Idempotent.

        Raises Unavailable where something does not end or is held.
        """
        await to_end(asyncio.to_thread(self.kill, record.id))
        await to_end(self._take_apart(record))
        if record.main is None and record.network is None:
            return record
        return await self.note_durably(record, main=None, network=None)

    async def _take_apart(self, record: Record) -> None:
        if record.main is not None:
            reap(record.main.pid)
        await asyncio.to_thread(self.remove_group, record.id)
        if record.disk is not None:
            await self.disks.put_away(self.disks.find(record.disk, record.disk_bytes))
        if record.network is not None:
            await self.network.release(record.network)

    def kill(self, id: str) -> None:
        """Raises Unavailable where the kernel does not let its processes end. Blocks."""
        self.cgroups.group(id).kill()
        record = self.records.read(id)
        if record is not None and record.main is not None:
            end(record.main)  # where somebody took it out of its group

    def remove_group(self, id: str) -> None:
        """With the folder of what runs. Blocks."""
        try:
            self._remove_run_folder(id)
        finally:
            self.cgroups.group(id).remove()

    def _remove_run_folder(self, id: str) -> None:
        folder = self.run_folder(id)
        with contextlib.suppress(FileNotFoundError):
            for point in folder.iterdir():  # where a crash came between: a layer on its way into the overlay
                if point.is_dir():
                    mounts.take_off(point)
        shutil.rmtree(folder, ignore_errors=True)

    def run_folders(self) -> set[str]:
        """Of which sandboxes there are any."""
        runs = self._run / "sandboxes"
        return {path.name for path in runs.iterdir()} if runs.is_dir() else set()

    def run_folder(self, id: str) -> Path:
        """In /run: what is there is worth nothing after a reboot, and a socket's path must be short."""
        return self._run / "sandboxes" / id


async def to_end(work: Awaitable[T]) -> T:
    """What must not be left half done when its caller is cancelled: that waits for its end."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
