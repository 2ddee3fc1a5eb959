from __future__ import annotations

import pytest
from fastapi import FastAPI

from sandlot.core.model import StartCommand
from sandlot.doors.native.terminal import LOGIN_SHELL
from sandlot.doors.streaming import Streams
from sandlot.errors import GuestError
from sandlot.node.agent import Exit, Output

from .fake_engine import ENDED, ID, UNKNOWN, FakeAgent, FakeEngine, FakeProcess
from .wire import KEY, Socket, socket

TERMINAL = f"/v1/sandboxes/{ID}/terminal"


@pytest.fixture
def agent(engine: FakeEngine) -> FakeAgent:
    return engine.only.agent


async def opened(wire: Socket, engine: FakeEngine) -> FakeProcess:
    await wire.open()
    started = await wire.text()
    assert started["type"] == "started"
    process = engine.only.processes[started["id"]]
    assert started["pid"] == process.pid
    return process


async def test_a_login_shell_both_ways_to_its_end(app: FastAPI, engine: FakeEngine, agent: FakeAgent) -> None:
    async with socket(app, f"{TERMINAL}?rows=30&cols=100&cwd=/tmp&user=root") as wire:
        process = await opened(wire, engine)
        assert process.request == StartCommand(
            command=LOGIN_SHELL, cwd="/tmp", user="root", timeout_s=None, terminal=(30, 100)
        )
        process.put(Output("stdout", 0, b"$ \xff"))
        assert await wire.data() == b"$ \xff"
        wire.type(b"exit\n")
        wire.say('{"type": "resize", "rows": 40, "cols": 120}')
        process.put(Exit(3))
        assert await wire.text() == {
            "type": "exit", "exit_code": 3, "signal": None, "timed_out": False, "oom": False,
        }  # fmt: skip
        assert await wire.closed() == 1000
        await wire.end()
    assert process.closed.is_set()


async def test_what_is_typed_and_the_size_arrive(app: FastAPI, engine: FakeEngine, agent: FakeAgent) -> None:
    async with socket(app, f"{TERMINAL}?command=top") as wire:
        process = await opened(wire, engine)
        assert process.request.command == "top"
        wire.say('{"type": "resize", "rows": 40, "cols": 120}')
        wire.type(b"q")
        wire.leave()
        await wire.end()
    assert bytes(agent.stdin[process.id]) == b"q"
    assert agent.calls == [("resize", process.id, 40, 120)]
    assert process.closed.is_set()


async def test_attach_again_where_one_left_off(app: FastAPI, engine: FakeEngine, agent: FakeAgent) -> None:
    process = await engine.only.start_command(StartCommand(command="top", terminal=(24, 80)))
    async with socket(app, f"{TERMINAL}?command_id=1&from=17&rows=50&cols=90") as wire:
        assert await opened(wire, engine) is process
    assert agent.calls == [("attach", 1, 17, None), ("resize", 1, 50, 90)]


async def test_a_command_without_a_terminal_cannot_be_attached_to(app: FastAPI, engine: FakeEngine) -> None:
    await engine.only.start_command(StartCommand(command="x"))
    async with socket(app, f"{TERMINAL}?command_id=1") as wire:
        status, body = await wire.denied()
    assert status == 409
    assert "/commands/1/output" in body["error"]["message"]


@pytest.mark.parametrize(
    ("target", "key", "status"),
    [
        (TERMINAL, None, 401),
        (TERMINAL, "sl_wrong", 401),
        (f"{TERMINAL}?api_key=sl_wrong", None, 401),
        (f"/v1/sandboxes/{UNKNOWN}/terminal", KEY, 404),
        (f"/v1/sandboxes/{ENDED}/terminal", KEY, 410),
        ("/v1/sandboxes/MINE/terminal", KEY, 400),
        (f"{TERMINAL}?rows=0", KEY, 400),
        (f"{TERMINAL}?colums=80", KEY, 400),
        (f"{TERMINAL}?command_id=7", KEY, 404),
    ],
)
async def test_before_the_handshake_errors_are_http(
    app: FastAPI, target: str, key: str | None, status: int
) -> None:
    async with socket(app, target, key=key) as wire:
        found, body = await wire.denied()
    assert found == status
    assert body["error"]["message"]


async def test_a_browser_sends_its_key_in_the_address(app: FastAPI, engine: FakeEngine) -> None:
    async with socket(app, f"{TERMINAL}?api_key={KEY}", key=None) as wire:
        await opened(wire, engine)


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "{}",
        '{"type": "resize"}',
        '{"type": "resize", "rows": 0, "cols": 1}',
        '{"type": "resize", "rows": 1, "cols": 1, "x": 1}',
        '{"type": "exit"}',
        "[" * 10_000,
    ],
)
async def test_a_text_that_is_no_message_ends_the_connection_and_says_why(
    app: FastAPI, engine: FakeEngine, text: str
) -> None:
    async with socket(app, TERMINAL) as wire:
        process = await opened(wire, engine)
        wire.say(text)
        assert (await wire.text())["error"]["code"] == "invalid_argument"
        assert await wire.closed() == 1008
        await wire.end()
    assert process.closed.is_set()


async def test_a_client_that_does_not_read_holds_the_program_back(app: FastAPI, engine: FakeEngine) -> None:
    async with socket(app, TERMINAL, window=2) as wire:
        process = await opened(wire, engine)
        process.put(*(Output("stdout", i, b"x") for i in range(1000)))
        for _ in range(5):
            await wire.data()
        assert process.taken <= 10


async def test_input_waits_for_the_program_while_output_goes_on(
    app: FastAPI, engine: FakeEngine, agent: FakeAgent
) -> None:
    agent.stdin_gate.clear()
    async with socket(app, TERMINAL) as wire:
        process = await opened(wire, engine)
        wire.type(b"x")
        process.put(Output("stdout", 0, b"y"))
        assert await wire.data() == b"y"
        assert process.id not in agent.stdin


async def test_typing_into_a_command_that_has_just_ended_still_shows_the_end(
    app: FastAPI, engine: FakeEngine, agent: FakeAgent
) -> None:
    async with socket(app, TERMINAL) as wire:
        process = await opened(wire, engine)
        agent.stdin_closed.add(process.id)
        wire.type(b"x")
        process.put(Exit(0))
        assert (await wire.text())["type"] == "exit"


async def test_a_failure_is_said_before_the_end(app: FastAPI, engine: FakeEngine) -> None:
    async with socket(app, TERMINAL) as wire:
        process = await opened(wire, engine)
        process.put(GuestError("nonsense"))
        assert (await wire.text())["error"]["code"] == "guest_error"
        assert await wire.closed() == 1011


async def test_a_server_that_stops_says_so(app: FastAPI, engine: FakeEngine, streams: Streams) -> None:
    async with socket(app, TERMINAL) as wire:
        process = await opened(wire, engine)
        streams.stop()
        assert (await wire.text())["error"]["code"] == "unavailable"
        assert await wire.closed() == 1012
        await wire.end()
    assert process.closed.is_set()
