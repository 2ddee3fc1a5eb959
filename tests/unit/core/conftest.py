from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sandlot.core import Engine, Limits
from sandlot.store import Database, SandboxStore, SnapshotStore, sqlite_url

from .fake_node import FakeNode, FakeTemplates, World

Boot = Callable[..., Awaitable[tuple[Engine, FakeNode]]]


@pytest.fixture
async def boot(tmp_path: Path) -> AsyncIterator[Boot]:
    """Start a server over one machine and one database; starting another is a restart of it."""
    world = World()
    async with AsyncExitStack() as stack:

        async def start(limits: Limits | None = None) -> tuple[Engine, FakeNode]:
            database = Database(sqlite_url(tmp_path / "test.db"))
            await database.open()
            node = FakeNode(world)
            engine = Engine(
                store=SandboxStore(database),
                snapshots=SnapshotStore(database),
                node=node,  # type: ignore[arg-type]
                templates=FakeTemplates(),  # type: ignore[arg-type]
                limits=limits or Limits(),
            )
            stack.push_async_callback(database.close)
            stack.push_async_callback(engine.stop)
            await engine.start()
            return engine, node

        yield start
