"""The engine beside a model of it: whatever is done, in any order, both agree on what lives."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sandlot.core import CreateSandbox, Engine, Limits, State
from sandlot.core.lifecycle import TRANSITIONS
from sandlot.errors import SandlotError
from sandlot.store import Database, SandboxStore, SnapshotStore, sqlite_url

from .fake_node import FakeNode, FakeTemplates, World


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World()
        self.alive: set[str] = set()
        self.ended: set[str] = set()
        self.run(self.boot())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 10))

    async def boot(self) -> None:
        self.database = Database(sqlite_url(Path(self.folder.name) / "life.db"))
        await self.database.open()
        self.node = FakeNode(self.world)
        self.engine = Engine(
            store=SandboxStore(self.database),
            snapshots=SnapshotStore(self.database),
            node=self.node,  # type: ignore[arg-type]
            templates=FakeTemplates(),  # type: ignore[arg-type]
            limits=Limits(),
        )
        await self.engine.start()

    async def shut(self) -> None:
        await self.engine.stop()
        await self.database.close()

    @rule()
    def create(self) -> None:
        self.alive.add(self.run(self.engine.create(CreateSandbox())).id)

    @rule()
    def create_fails(self) -> None:
        self.node.failure = SandlotError("no")
        try:
            self.run(self.engine.create(CreateSandbox()))
        except SandlotError:
            self.node.failure = None

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.alive)))
        assert self.run(self.engine.kill(id)) is True
        self.alive.discard(id)
        self.ended.add(id)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def kill_again(self, data: st.DataObject) -> None:
        assert self.run(self.engine.kill(data.draw(st.sampled_from(sorted(self.ended))))) is False

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.alive)))
        self.node.lose(id, "lost")
        self.run(self._ended(id))
        self.alive.discard(id)
        self.ended.add(id)

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        self.run(self.shut())
        lost = data.draw(st.sets(st.sampled_from(sorted(self.alive)))) if self.alive else set()
        self.world.running -= lost
        self.alive -= lost
        self.ended |= lost
        self.run(self.boot())

    @invariant()
    def agree(self) -> None:
        assert self.world.running == self.alive
        assert {live.id for live in self.engine._roster} == self.alive

    @invariant()
    def every_log_is_a_path_through_the_states(self) -> None:
        for id in self.alive | self.ended:
            state: State | None = None
            for event in self.run(self.engine.events(id)):
                if event.to_state is None:
                    continue
                assert event.from_state == state
                assert state is None or event.to_state in TRANSITIONS[state]
                state = event.to_state
            assert state is not None
            assert state.ended is (id in self.ended)

    async def _ended(self, id: str) -> None:
        while not (await self.engine.get(id)).state.ended:
            await asyncio.sleep(0)

    def teardown(self) -> None:
        self.run(self.shut())
        self.loop.close()
        self.folder.cleanup()


Life.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestLife = Life.TestCase
