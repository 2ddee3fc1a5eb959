from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from sandlot.core.model import StartCommand
from sandlot.doors.native import streams as native_streams
from sandlot.doors.streaming import Streams
from sandlot.errors import GuestError, Unavailable
from sandlot.node.agent import Exit, Output

from .fake_engine import ID, FakeEngine, FakeProcess
from .wire import Exchange, exchange

COMMANDS = f"/v1/sandboxes/{ID}/commands"


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_command_streams_its_output_and_its_end(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.only.prepared = [
        Output("stdout", 0, b"hi\n"),
        Output("stderr", 0, b"\xff"),
        Exit(137, 9, oom=True),
    ]
    answer = await client.post(COMMANDS, json={"command": "echo hi", "env": {"A": "1"}, "timeout_s": None})
    assert answer.status_code == 200
    assert lines(answer) == [
        {"type": "started", "id": 1, "pid": 101},
        {"type": "stdout", "offset": 0, "data": "aGkK"},
        {"type": "stderr", "offset": 0, "data": "/w=="},
        {"type": "exit", "exit_code": 137, "signal": 9, "timed_out": False, "oom": True},
    ]
    process = engine.only.processes[1]
    assert process.request == StartCommand(command="echo hi", env={"A": "1"}, timeout_s=None)
    assert process.closed.is_set()


async def test_words_instead_of_a_line(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.only.prepared = [Exit(0)]
    wish = {"args": ["a", "b"], "cwd": "/", "user": "root", "stdin": True, "tag": "t"}
    await client.post(COMMANDS, json=wish)
    assert engine.only.processes[1].request == StartCommand(**wish)  # type: ignore[arg-type]


async def test_what_cannot_start_is_an_ordinary_error(client: httpx.AsyncClient) -> None:
    answer = await client.post(COMMANDS, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_argument")


async def test_background_answers_at_once_and_listens_no_longer(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    answer = await client.post(COMMANDS, json={"command": "sleep 9", "background": True, "tag": "t"})
    assert answer.status_code == 201
    assert answer.json() == {
        "id": 1,
        "pid": 101,
        "args": ["/bin/bash", "-c", "sleep 9"],
        "cwd": "/home/user",
        "user": "user",
        "tag": "t",
        "terminal": False,
        "started_at": "2026-11-21T12:00:00Z",
        "running": True,
        "exit_code": None,
        "signal": None,
        "timed_out": False,
        "oom": False,
        "stdout_end": 0,
        "stderr_end": 0,
    }
    assert engine.only.processes[1].closed.is_set()


async def test_list_and_get(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    process = await engine.only.start_command(StartCommand(command="x"))
    process.ended = True
    [listed] = (await client.get(COMMANDS)).json()["commands"]
    assert (listed["id"], listed["running"], listed["exit_code"]) == (1, False, 0)
    assert (await client.get(f"{COMMANDS}/1")).json() == listed
    assert (await client.get(f"{COMMANDS}/7")).status_code == 404
    assert (await client.get(f"{COMMANDS}/x")).status_code == 400


async def test_arguments_that_are_not_utf8_do_not_break_the_list(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await engine.only.start_command(StartCommand(args=["\udcff"]))
    answer = await client.get(COMMANDS)
    assert json.loads(answer.content)["commands"][0]["args"] == ["\udcff"]


@pytest.mark.parametrize(
    ("query", "call"),
    [("", (None, None)), ("?stdout_from=0&stderr_from=7", (0, 7)), ("?stdout_from=5", (5, None))],
)
async def test_follow_begins_where_it_is_told(
    client: httpx.AsyncClient, engine: FakeEngine, query: str, call: tuple[int | None, int | None]
) -> None:
    process = await engine.only.start_command(StartCommand(command="x"))
    process.put(Output("stdout", 5, b"x"), Exit(3))
    answer = await client.get(f"{COMMANDS}/1/output{query}")
    assert [line["type"] for line in lines(answer)] == ["started", "stdout", "exit"]
    assert engine.only.agent.calls == [("attach", 1, *call)]
    assert (await client.get(f"{COMMANDS}/1/output?stdout_from=-1")).status_code == 400


async def test_stdin_is_passed_on_as_it_comes(app: FastAPI, engine: FakeEngine) -> None:
    await engine.only.start_command(StartCommand(command="x"))
    async with exchange(app, "POST", f"{COMMANDS}/1/stdin") as wire:
        wire.send(b"one", more=True)
        wire.send(b"two")
        assert await wire.status() == 204
    assert bytes(engine.only.agent.stdin[1]) == b"onetwo"


async def test_stdin_waits_for_the_command_to_read(app: FastAPI, engine: FakeEngine) -> None:
    await engine.only.start_command(StartCommand(command="x"))
    engine.only.agent.stdin_gate.clear()
    async with exchange(app, "POST", f"{COMMANDS}/1/stdin") as wire:
        wire.send(b"one")
        assert not wire.task.done()
        engine.only.agent.stdin_gate.set()
        assert await wire.status() == 204


async def test_closed_input_is_a_conflict(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await engine.only.start_command(StartCommand(command="x"))
    assert (await client.post(f"{COMMANDS}/1/stdin/close")).status_code == 204
    assert (await client.post(f"{COMMANDS}/1/stdin", content=b"x")).status_code == 409


@pytest.mark.parametrize(("signal", "number"), [("TERM", 15), ("sigkill", 9), (2, 2)])
async def test_signals_have_names_and_numbers(
    client: httpx.AsyncClient, engine: FakeEngine, signal: object, number: int
) -> None:
    await engine.only.start_command(StartCommand(command="x"))
    answer = await client.post(f"{COMMANDS}/1/signal", json={"signal": signal, "group": False})
    assert (answer.status_code, answer.content) == (204, b"")
    assert engine.only.agent.calls == [("signal", 1, number, False)]


@pytest.mark.parametrize("signal", ["NOPE", 0, 65, -1])
async def test_there_is_no_such_signal(client: httpx.AsyncClient, engine: FakeEngine, signal: object) -> None:
    await engine.only.start_command(StartCommand(command="x"))
    answer = await client.post(f"{COMMANDS}/1/signal", json={"signal": signal})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("signal: ")


async def test_resize(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await engine.only.start_command(StartCommand(command="x"))
    assert (await client.post(f"{COMMANDS}/1/resize", json={"rows": 50, "cols": 120})).status_code == 204
    assert engine.only.agent.calls == [("resize", 1, 50, 120)]
    assert (await client.post(f"{COMMANDS}/1/resize", json={"rows": 0, "cols": 120})).status_code == 400


# ── what a stream does when things are slow, or go wrong ─────────────────────────────────────────────────


async def begun(wire: Exchange) -> None:
    wire.send(b'{"command": "x"}')
    assert await wire.status() == 200
    assert (await wire.line() or {})["type"] == "started"


def only_process(engine: FakeEngine) -> FakeProcess:
    return engine.only.processes[1]


async def test_a_client_that_leaves_detaches_at_once(app: FastAPI, engine: FakeEngine) -> None:
    async with exchange(app, "POST", COMMANDS) as wire:
        await begun(wire)
        assert not only_process(engine).closed.is_set()
        wire.leave()
        await wire.end()
        assert only_process(engine).closed.is_set()


async def test_a_client_that_does_not_read_holds_the_command_back(app: FastAPI, engine: FakeEngine) -> None:
    engine.only.prepared = [Output("stdout", i, b"x") for i in range(1000)]
    async with exchange(app, "POST", COMMANDS, window=2) as wire:
        await begun(wire)
        for _ in range(5):
            await wire.line()
        assert only_process(engine).taken <= 10
        wire.leave()
        await wire.end()
        assert only_process(engine).closed.is_set()


async def test_silence_is_filled_with_keepalives(
    app: FastAPI, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_streams, "KEEPALIVE_S", 0.01)
    async with exchange(app, "POST", COMMANDS) as wire:
        await begun(wire)
        assert await wire.line() == {"type": "keepalive"}
        assert await wire.line() == {"type": "keepalive"}
        only_process(engine).put(Exit(0))
        while (line := await wire.line()) == {"type": "keepalive"}:
            pass
        assert line is not None
        assert line["type"] == "exit"
        assert await wire.line() is None


async def test_a_failure_in_the_middle_is_the_last_line(app: FastAPI, engine: FakeEngine) -> None:
    async with exchange(app, "POST", COMMANDS) as wire:
        await begun(wire)
        only_process(engine).put(GuestError("the guest agent sent nonsense"))
        assert await wire.line() == {
            "type": "error",
            "error": {"code": "guest_error", "message": "the guest agent sent nonsense"},
        }
        assert await wire.line() is None
        await wire.end()
    assert only_process(engine).closed.is_set()


async def test_a_bug_in_the_middle_is_logged_and_not_shown(app: FastAPI, engine: FakeEngine) -> None:
    with capture_logs() as logs:
        async with exchange(app, "POST", COMMANDS) as wire:
            await begun(wire)
            only_process(engine).put(ZeroDivisionError("secret"))
            line = await wire.line()
    assert line is not None
    assert line["error"]["code"] == "internal"
    assert "secret" not in json.dumps(line)
    assert any(entry["event"] == "unexpected error" for entry in logs)


async def test_a_server_that_stops_says_so_and_leaves_the_command(
    app: FastAPI, engine: FakeEngine, streams: Streams
) -> None:
    async with exchange(app, "POST", COMMANDS) as wire:
        await begun(wire)
        assert streams.open == 1
        streams.stop()
        line = await wire.line()
        assert line is not None
        assert line["error"]["code"] == Unavailable.code
        assert await wire.line() is None
        await wire.end()
    assert only_process(engine).closed.is_set()
    assert streams.open == 0
