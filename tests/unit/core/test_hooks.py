"""Hooks: what runs before a sandbox is handed over, and what becomes of it where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.core import CreateSandbox, CreateSnapshot, Engine, Hooks, Limits, ListQuery, State
from sandlot.core.hooks import HookFailed
from sandlot.core.lifecycle import EventKind
from sandlot.core.limits import MAX_HOOK_BYTES, check_hooks
from sandlot.errors import InvalidArgument, Unavailable
from sandlot.images import TemplateConfig
from sandlot.node.agent import Exit, Output, SpawnSpec
from sandlot.store import Tenant

from .conftest import Boot
from .fake_node import FakeNode, FakeNodeSandbox, FakeTemplates

MINE = Tenant("default")
QUICK = Limits(create_timeout_s=0.3)

Answer = Callable[[SpawnSpec], "tuple[int, bytes]"]


def well(_: SpawnSpec) -> tuple[int, bytes]:
    return 0, b""


@dataclass
class FakeAgent:
    """Runs nothing: an exit code and output for every line."""

    answer: Answer = well
    ran: list[str] = field(default_factory=list)
    users: set[str] = field(default_factory=set)

    async def spawn(self, spec: SpawnSpec) -> Any:
        self.ran.append(spec.args[-1])
        self.users.add(spec.user)
        return FakeProcess(*self.answer(spec))

    async def processes(self) -> list[Any]:
        return []


class FakeProcess:
    id, pid = 1, 1

    def __init__(self, code: int, output: bytes) -> None:
        self._code, self._output = code, output

    async def __aiter__(self) -> AsyncIterator[Output | Exit]:
        if self._output:
            yield Output("stderr", 0, self._output)
        if self._code < 0:
            raise Unavailable("the connection was lost")
        yield Exit(self._code)

    async def close(self) -> None: ...


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> FakeAgent:
    """Of every sandbox."""
    made = FakeAgent()
    monkeypatch.setattr(FakeNodeSandbox, "agent", property(lambda _: made))
    return made


def template(monkeypatch: pytest.MonkeyPatch, **config: Any) -> None:
    made = SimpleNamespace(name="base", id="base-2", layers=(), config=TemplateConfig(**config))
    monkeypatch.setattr(FakeTemplates, "resolve", lambda *_: made)


async def failed(work: Awaitable[object]) -> HookFailed:
    with pytest.raises(HookFailed) as told:
        await work
    return told.value


async def nothing_is_left(engine: Engine, node: FakeNode) -> None:
    assert node.world.running == set()
    assert (await engine.list(ListQuery())).items == []
    assert engine.status(MINE).sandboxes == 0
    assert engine.census().starting == 0


async def test_a_new_sandbox_has_run_them_in_order(
    boot: Boot, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    template(monkeypatch, start="serve", ready="is it up")
    engine, _ = await boot()
    await engine.create(CreateSandbox(hooks=Hooks(on_create="prepare", on_resume="again", ready="am I")))
    assert agent.ran == ["serve", "is it up", "prepare", "am I"]
    assert agent.users == {"user"}


async def test_one_that_does_not_succeed_fails_the_creation_with_what_it_said(
    boot: Boot, agent: FakeAgent
) -> None:
    engine, node = await boot()
    agent.answer = lambda _: (3, b"no such package: pytorhc\n")
    error = await failed(engine.create(CreateSandbox(hooks=Hooks(on_create="pip install pytorhc"))))
    assert error.message == "on_create exited with 3; it printed: no such package: pytorhc"
    assert error.details == {"hook": "on_create", "exit_code": 3, "output": "no such package: pytorhc"}
    await nothing_is_left(engine, node)
    [ended] = (await engine.list(ListQuery(states=frozenset({State.FAILED})))).items
    assert ended.reason == error.message


async def test_only_the_end_of_what_it_printed_is_kept(boot: Boot, agent: FakeAgent) -> None:
    engine, _ = await boot()
    agent.answer = lambda _: (1, b"x" * 100_000 + b"the end")
    error = await failed(engine.create(CreateSandbox(hooks=Hooks(on_create="talk"))))
    assert error.details["output"].endswith("xthe end")
    assert len(error.details["output"]) == 4096


async def test_readiness_is_tried_until_it_succeeds(boot: Boot, agent: FakeAgent) -> None:
    engine, _ = await boot()
    answers = [(1, b"not yet"), (7, b"not yet"), (0, b"")]
    agent.answer = lambda _: answers.pop(0)
    made = await engine.create(CreateSandbox(hooks=Hooks(ready="curl localhost")))
    assert (made.state, agent.ran) == (State.RUNNING, ["curl localhost"] * 3)


async def test_one_that_is_never_ready_fails_in_time(boot: Boot, agent: FakeAgent) -> None:
    engine, node = await boot(QUICK)
    agent.answer = lambda _: (7, b"refused")
    error = await failed(engine.create(CreateSandbox(hooks=Hooks(ready="curl localhost"))))
    assert "within 0.3 s (create_timeout_s): its last try exited with 7; it printed: refused" in error.message
    assert len(agent.ran) > 1
    await nothing_is_left(engine, node)


async def test_a_guest_that_never_answers_does_not_hold_the_creation(
    boot: Boot, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandlot.core.hooks._ITS_END_S", 0.0)

    async def never(_: SpawnSpec) -> Any:
        await asyncio.Event().wait()

    engine, node = await boot(QUICK)
    monkeypatch.setattr(agent, "spawn", never)
    error = await failed(engine.create(CreateSandbox(hooks=Hooks(on_create="sleep"))))
    assert "did not end within 0.3 s" in error.message
    await nothing_is_left(engine, node)


async def test_what_runs_in_one_holds_up_no_other_creation(boot: Boot, agent: FakeAgent) -> None:
    engine, _ = await boot(Limits(max_concurrent_creates=1))
    slow = CreateSandbox(hooks=Hooks(ready="wait"))
    agent.answer = lambda spec: (1 if spec.args[-1] == "wait" else 0, b"")
    waiting = asyncio.create_task(engine.create(slow))
    async with asyncio.timeout(5):
        while not agent.ran:
            await asyncio.sleep(0)
        assert (await engine.create(CreateSandbox())).state is State.RUNNING
    agent.answer = well
    assert (await waiting).state is State.RUNNING


async def test_a_sandbox_that_ends_under_its_hook_is_no_fault_of_the_servers(
    boot: Boot, agent: FakeAgent
) -> None:
    engine, node = await boot()

    def die(_: SpawnSpec) -> tuple[int, bytes]:
        [id] = node.sandboxes
        node.lose(id, "its runtime exited")
        return -1, b""

    agent.answer = die
    error = await failed(engine.create(CreateSandbox(hooks=Hooks(on_create="kill -9 1"))))
    assert "its runtime exited" in error.message
    await nothing_is_left(engine, node)


async def test_one_may_be_killed_while_its_hooks_run(boot: Boot, agent: FakeAgent) -> None:
    engine, node = await boot()
    agent.answer = lambda _: (1, b"")
    making = asyncio.create_task(engine.create(CreateSandbox(hooks=Hooks(ready="never"))))
    async with asyncio.timeout(5):
        while not agent.ran:
            await asyncio.sleep(0)
        [id] = node.sandboxes
        assert await engine.kill(id)
    with pytest.raises(Exception, match="killed"):
        await making
    await nothing_is_left(engine, node)


async def test_it_is_told_that_it_came_back(boot: Boot, agent: FakeAgent) -> None:
    engine, _ = await boot()
    box = await engine.create(CreateSandbox(hooks=Hooks(on_create="once", on_resume="again")))
    snapshot = await engine.snapshot(box.id, MINE, CreateSnapshot())
    assert agent.ran == ["once"]
    for come_back in (
        engine.roll_back(box.id, MINE, snapshot.id),
        engine.fork(box.id, MINE),
        engine.create(CreateSandbox(snapshot=snapshot.id)),
    ):
        agent.ran.clear()
        await come_back
        assert agent.ran == ["again"]
    agent.ran.clear()
    await engine.pause(box.id)
    await engine.resume(box.id)
    assert agent.ran == ["again"]
    agent.ran.clear()
    request = CreateSandbox(snapshot=snapshot.id, hooks=Hooks(on_create="more", on_resume="other"))
    await engine.create(request)
    assert agent.ran == ["other", "more"]


async def test_one_whose_on_resume_fails_stays(boot: Boot, agent: FakeAgent) -> None:
    engine, _ = await boot()
    box = await engine.create(CreateSandbox(hooks=Hooks(on_resume="again")))
    snapshot = await engine.snapshot(box.id, MINE, CreateSnapshot())
    agent.answer = lambda _: (2, b"oh no")
    back = await engine.roll_back(box.id, MINE, snapshot.id)
    assert back.state is State.RUNNING
    [told] = [event for event in await engine.events(box.id) if event.kind == EventKind.HOOK]
    assert told.reason == "on_resume exited with 2; it printed: oh no"
    assert told.details["exit_code"] == 2
    [fork] = await engine.fork(box.id, MINE)
    assert fork.sandbox is not None


async def test_what_boots_anew_starts_anew(
    boot: Boot, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    template(monkeypatch, start="serve", ready="is it up")
    engine, _ = await boot()
    box = await engine.create(CreateSandbox(hooks=Hooks(on_resume="again")))
    snapshot = await engine.snapshot(box.id, MINE, CreateSnapshot(memory=False))
    for come_back in (
        engine.roll_back(box.id, MINE, snapshot.id),
        engine.create(CreateSandbox(snapshot=snapshot.id)),
    ):
        agent.ran.clear()
        await come_back
        assert agent.ran == ["serve", "is it up", "again"]


@given(st.text(max_size=20) | st.just("x" * (MAX_HOOK_BYTES + 1)))
def test_any_line_is_taken_or_refused(line: str) -> None:
    fine = bool(line.strip()) and "\0" not in line and len(line) <= MAX_HOOK_BYTES
    fine = fine and not any(0xD800 <= ord(character) <= 0xDFFF for character in line)
    try:
        check_hooks(Hooks(ready=line))
    except InvalidArgument as error:
        assert not fine
        assert error.message.startswith("ready ")  # noqa: PT017
    else:
        assert fine
