"""A node that keeps its sandboxes in memory, and can be told to be slow, to fail, and to lose one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sandlot.errors import Conflict, NotFound, SandlotError, Unavailable
from sandlot.images import TemplateConfig
from sandlot.node import Presence, SnapshotFacts, Usage


class FakeNodeSandbox:
    def __init__(self, id: str) -> None:
        self.id = id
        self.dead: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.idle_since: float | None = None

    @property
    def agent(self) -> Any:
        raise Unavailable("this sandbox has no agent")

    def heed(self, waiting: Any) -> None: ...

    async def wait_dead(self) -> str:
        return await asyncio.shield(self.dead)

    async def oom_events(self) -> AsyncIterator[Any]:
        await self.wait_dead()
        return
        yield


class World:
    """The machine: what survives the server."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.frozen: set[str] = set()
        self.suspended: set[str] = set()
        self.snapshots: set[str] = set()

    def reboot(self) -> None:
        """What was only in memory is lost."""
        self.running.clear()
        self.frozen.clear()

    def lose(self, id: str) -> None:
        for place in (self.running, self.frozen, self.suspended):
            place.discard(id)

    @property
    def kept(self) -> set[str]:
        """Every sandbox of which there is anything."""
        return self.running | self.frozen | self.suspended


class FakeNode:
    def __init__(self, world: World) -> None:
        self.world = world
        self.sandboxes: dict[str, FakeNodeSandbox] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.time_gate = asyncio.Event()
        self.time_gate.set()
        self.waiting = 0
        """How many wait at ``time_gate``."""
        self.time_failure: SandlotError | None = None
        """What everything to do with time answers, having done nothing."""
        self.forks: list[SandlotError | None] = []
        """How the next children turn out, one after the other; without an entry, well."""
        self.done: list[tuple[str, str]] = []
        """What was done that has to do with time, and to which sandbox."""
        self.destroyed: list[str] = []
        self.used: dict[str, Usage] = {}
        self.remains: asyncio.Queue[Any] = asyncio.Queue()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def create(self, spec: Any) -> FakeNodeSandbox:
        self.world.running.add(spec.id)
        await self.gate.wait()
        if self.failure is not None:
            self.world.running.discard(spec.id)
            raise self.failure
        return self._enter(spec.id)

    async def adopt(self, id: str) -> FakeNodeSandbox:
        if id not in self.world.running | self.world.frozen:
            raise NotFound(f"{id} is not running")
        return self._enter(id)

    async def destroy(self, id: str) -> None:
        self.destroyed.append(id)
        self._forget(id)
        sandbox = self.sandboxes.pop(id, None)
        if sandbox is not None and not sandbox.dead.done():
            sandbox.dead.set_result("destroyed")

    async def sweep(self, keep: set[str]) -> list[str]:
        leftovers = self.world.kept - set(keep)
        for id in leftovers:
            self._forget(id)
        return sorted(leftovers)

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────

    async def presence(self, id: str) -> Presence:
        for place, presence in (
            (self.world.suspended, Presence.SUSPENDED),
            (self.world.frozen, Presence.FROZEN),
            (self.world.running, Presence.RUNNING),
        ):
            if id in place:
                return presence
        return Presence.GONE

    async def pause(self, id: str) -> None:
        await self._act("pause", id)
        if id not in self.world.running | self.world.frozen:
            raise NotFound(f"{id} is not running")
        self._move(id, self.world.frozen)

    async def suspend(self, id: str, *, memory: bool) -> None:
        await self._act("suspend" if memory else "suspend files", id)
        if id not in self.world.running | self.world.frozen:
            raise NotFound(f"{id} is not running")
        self._move(id, self.world.suspended)
        if (sandbox := self.sandboxes.pop(id, None)) is not None:
            sandbox.dead.set_result("it was suspended")

    async def resume(self, id: str, spec: Any) -> FakeNodeSandbox:
        await self._act("resume", id)
        if id not in self.world.kept:
            raise NotFound(f"nothing is kept of {id}")
        self._move(id, self.world.running)
        return self.sandboxes.get(id) or self._enter(id)

    async def snapshot(self, id: str, snapshot_id: str, *, memory: bool) -> SnapshotFacts:
        await self._act("snapshot", id)
        if id not in self.world.kept:
            raise NotFound(f"nothing is kept of {id}")
        if snapshot_id in self.world.snapshots:
            raise Conflict(f"there is a snapshot {snapshot_id} already")
        self.world.snapshots.add(snapshot_id)
        return SnapshotFacts(memory=memory, size_bytes=100, stored_bytes=10, downtime_s=0.1)

    async def restore(self, spec: Any, snapshot_id: str, *, memory: bool) -> FakeNodeSandbox:
        await self._act("restore", spec.id)
        self._check_snapshot(snapshot_id)
        return await self.create(spec)

    async def fork(self, id: str, specs: Sequence[Any]) -> list[FakeNodeSandbox | SandlotError]:
        await self._act("fork", id)
        outcomes: list[FakeNodeSandbox | SandlotError] = []
        for spec in specs:
            error = self.forks.pop(0) if self.forks else None
            outcomes.append(error if error is not None else await self.create(spec))
        return outcomes

    async def roll_back(self, id: str, spec: Any, snapshot_id: str) -> FakeNodeSandbox:
        await self._act("roll back", id)
        self._check_snapshot(snapshot_id)
        old = self.sandboxes.pop(id, None)
        if old is not None and not old.dead.done():
            old.dead.set_result("it went back to a snapshot")
        self._move(id, self.world.running)
        return self._enter(id)

    async def delete_snapshot(self, snapshot_id: str) -> dict[str, int]:
        self.world.snapshots.discard(snapshot_id)
        return {}

    async def sweep_snapshots(self, keep: set[str]) -> list[Any]:
        strays = self.world.snapshots - set(keep)
        self.world.snapshots -= strays
        return sorted(strays)

    def layers(self) -> set[Path]:
        return set()

    def _check_snapshot(self, snapshot_id: str) -> None:
        if snapshot_id not in self.world.snapshots:
            raise NotFound(f"no snapshot {snapshot_id}")

    async def _act(self, what: str, id: str) -> None:
        self.waiting += 1
        try:
            await self.time_gate.wait()
        finally:
            self.waiting -= 1
        if self.time_failure is not None:
            raise self.time_failure
        self.done.append((what, id))

    def _move(self, id: str, place: set[str]) -> None:
        self._forget(id)
        place.add(id)

    def _forget(self, id: str) -> None:
        self.world.lose(id)

    def usage(self, ids: Iterable[str]) -> dict[str, Usage]:
        return {id: self.used[id] for id in ids if id in self.sandboxes and id in self.used}

    def stocks(self) -> dict[str, Any]:
        return {}

    async def next_remains(self) -> Any:
        return await self.remains.get()

    def lose(self, id: str, reason: str) -> None:
        self._forget(id)
        self.sandboxes[id].dead.set_result(reason)

    def _enter(self, id: str) -> FakeNodeSandbox:
        self.sandboxes[id] = FakeNodeSandbox(id)
        return self.sandboxes[id]


class FakeTemplates:
    def resolve(self, name: str) -> Any:
        if name != "base":
            raise NotFound(f"no template {name!r}; there is: base")
        return SimpleNamespace(name=name, id="base-1", layers=(Path("/nowhere"),), config=TemplateConfig())

    def list(self) -> list[Any]:
        return []
