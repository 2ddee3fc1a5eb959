"""The code interpreter's door: lines that clients can read, errors in words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from e2b_code_interpreter.models import Execution, parse_output
from starlette.types import ASGIApp, Receive, Scope, Send

from sandlot.core.interpreter import CodeEvent, Context, Done, ErrorEvent, Result, Stderr, Stdout
from sandlot.doors.e2b.code import execute, lines
from sandlot.doors.e2b.door import CODE_PORT, Door
from sandlot.doors.e2b.services import services
from sandlot.doors.ingress.hosts import Address
from sandlot.doors.streaming import ResponseAborted, Streams
from sandlot.errors import NotFound, SandboxGone, SandboxPaused, SandlotError, Unauthenticated, Unavailable
from tests.unit.doors.fake_engine import ENDED, ID, FakeEngine, FakeInterpreter, FakeLive
from tests.unit.doors.wire import exchange

TOKEN = "the sandbox's token"


class FakeAccess:
    """``public``: whether web ports of the sandbox are."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.public = True

    async def agent(self, sandbox_id: str, token: str | None) -> FakeLive:
        if token != TOKEN:
            raise Unauthenticated("another token is needed")
        return await self._engine.live(sandbox_id)

    async def ingress(self, sandbox_id: str, token: str | None) -> FakeLive:
        if not self.public and token != "the ports' token":
            raise Unauthenticated("its ports are not public")
        return await self._engine.live(sandbox_id)

    async def explain(self, sandbox_id: str, error: SandlotError) -> SandlotError:
        return await self._engine.explain(sandbox_id, error)


@pytest.fixture
def access(engine: FakeEngine) -> FakeAccess:
    return FakeAccess(engine)


@pytest.fixture
def sandbox_id() -> str:
    return ID


@pytest.fixture
def app(access: FakeAccess, streams: Streams, sandbox_id: str) -> ASGIApp:
    door = Door(
        check_ready=lambda: None,
        authenticate=None,  # type: ignore[arg-type]
        engine_of=None,  # type: ignore[arg-type]
        streams=streams,
        access=access,  # type: ignore[arg-type]
        domain="localhost",
        elsewhere=None,  # type: ignore[arg-type]
        max_body_bytes=1000,
    )
    service = services(door)[CODE_PORT]

    async def addressed(scope: Scope, receive: Receive, send: Send) -> None:
        await service({**scope, "state": {"ingress": Address(CODE_PORT, sandbox_id)}}, receive, send)

    return addressed


@pytest.fixture
def held(app: ASGIApp) -> ASGIApp:
    """As it is to whoever has the token."""

    async def with_token(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*scope["headers"], (b"x-access-token", TOKEN.encode())]
        await app({**scope, "headers": headers}, receive, send)

    return with_token


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://sandlot", headers={"x-access-token": TOKEN}
    ) as client:
        yield client


@pytest.fixture
def interpreter(engine: FakeEngine) -> FakeInterpreter:
    return engine.only.interpreter


def prepare(interpreter: FakeInterpreter, *events: CodeEvent | Exception | None) -> None:
    for event in events:
        interpreter.events.put_nowait(event)


def read(text: str) -> Execution:
    execution = Execution()
    for line in text.splitlines():
        parse_output(execution, line)
    return execution


async def test_the_client_can_read_what_a_run_tells(
    client: httpx.AsyncClient, interpreter: FakeInterpreter
) -> None:
    full = Result(True, "t", "h", "m", "s", "p", "j", "f", "l", {"a": 1}, "js", {"c": [1]}, None, {"x/y": 1})
    error = ErrorEvent("ZeroDivisionError", "division by zero", "Traceback")
    prepare(
        interpreter, Stdout("out"), Stderr("err"), full, Result(False, "'shown'"), error, Done(3, 1.5), None
    )
    answer = await client.post("/execute", json={"code": "1", "context_id": None, "env_vars": {"A": "1"}})
    execution = read(answer.text)
    assert (execution.logs.stdout, execution.logs.stderr) == (["out"], ["err"])
    assert [(result.text, result.is_main_result) for result in execution.results] == [
        ("t", True),
        ("shown", False),
    ]
    assert list(execution.results[0].formats()) == [
        "text", "html", "markdown", "svg", "png", "jpeg", "pdf", "latex", "json", "javascript", "data", "x/y",
    ]  # fmt: skip
    assert execution.error is not None
    assert execution.error.traceback == "Traceback"
    assert execution.execution_count == 3
    assert json.loads(answer.text.splitlines()[-1]) == {"type": "end_of_execution"}
    assert interpreter.calls == [("run", "1", None, "python", {"A": "1"}, None)]


@pytest.mark.parametrize(
    ("said", "meant"),
    [(None, "python"), ("", "python"), ("Python", "python"), ("js", "javascript"), ("ts ", "typescript")],
)
async def test_names_of_languages(
    client: httpx.AsyncClient, interpreter: FakeInterpreter, said: str | None, meant: str
) -> None:
    prepare(interpreter, Done(1, 1), None)
    await client.post("/execute", json={"code": "1", "language": said})
    assert interpreter.calls[0][3] == meant


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "the body"),
        (b"[]", "the body"),
        (b"{}", "`code`"),
        (b'{"code": 1}', "$.code"),
        (b'{"code": "1", "env_vars": {"A": 1}}', "$.env_vars"),
        (b'{"code": "1", "context_id": "a", "language": "r"}', "not both"),
        (b'{"code": "' + b"1" * 1000 + b'"}', "1000 bytes"),
    ],
)
async def test_bodies_that_cannot_be(client: httpx.AsyncClient, body: bytes, complaint: str) -> None:
    answer = await client.post("/execute", content=body)
    assert answer.status_code in (400, 413)
    assert complaint in answer.text


