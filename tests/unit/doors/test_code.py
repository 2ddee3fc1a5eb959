from __future__ import annotations

import json

import httpx
import pytest
from fastapi import FastAPI

from sandlot.core.interpreter import Done, ErrorEvent, Result, Stderr, Stdout
from sandlot.doors.native import streams as native_streams
from sandlot.errors import Unavailable

from .fake_engine import ID, FakeEngine
from .wire import exchange

CODE = f"/v1/sandboxes/{ID}/code"
CONTEXTS = f"/v1/sandboxes/{ID}/contexts"


async def test_code_streams_what_it_does(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    interpreter = engine.only.interpreter
    for event in (
        Stdout("out"),
        Stderr("err"),
        Result(is_main=True, text="2", html="<b>2</b>"),
        ErrorEvent("ZeroDivisionError", "division by zero", "Traceback"),
        Done(3, 1.5),
        None,
    ):
        interpreter.events.put_nowait(event)
    answer = await client.post(CODE, json={"code": "1+1", "env": {"A": "1"}, "timeout_s": None})
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"type": "stdout", "text": "out"},
        {"type": "stderr", "text": "err"},
        {"type": "result", "is_main": True, "text": "2", "html": "<b>2</b>"},
        {"type": "error", "name": "ZeroDivisionError", "value": "division by zero", "traceback": "Traceback"},
        {"type": "done", "execution_count": 3, "duration_ms": 1.5},
    ]
    assert interpreter.calls == [("run", "1+1", None, "python", {"A": "1"}, None)]
    assert interpreter.closed.is_set()


async def test_printed_text_that_has_no_utf8(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    for event in (Stdout("\ud800"), None):
        engine.only.interpreter.events.put_nowait(event)
    answer = await client.post(CODE, json={"code": "print(chr(0xd800))"})
    assert json.loads(answer.content) == {"type": "stdout", "text": "\ud800"}


async def test_an_unknown_context_is_an_ordinary_error(client: httpx.AsyncClient) -> None:
    answer = await client.post(CODE, json={"code": "1", "context": "nope"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_long_silent_code_is_kept_alive_and_a_late_failure_is_a_line(
    app: FastAPI, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_streams, "KEEPALIVE_S", 0.01)
    async with exchange(app, "POST", CODE) as wire:
        wire.send(b'{"code": "1"}')
        assert await wire.status() == 200
        assert await wire.line() == {"type": "keepalive"}
        engine.only.interpreter.events.put_nowait(Unavailable("the sandbox was lost"))
        while (line := await wire.line()) == {"type": "keepalive"}:
            pass
        assert line == {"type": "error", "error": {"code": "unavailable", "message": "the sandbox was lost"}}
        assert await wire.line() is None


async def test_a_client_that_leaves_ends_the_listening(app: FastAPI, engine: FakeEngine) -> None:
    async with exchange(app, "POST", CODE) as wire:
        wire.send(b'{"code": "1"}')
        engine.only.interpreter.events.put_nowait(Stdout("x"))
        assert await wire.status() == 200
        wire.leave()
        await wire.end()
    assert engine.only.interpreter.closed.is_set()


async def test_contexts(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    made = await client.post(CONTEXTS, json={"cwd": "/tmp", "env": {"A": "1"}})
    assert (made.status_code, made.json()) == (201, {"id": "ctx1", "language": "python", "cwd": "/tmp"})
    listed = (await client.get(CONTEXTS)).json()["contexts"]
    assert [item["id"] for item in listed] == ["python", "ctx1"]
    assert (await client.post(f"{CONTEXTS}/ctx1/restart")).json() == made.json()
    assert (await client.post(f"{CONTEXTS}/ctx1/interrupt")).status_code == 204
    assert (await client.delete(f"{CONTEXTS}/ctx1")).status_code == 204
    assert (await client.delete(f"{CONTEXTS}/ctx1")).status_code == 404
    assert engine.only.interpreter.calls == [("restart", "ctx1"), ("interrupt", "ctx1")]
    assert (await client.post(CONTEXTS, json={"language": "cobol"})).status_code == 400
