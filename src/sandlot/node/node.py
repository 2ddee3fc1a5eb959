"""One machine: makes sandboxes, finds them again after a restart, and removes every trace of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from sandlot.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    SandlotError,
    TierUnavailable,
)
from sandlot.network import NetworkPolicy, NetworkPool
from sandlot.node import hugetext
from sandlot.node.cgroups import Cgroup, CgroupLayout, CgroupTree
from sandlot.node.copying import Copying
from sandlot.node.disks import DiskPool
from sandlot.node.drivers.base import Driver, Started
from sandlot.node.failures import plainly
from sandlot.node.fairness import Fairness
from sandlot.node.forking import Forking
from sandlot.node.host import agent_binary, driver_for, probe_host
from sandlot.node.keeping import Keeping
from sandlot.node.making import Beginning, Maker
from sandlot.node.model import (
    Finding,
    HostReport,
    Leftover,
    NodeSettings,
    Presence,
    Remains,
    SandboxSpec,
    SnapshotFacts,
    Tier,
)
from sandlot.node.processes import is_alive, reap
from sandlot.node.records import Record, Records
from sandlot.node.rolling_back import RollingBack
from sandlot.node.rootfs import Naming
from sandlot.node.sandbox import NodeSandbox, Parts, connect
from sandlot.node.saving import Saver
from sandlot.node.snapshots import SnapshotStore
from sandlot.node.suspending import Suspending
from sandlot.node.swapping import Swapper
from sandlot.node.turns import Turns
from sandlot.node.usage import Usage, measure
from sandlot.tally import Stock

log = structlog.get_logger(__name__)

ADOPT_CONNECT_S = 10.0
_BEING_CLEANED = 256
"""Sandboxes that have ended, and room made for the next, whose networks are still being taken down."""
_CLEAN_AGAIN_S = (0.5, 2.0, 10.0)
_CLEAN_REMAINS_EVERY_S = 60.0
_NEWS_KEPT = 1000
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


class Node:
    """Everything it makes carries the instance's name, so that two servers share a host without touching."""

    def __init__(self, settings: NodeSettings, report: HostReport | None = None) -> None:
        """``report`` is one made before, for the same settings."""
        self.settings = settings
        self._folder = settings.data_dir / "node"
        self._run = Path("/run") / f"sandlot-{settings.instance}"
        self._text = self._run / "runtime"
        self._records = Records(self._folder / "sandboxes")
        self._cgroups = CgroupTree(settings.instance, CgroupLayout.detect())
        self._network = NetworkPool(
            settings.instance,
            self._folder,
            size=settings.network_slots,
            limit=settings.max_sandboxes + _BEING_CLEANED,
            allow=settings.network_allow,
        )
        self._disks = DiskPool(
            self._folder / "disks",
            self._run / "disks",
            size=settings.disk_slots,
            slot_bytes=settings.default_disk_bytes,
            reserve_bytes=settings.host_reserve_bytes,
            agent=agent_binary(),
        )
        self._drivers: dict[Tier, Driver] = {}
        self._report = report
        self._maker = Maker(
            settings, self._run, self._records, self._cgroups, self._network, self._disks, self._driver
        )
        self._sandboxes = self._maker.sandboxes
        store = SnapshotStore(self._folder / "snapshots", reserve_bytes=settings.host_reserve_bytes)
        self._saver = Saver(self._maker, store.space)
        self._suspending = Suspending(self._maker, self._saver)
        self._turns = Turns()
        self._swapper = Swapper()
        captures = self._folder / "captures"
        copying = Copying(self._maker, self._saver, self._suspending, store.space)
        self._forking = Forking(captures, copying, self._turn, self._enter_new)
        self._keeping = Keeping(captures, store, self._maker, copying, self._enter_new)
        self._rolling_back = RollingBack(self._maker, self._suspending, copying, self._keeping)
        self._captures = captures
        self._making: set[str] = set()
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._cleaning: dict[str, asyncio.Task[None]] = {}
        self._remains: dict[str, list[str]] = {}
        self._news: asyncio.Queue[Remains] = asyncio.Queue(_NEWS_KEPT)
        self._keepers: list[asyncio.Task[None]] = []

    # ── the node's life ──────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Find out what the host can do and begin to fill the pools. Raises PermissionDenied, Unavailable."""
        if os.geteuid() != 0:
            raise PermissionDenied(
                "a node makes namespaces, mounts and control groups: run the server as root"
            )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._run.mkdir(exist_ok=True, mode=0o711)
        report = await self.report()
        self._drivers = await asyncio.to_thread(self._choose_drivers, report)
        self._maker.runtimes = {status.tier: status.version for status in report.tiers}
        await asyncio.to_thread(shutil.rmtree, self._captures, ignore_errors=True)
        await self._network.start()
        await self._disks.start()
        for work, name in (
            (self._clean_remains(), "clean what could not be removed"),
            (Fairness(self._running_groups).run(), "share processors"),
        ):
            self._keepers.append(asyncio.create_task(work, name=name))

    async def stop(self) -> None:
        """Let go of the sandboxes, which go on running, and remove what was only made ahead.

        With no sandbox left, nothing of the instance stays on the host.
        """
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        await self._swapper.close()
        await self.drain()
        for sandbox in list(self._sandboxes.values()):
            await sandbox.close()
        self._sandboxes.clear()
        await self._disks.stop()
        if await asyncio.to_thread(self._present):
            await self._network.stop()
        else:
            await self._network.teardown()
        self._cgroups.remove()
        await asyncio.to_thread(hugetext.remove, self._text)
        for folder in (self._run / "sandboxes", self._run):
            with contextlib.suppress(OSError):
                folder.rmdir()

    async def report(self) -> HostReport:
        """What this host can do, tried once."""
        if self._report is None:
            self._report = await probe_host(self.settings)
        if self._remains:
            return dataclasses.replace(self._report, findings=[*self._report.findings, self._confess()])
        return self._report

    async def next_remains(self) -> Remains:
        """Wait for a sandbox that has ended and of which something cannot be removed for now."""
        return await self._news.get()

    # ── sandboxes ────────────────────────────────────────────────────────────────────────────────────

    async def create(self, spec: SandboxSpec) -> NodeSandbox:
        """A sandbox whose agent answers. On failure, and when cancelled, nothing of it is left.

        Raises TierUnavailable, InvalidArgument, Conflict, LimitExceeded, NotEnoughSpace, Unavailable,
        DeadlineExceeded.
        """
        return await self._enter_new(spec, lambda: self._create(spec))

    async def _enter_new(self, spec: SandboxSpec, make: Callable[[], Awaitable[NodeSandbox]]) -> NodeSandbox:
        self._driver(spec.tier)
        if not _ID.fullmatch(spec.id):
            raise InvalidArgument(f"a sandbox id is lower-case letters, digits and dashes, not {spec.id!r}")
        if spec.id in self._making or spec.id in self._records.ids():
            raise Conflict(f"there is a sandbox {spec.id} already")
        self._making.add(spec.id)
        try:
            return await make()
        except BaseException as error:
            await asyncio.shield(self._destroy(spec.id, "it could not be started"))
            if (plain := plainly(error)) is not None:
                raise plain from error
            raise
        finally:
            self._making.discard(spec.id)

    async def adopt(self, id: str) -> NodeSandbox:
        """Take up a sandbox that an earlier run of the server made; one that was paused stays so.

        Raises NotFound when it is not alive.
        """
        if (known := self._sandboxes.get(id)) is not None:
            return known
        record = await asyncio.to_thread(self._records.read, id)
        if record is None or record.main is None or record.disk is None or record.network is None:
            raise NotFound(f"sandbox {id} was never started here")
        if record.suspended is not None:
            raise NotFound(f"sandbox {id} is kept on disk")
        main, group = record.main, self._cgroups.group(id)
        if not await asyncio.to_thread(_runs, main, group):
            raise NotFound(f"sandbox {id} no longer runs")
        slot = await self._network.adopt(record.network, NetworkPolicy(internet=record.internet))
        disk = self._disks.find(record.disk, record.disk_bytes)
        record = await self._let_go_on(record, group)
        parts = Parts(main, group, disk, slot, record.limits, self.settings.freeze_idle_after_s)
        if record.paused:
            sandbox = self._maker.enter(record, parts, None)
            await sandbox.pause()
            return sandbox
        try:
            agent = await connect(slot.guest_ip, record.secret, ADOPT_CONNECT_S)
        except SandlotError as error:
            raise NotFound(f"sandbox {id} runs, but {error.message}") from error
        return self._maker.enter(record, parts, agent)

    async def destroy(self, id: str) -> None:
        """End it, whatever state it is in; idempotent. Returns when nothing of it runs; cleaning goes on.

        Raises Unavailable when the kernel does not let its processes end.
        """
        await asyncio.shield(self._destroy(id, "it was destroyed"))

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────

    async def presence(self, id: str) -> Presence:
        """What there is of a sandbox, for the first look after a restart; a damaged one is gone."""
        record = await asyncio.to_thread(self._records.read, id)
        if record is not None and (record.suspended is not None or record.aside is not None):
            record = await self._suspending.settle(record)
            if record.suspended is not None:
                return Presence.SUSPENDED if self._suspending.is_there(record) else Presence.GONE
        if record is None or record.main is None:
            return Presence.GONE
        if not await asyncio.to_thread(_runs, record.main, self._cgroups.group(id)):
            return Presence.GONE
        return Presence.FROZEN if record.paused else Presence.RUNNING

    async def pause(self, id: str) -> None:
        """Freeze it; its calls end with Unavailable, and until ``resume`` nothing wakes it. Idempotent.

        Raises NotFound, Unavailable where this host cannot freeze.
        """
        async with self._turn(id):
            sandbox, record = self._maker.found(id), self._maker.recorded(id)
            await sandbox.pause()
            self._maker.note(record, paused=True)
            self._swapper.begin(id, sandbox.parts.cgroup)

    async def suspend(self, id: str, *, memory: bool) -> None:
        """Put all of it on disk, whether it runs or is frozen, and end what runs: from then on it is
        ``SUSPENDED``, through a crash of the machine, too. On failure it is as it was.

        Raises NotFound, Conflict (its tier, or something in it, cannot be kept with its memory),
        NotEnoughSpace, Unavailable, DeadlineExceeded.
        """
        async with self._turn(id):
            self._swapper.end(id)
            await self._suspending.suspend(id, memory=memory)

    async def resume(self, id: str, spec: SandboxSpec) -> NodeSandbox:
        """Frozen or suspended: its agent answers again. Its layers are those of before, not ``spec``'s.

        One that was suspended is so still where this raises: NotFound, Conflict (what was kept is damaged, or
        of another version of the runtime), NotEnoughSpace, Unavailable, DeadlineExceeded.
        """
        async with self._turn(id):
            if (sandbox := self._sandboxes.get(id)) is None:
                return await self._suspending.resume(id, spec)
            self._swapper.end(id)
            self._maker.note(self._maker.recorded(id), paused=False)
            await sandbox.wake()
            return sandbox

    async def snapshot(self, id: str, snapshot_id: str, *, memory: bool) -> SnapshotFacts:
        """Keep it as it is now, running, frozen or suspended; afterwards it is as before. Whole and on disk
        when this returns; where it raises nothing is left of it.

        Raises NotFound, Conflict (its tier cannot keep memory; the id is taken), NotEnoughSpace, Unavailable,
        DeadlineExceeded.
        """
        async with self._turn(id):
            return await self._keeping.snapshot(id, snapshot_id, memory=memory)

    async def restore(self, spec: SandboxSpec, snapshot_id: str, *, memory: bool) -> NodeSandbox:
        """As ``create``, from a snapshot; without ``memory`` from its files alone. ``spec.rootfs`` is of no
        account. Raises as ``create`` and ``resume`` do.
        """
        return await self._keeping.restore(spec, snapshot_id, memory=memory)

    async def fork(self, id: str, specs: Sequence[SandboxSpec]) -> list[NodeSandbox | SandlotError]:
        """One sandbox for each spec, as this one is now, or why there is none; it goes on. In the order of
        ``specs``.

        Raises NotFound, Conflict, NotEnoughSpace, Unavailable, DeadlineExceeded where it cannot be copied.
        """
        return await self._forking.fork(id, specs, self.destroy)

    async def roll_back(self, id: str, spec: SandboxSpec, snapshot_id: str) -> NodeSandbox:
        """The same sandbox as it was in that snapshot. Where it raises it is as it was, at worst suspended:
        ``presence`` tells, and ``adopt`` finds it. Raises as ``restore``.
        """
        async with self._turn(id):
            return await self._rolling_back.roll_back(id, spec, snapshot_id)

    async def delete_snapshot(self, snapshot_id: str) -> dict[str, int]:
        """Idempotent. What others share with it stays, and counts for them: so many bytes more, by id."""
        return await self._keeping.delete(snapshot_id)

    async def sweep_snapshots(self, keep: set[str]) -> list[Leftover]:
        """Remove every snapshot that is not in ``keep``, and what half-made ones left."""
        return await self._keeping.sweep(keep)

    def layers(self) -> set[Path]:
        """Layers of templates that suspended sandboxes and snapshots stand on. Blocks."""
        records = [self._records.read(id) for id in self._records.ids()]
        kept = [record.layers for record in records if record is not None and record.suspended is not None]
        return self._keeping.layers().union(*(map(Path, layers) for layers in kept))

    async def sweep(self, keep: set[str]) -> list[Leftover]:
        """Remove what belongs to no sandbox in ``keep`` and to none of this run. Call it once adoption is
        done.
        """
        found = await asyncio.to_thread(self._present)
        busy = self._sandboxes.keys() | self._making | self._ending.keys() | self._cleaning.keys()
        stray = sorted(found - keep - busy)
        for id in stray:
            await self.destroy(id)
        await self.drain()
        records = [await asyncio.to_thread(self._records.read, id) for id in found & keep]
        networks = {record.network for record in records if record and record.network}
        disks = {disk for record in records if record for disk in record.disks()}
        return [
            *(Leftover("sandbox", id) for id in stray),
            *(Leftover("network slot", name) for name in await self._network.sweep(networks)),
            *(Leftover("disk slot", name) for name in await self._disks.sweep(disks)),
        ]

    def usage(self, ids: Iterable[str]) -> dict[str, Usage]:
        """What these use, by id; those that are gone are missing. Blocks, and wakes none of them."""
        return measure([self._sandboxes[id] for id in ids if id in self._sandboxes])

    def stocks(self) -> dict[str, Stock]:
        """What is made ahead, by kind."""
        return {"network": self._network.stock(), "disk": self._disks.stock()}

    async def drain(self) -> None:
        """Wait for all cleaning that goes on in the background."""
        while tasks := [*self._ending.values(), *self._cleaning.values()]:
            await asyncio.wait(tasks)
        await self._suspending.cleared()
        await self._suspending.forgotten()

    # ── making ───────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, spec: SandboxSpec) -> NodeSandbox:
        secret = secrets.token_hex(32)
        record = self._maker.new_record(spec, secret=secret, layers=spec.rootfs.layers)
        self._records.write(record)
        beginning = Beginning(lambda: self._disks.claim(spec.disk_bytes), Naming(spec.hostname))
        return await self._maker.make(record, spec, beginning)

    async def _let_go_on(self, record: Record, group: Cgroup) -> Record:
        """An earlier server may have left it frozen, yielding to others, or standing still to be saved."""
        await asyncio.to_thread(_wake, group, thaw=record.saving or not record.paused)
        if not record.saving:
            return record
        try:
            if record.tier.keeps_memory:
                await self._driver(record.tier).resume(record.id, self._maker.run_folder(record.id))
        except SandlotError as error:
            log.info("a sandbox did not stand still", sandbox=record.id, reason=error.message)
        return self._maker.note(record, saving=False)

    @asynccontextmanager
    async def _turn(self, id: str) -> AsyncIterator[None]:
        """Of those who change this sandbox as a whole."""
        async with self._turns.of(id):
            await self._suspending.cleared(id)
            yield

    def _running_groups(self) -> dict[str, Cgroup]:
        return {id: each.parts.cgroup for id, each in self._sandboxes.items() if not each.frozen}

    def _driver(self, tier: Tier) -> Driver:
        if (driver := self._drivers.get(tier)) is not None:
            return driver
        missing = self._report.tier(tier).missing if self._report else ["the node has not been started"]
        raise TierUnavailable(
            f"this host cannot run the {tier.value} tier: {'; '.join(missing)} (`sandlot doctor` shows more)",
            missing=missing,
        )

    def _choose_drivers(self, report: HostReport) -> dict[Tier, Driver]:
        found = {}
        for status in report.tiers:
            if status.available and status.runtime:
                runtime = Path(status.runtime)
                if status.tier is Tier.GVISOR:
                    runtime = hugetext.place(runtime, self._text)
                found[status.tier] = driver_for(status.tier, runtime, self.settings)
        return found

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────

    async def _destroy(self, id: str, reason: str) -> None:
        if id in self._cleaning:
            return
        if (ending := self._ending.get(id)) is None:
            ending = self._ending[id] = self._own(self._end(id, reason), self._ending, id)
        await asyncio.shield(ending)

    async def _end(self, id: str, reason: str) -> None:
        await self._kill(id, reason)
        async with self._turn(id):
            await self._kill(id, reason)  # whoever was at it may just have brought it back
        self._cleaning[id] = self._own(self._clean(id), self._cleaning, id)

    async def _kill(self, id: str, reason: str) -> None:
        self._swapper.end(id)
        if (sandbox := self._sandboxes.pop(id, None)) is not None:
            await sandbox.close(reason)
        await asyncio.to_thread(self._maker.kill, id)

    async def _clean(self, id: str) -> None:
        """Undo all that a record names and all that carries the id, with patience. The record goes last."""
        for pause in (*_CLEAN_AGAIN_S, None):
            failures = await self._clean_once(id)
            if not failures:
                await self._suspending.forgotten(id)
                await asyncio.to_thread(self._records.remove, id)
                self._remains.pop(id, None)
                return
            if pause is not None:
                await asyncio.sleep(pause)
        log.error("a sandbox ended but not all of it could be removed yet", sandbox=id, reasons=failures)
        self._remains[id] = failures
        with contextlib.suppress(asyncio.QueueFull):
            self._news.put_nowait(Remains(id, tuple(failures)))

    async def _clean_remains(self) -> None:
        """Whatever holds them, a mount namespace or a busy disk, may let go an hour from now."""
        while True:
            await asyncio.sleep(_CLEAN_REMAINS_EVERY_S)
            for id in list(self._remains):
                if failures := await self._clean_once(id):
                    self._remains[id] = failures
                    continue
                await asyncio.to_thread(self._records.remove, id)
                del self._remains[id]
                log.info("what was left of a sandbox is removed now", sandbox=id)

    def _confess(self) -> Finding:
        reasons = {reason for failures in self._remains.values() for reason in failures}
        return Finding(
            "leftovers",
            False,
            f"of {len(self._remains)} ended sandboxes something is left: {'; '.join(sorted(reasons))}",
            "it is tried again every minute; if it stays: stop the server and run `sandlot doctor --fix`",
        )

    async def _clean_once(self, id: str) -> list[str]:
        record = await asyncio.to_thread(self._records.read, id)
        if record is not None and record.main is not None:
            reap(record.main.pid)
        steps: dict[str, Coroutine[Any, Any, None]] = {
            "group": asyncio.to_thread(self._maker.remove_group, id),
        }
        if record is not None and record.disk is not None:
            steps["disk"] = self._disks.release(self._disks.find(record.disk, record.disk_bytes))
        if record is not None and (aside := record.aside) is not None and aside.disk is not None:
            steps["aside"] = self._disks.release(self._disks.find(aside.disk, aside.disk_bytes))
        if record is not None and record.network is not None:
            steps["network"] = self._network.release(record.network)
        outcomes = dict(
            zip(steps, await asyncio.gather(*steps.values(), return_exceptions=True), strict=True)
        )
        failures = [str(outcome) for outcome in outcomes.values() if isinstance(outcome, Exception)]
        if failures and record is not None:
            # What is gone must not be named any more: by the next try the name may be another sandbox's.
            gone = [
                name for name in ("disk", "network", "aside") if name in outcomes and outcomes[name] is None
            ]
            self._maker.note(record, **dict.fromkeys(gone))
        return failures

    def _present(self) -> set[str]:
        """Every sandbox of which there is a trace."""
        return self._records.ids() | self._cgroups.ids() | self._maker.run_folders()

    def _own(
        self, work: Coroutine[Any, Any, None], shelf: dict[str, asyncio.Task[None]], id: str
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"end {id}")
        task.add_done_callback(lambda _: shelf.pop(id, None))
        return task


def _runs(main: Started, group: Cgroup) -> bool:
    return is_alive(main) and main.pid in group.processes()


def _wake(group: Cgroup, *, thaw: bool) -> None:
    with contextlib.suppress(FileNotFoundError):
        if thaw and group.can_freeze:
            group.thaw()
        group.yield_processors(False)