async def test_an_error_is_a_sentence(client: httpx.AsyncClient, interpreter: FakeInterpreter) -> None:
    prepare(interpreter, NotFound("there is no such context"))
    answer = await client.post("/execute", json={"code": "1"})
    assert (answer.status_code, answer.text) == (404, "there is no such context")
    assert (await client.get("/nothing")).status_code == 404


@pytest.mark.parametrize("sandbox_id", [ENDED])
async def test_a_sandbox_that_has_ended(client: httpx.AsyncClient) -> None:
    for answer in (await client.post("/execute", json={"code": "1"}), await client.get("/contexts")):
        assert answer.status_code == 502
        assert "was not found" in answer.text


async def test_a_sandbox_that_is_paused(
    client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live(id: str) -> FakeLive:
        raise SandboxPaused("it is paused")

    monkeypatch.setattr(engine, "live", live)
    for answer in (await client.post("/execute", json={"code": "1"}), await client.get("/contexts")):
        assert (answer.status_code, "was not found: it is paused" in answer.text) == (502, True)


async def test_a_run_that_a_pause_cuts_short(client: httpx.AsyncClient, interpreter: FakeInterpreter) -> None:
    prepare(interpreter, SandboxPaused("it was paused meanwhile"))
    answer = await client.post("/execute", json={"code": "1"})
    assert (answer.status_code, "was not found: it is paused" in answer.text) == (502, True)


async def test_silence_is_broken_and_a_late_failure_is_told(
    held: ASGIApp, interpreter: FakeInterpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "_KEEPALIVE_S", 0.01)
    async with exchange(held, "POST", "/execute") as wire:
        wire.send(b'{"code": "1"}')
        assert await wire.status() == 200
        assert (await wire.receive())["body"] == lines.KEEPALIVE
        prepare(interpreter, Unavailable("the sandbox was lost"))
        while (told := (await wire.receive())["body"]) == lines.KEEPALIVE:
            pass
    execution = read(told.decode())
    assert execution.error is not None
    assert (execution.error.name, execution.error.value) == (
        "UnexpectedEndOfExecution",
        "the sandbox was lost",
    )


async def test_the_connection_breaks_with_the_sandbox(held: ASGIApp, interpreter: FakeInterpreter) -> None:
    """Clients then ask whether it still runs, and say that it was killed."""
    async with exchange(held, "POST", "/execute") as wire:
        wire.send(b'{"code": "1"}')
        prepare(interpreter, Stdout("x"), SandboxGone("it was killed"))
        assert await wire.status() == 200
        await wire.receive()
        with pytest.raises(ResponseAborted):
            await wire.receive()


async def test_a_silent_run_has_a_status_before_it_says_anything(
    held: ASGIApp, interpreter: FakeInterpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "_STATUS_S", 0.01)
    async with exchange(held, "POST", "/execute") as wire:
        wire.send(b'{"code": "1"}')
        assert await wire.status() == 200
        prepare(interpreter, SandboxGone("it was killed"))
        with pytest.raises(ResponseAborted):
            await wire.receive()


async def test_a_client_that_leaves_ends_the_run(held: ASGIApp, interpreter: FakeInterpreter) -> None:
    async with exchange(held, "POST", "/execute") as wire:
        wire.send(b'{"code": "1"}')
        prepare(interpreter, Stdout("x"))
        assert await wire.status() == 200
        wire.leave()
        await wire.end()
    assert interpreter.closed.is_set()


async def test_contexts(client: httpx.AsyncClient, interpreter: FakeInterpreter) -> None:
    interpreter.known = [Context("other", "r", "/")]
    made: dict[str, Any] = (await client.post("/contexts", json={"cwd": "work"})).json()
    assert made == {"id": "ctx1", "language": "python", "cwd": "/home/user/work"}
    assert [each["id"] for each in (await client.get("/contexts")).json()][-2:] == ["other", "ctx1"]
    assert (await client.post("/contexts/ctx1/restart")).status_code == 200
    assert (await client.delete("/contexts/ctx1")).status_code == 200
    assert (await client.delete("/contexts/ctx1")).status_code == 404
    assert (await client.post("/contexts", json={"language": "cobol"})).status_code == 400


async def test_who_may(client: httpx.AsyncClient, access: FakeAccess) -> None:
    """Clients send no token with what they do to contexts, but one that they send has to be right."""
    del client.headers["x-access-token"]
    assert (await client.get("/contexts")).status_code == 200
    assert (await client.get("/contexts", headers={"x-access-token": "x"})).status_code == 401
    assert (await client.post("/execute", json={"code": "1"})).status_code == 401
    access.public = False
    assert (await client.get("/contexts")).status_code == 401
    ports = {"e2b-traffic-access-token": "the ports' token"}
    assert (await client.get("/contexts", headers=ports)).status_code == 200
    assert (await client.post("/execute", json={"code": "1"}, headers=ports)).status_code == 401
