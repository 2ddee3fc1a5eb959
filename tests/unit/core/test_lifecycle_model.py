"""The engine beside a model of it: whatever is done, in any order, both agree on what lives."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sandlot.core import CreateSandbox, Engine, Limits, State
from sandlot.core.lifecycle import TRANSITIONS
from sandlot.errors import NotEnoughSpace, SandlotError
from sandlot.store import Database, SandboxStore, SnapshotStore, Tenant, sqlite_url

from .fake_node import FakeNode, FakeTemplates, World


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World()
        self.born: list[str] = []
        self.running: set[str] = set()
        self.frozen: set[str] = set()
        self.on_disk: set[str] = set()
        self.ended: set[str] = set()
        self.run(self.boot())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 10))

    @property
    def paused(self) -> set[str]:
        return self.frozen | self.on_disk

    @property
    def alive(self) -> set[str]:
        return self.running | self.paused

    def draw(self, data: st.DataObject, ids: set[str]) -> str:
        """By age: the ids themselves differ each time that an example is tried again."""
        return self.by_age(ids)[data.draw(st.integers(0, len(ids) - 1))]

    def by_age(self, ids: set[str]) -> list[str]:
        return [id for id in self.born if id in ids]

    def move(self, id: str, *places: set[str]) -> None:
        for place in (self.running, self.frozen, self.on_disk, self.ended):
            place.discard(id)
        for place in places:
            place.add(id)

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
        self.born.append(self.run(self.engine.create(CreateSandbox())).id)
        self.running.add(self.born[-1])

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
        id = self.draw(data, self.alive)
        assert self.run(self.engine.kill(id)) is True
        self.move(id, self.ended)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def kill_again(self, data: st.DataObject) -> None:
        assert self.run(self.engine.kill(self.draw(data, self.ended))) is False

    @precondition(lambda self: self.running | self.frozen)
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        id = self.draw(data, self.running | self.frozen)
        self.node.lose(id, "lost")
        self.run(self._ended(id))
        self.move(id, self.ended)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), memory=st.booleans())
    def pause(self, data: st.DataObject, *, memory: bool) -> None:
        id = self.draw(data, self.running)
        assert self.run(self.engine.pause(id, memory=memory)).state is State.PAUSED
        self.move(id, self.frozen if memory else self.on_disk)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), memory=st.booleans())
    def pause_fails(self, data: st.DataObject, *, memory: bool) -> None:
        self.node.time_failure = NotEnoughSpace("no")
        with contextlib.suppress(NotEnoughSpace):
            self.run(self.engine.pause(self.draw(data, self.running), memory=memory))
        self.node.time_failure = None

    @precondition(lambda self: self.frozen)
    @rule(data=st.data(), fails=st.booleans())
    def deepen(self, data: st.DataObject, *, fails: bool) -> None:
        id = self.draw(data, self.frozen)
        self.node.time_failure = NotEnoughSpace("no") if fails else None
        assert self.run(self.engine._pausing._deepen(id)) is not fails
        self.node.time_failure = None
        if not fails:
            self.move(id, self.on_disk)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), how=st.sampled_from(["resume", "live"]))
    def wake(self, data: st.DataObject, how: str) -> None:
        id = self.draw(data, self.alive)
        self.run(getattr(self.engine, how)(id))
        self.move(id, self.running)

    @precondition(lambda self: self.paused)
    @rule(data=st.data())
    def wake_fails(self, data: st.DataObject) -> None:
        self.node.time_failure = NotEnoughSpace("no")
        with contextlib.suppress(NotEnoughSpace):
            self.run(self.engine.resume(self.draw(data, self.paused)))
        self.node.time_failure = None

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        """Some are lost meanwhile, wherever they are."""
        self.run(self.shut())
        for id in self.by_age(self.alive):
            if data.draw(st.booleans()):
                self.world.lose(id)
                self.move(id, self.ended)
        self.run(self.boot())

    @rule()
    def reboot(self) -> None:
        self.run(self.shut())
        self.world.reboot()
        for id in self.running | self.frozen:
            self.move(id, self.ended)
        self.run(self.boot())

    @precondition(lambda self: self.running)
    @rule(data=st.data(), memory=st.booleans(), done=st.booleans())
    def crash_in_mid_pause(self, data: st.DataObject, *, memory: bool, done: bool) -> None:
        """What the node has done has happened, though nobody wrote it down."""
        id = self.draw(data, self.running)
        self.run(self._crash_in(self.engine.pause(id, memory=memory), done=done))
        if done:
            self.move(id, self.frozen if memory else self.on_disk)
        self.run(self.boot())

    @precondition(lambda self: self.paused)
    @rule(data=st.data(), done=st.booleans())
    def crash_in_mid_resume(self, data: st.DataObject, *, done: bool) -> None:
        id = self.draw(data, self.paused)
        self.run(self._crash_in(self.engine.resume(id), done=done))
        if done:
            self.move(id, self.running)
        self.run(self.boot())

    @invariant()
    def agree(self) -> None:
        assert self.world.running == self.running
        assert self.world.frozen == self.frozen
        assert self.world.suspended == self.on_disk
        assert {live.id for live in self.engine._roster} == self.running | self.frozen
        assert self.engine._pausing.resting.keys() == self.paused

    @invariant()
    def the_books_are_exact(self) -> None:
        status = self.engine.status(Tenant("default"))
        assert (status.sandboxes, status.paused) == (len(self.running), len(self.paused))
        assert status.cpus == len(self.running)
        assert status.memory_mib == 1024 * len(self.running | self.frozen)
        assert status.disk_mib == 10240 * len(self.alive)
        assert self.engine._admission.count().starting == frozenset()

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

    async def _crash_in(self, work: Coroutine[Any, Any, Any], *, done: bool) -> None:
        """The server ends before or after the node's deed, and never gets to write that down."""
        stuck = asyncio.Event()
        deeds, change = len(self.node.done), self.engine._ledger._store.change

        async def hang(*args: Any) -> bool:
            if len(self.node.done) == deeds:
                return await change(*args)
            stuck.set()
            return await asyncio.Event().wait()

        if done:
            self.engine._ledger._store.change = hang  # type: ignore[method-assign, assignment]
        else:
            self.node.time_gate.clear()
        task = asyncio.create_task(work)
        while not (stuck.is_set() or self.node.waiting):
            await asyncio.sleep(0)
        await self.shut()
        with contextlib.suppress(SandlotError):
            await task

    async def _ended(self, id: str) -> None:
        while not (await self.engine.get(id)).state.ended or id in self.engine._admission._booked:
            await asyncio.sleep(0)

    def teardown(self) -> None:
        self.run(self.shut())
        self.loop.close()
        self.folder.cleanup()


Life.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
