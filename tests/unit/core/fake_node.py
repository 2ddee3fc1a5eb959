"""A node that keeps its sandboxes in memory, and can be told to be slow, to fail, and to lose one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sandlot.errors import NotFound, Unavailable
from sandlot.node import Usage


class FakeNodeSandbox:
    def __init__(self, id: str) -> None:
        self.id = id
        self.dead: asyncio.Future[str] = asyncio.get_running_loop().create_future()

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


class FakeNode:
    def __init__(self, world: World) -> None:
        self.world = world
        self.sandboxes: dict[str, FakeNodeSandbox] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
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
        if id not in self.world.running:
            raise NotFound(f"{id} is not running")
        return self._enter(id)

    async def destroy(self, id: str) -> None:
        self.destroyed.append(id)
        self.world.running.discard(id)
        sandbox = self.sandboxes.pop(id, None)
        if sandbox is not None and not sandbox.dead.done():
            sandbox.dead.set_result("destroyed")

    async def sweep(self, keep: set[str]) -> list[str]:
        leftovers = self.world.running - set(keep)
        self.world.running -= leftovers
        return sorted(leftovers)

    def usage(self, ids: Iterable[str]) -> dict[str, Usage]:
        return {id: self.used[id] for id in ids if id in self.sandboxes and id in self.used}

    def stocks(self) -> dict[str, Any]:
        return {}

    async def next_remains(self) -> Any:
        return await self.remains.get()

    def lose(self, id: str, reason: str) -> None:
        self.world.running.discard(id)
        self.sandboxes[id].dead.set_result(reason)

    def _enter(self, id: str) -> FakeNodeSandbox:
        self.sandboxes[id] = FakeNodeSandbox(id)
        return self.sandboxes[id]


class FakeTemplates:
    def resolve(self, name: str) -> Any:
        if name != "base":
            raise NotFound(f"no template {name!r}; there is: base")
        config = SimpleNamespace(user="user", workdir="/home/user", env={}, kernels={})
        return SimpleNamespace(name=name, id="base-1", layers=(Path("/nowhere"),), config=config)

    def list(self) -> list[Any]:
        return []
