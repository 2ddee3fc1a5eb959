"""Hot sandboxes of a real node end where others need what they hold, or nobody can use them any more."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sandlot.core import CreateSandbox, Engine, Limits, ListQuery
from sandlot.core.pools import Bounds, PoolSettings
from sandlot.images import Templates
from sandlot.node import Node, NodeSettings
from sandlot.store import Database, SandboxStore, SnapshotStore, sqlite_url
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.free_mib = 8192
        self.templates = folder / "templates"
        self.templates.mkdir()
        (self.templates / "layers").symlink_to(TEMPLATES_DIR / "layers")
        shutil.copy(TEMPLATES_DIR / "base.json", self.templates)

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Engine]:
        database = Database(sqlite_url(self.folder / "test.db"))
        await database.open()
        engine = Engine(
            store=SandboxStore(database),
            snapshots=SnapshotStore(database),
            node=Node(NodeSettings(data_dir=self.folder, network_slots=1, disk_slots=1)),
            templates=Templates(self.templates),
            limits=Limits(),
            available_memory_mib=lambda: self.free_mib,
            pools=PoolSettings(Bounds(0, 0), {"base": Bounds(2, 2)}),
        )
        await engine.start()
        try:
            yield engine
        finally:
            for sandbox in (await engine.list(ListQuery())).items:
                await engine.kill(sandbox.id)
            await engine.stop()
            await database.close()


async def hot(engine: Engine, count: int) -> None:
    async with asyncio.timeout(60):
        while [(pool.hot, pool.making) for pool in engine.pools()] != [(count, 0)]:
            await asyncio.sleep(0.01)


async def test_memory_that_is_short(footprint: Footprint, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    async with machine.engine() as engine:
        await hot(engine, 2)
        machine.free_mib = 580  # enough for one creation, and less than what lets hot ones stand
        taken = await engine.create(CreateSandbox(memory_mib=512))
        assert (await engine.events(taken.id))[0].details["start"] == "cold"
        await hot(engine, 0)
        machine.free_mib = 8192
        await engine.create(CreateSandbox(memory_mib=512))
        await hot(engine, 2)


async def test_a_template_that_is_built_anew(footprint: Footprint, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    async with machine.engine() as engine:
        await hot(engine, 2)
        record = machine.templates / "base.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"id": "anew"}))
        made = await engine.create(CreateSandbox())
        assert (made.template_id, (await engine.events(made.id))[0].details["start"]) == ("anew", "cold")
        await hot(engine, 2)
        assert [pool.template_id for pool in engine.pools()] == ["anew"]
        made = await engine.create(CreateSandbox())
        assert (made.template_id, (await engine.events(made.id))[0].details["start"]) == ("anew", "hot")
