"""What the ingress decides by itself, against a program on loopback in place of one in a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, Self

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from sandlot.doors.ingress import Address, Ingress, exchange, ingress
from sandlot.doors.streaming import Streams
from sandlot.errors import Conflict, DeadlineExceeded, LimitExceeded, NotFound, SandboxGone, Unavailable

ID = "sb" + "a" * 20
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


class LoopbackStream:
    """As a connection that an agent dialled."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(65536)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()


class Sandboxes:
    """Access and agent in one. ``failure``, where it is set, is what the next step raises."""

    def __init__(self) -> None:
        self.id = ID
        self.sandbox = SimpleNamespace(ingress="public")
        self.agent = self
        self.failure: Exception | None = None
        self.dial_failure: Exception | None = None
        self.port = 0

    async def ingress(self, sandbox_id: str, token: str | None) -> Self:
        if self.failure is not None:
            raise self.failure
        return self

    async def explain(self, sandbox_id: str, error: Exception) -> Exception:
        return error

    async def dial(self, port: int, **_: Any) -> LoopbackStream:
        if self.dial_failure is not None:
            raise self.dial_failure
        return LoopbackStream(*await asyncio.open_connection("127.0.0.1", self.port))


@pytest.fixture
def sandboxes() -> Sandboxes:
    return Sandboxes()


@pytest.fixture
def gate(sandboxes: Sandboxes) -> Ingress:
    access: Any = sandboxes
    return Ingress(
        domains=["box.test", "localhost:7263"],
        check_ready=lambda: None,
        access=access,
        streams=Streams(),
        token_headers=["x-sandlot-token"],
    )


@pytest.fixture
async def client(gate: Ingress) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(gate.before(PlainTextResponse("the server's own")))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://3000-{ID}.box.test") as client:
        yield client


async def program(sandboxes: Sandboxes, answer: Answer) -> asyncio.Server:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    sandboxes.port = server.sockets[0].getsockname()[1]
    return server


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
    writer.close()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def test_each_domain_and_nothing_else(client: httpx.AsyncClient, sandboxes: Sandboxes) -> None:
    async with await program(sandboxes, hello):
        for host in (f"3000-{ID}.box.test", f"3000-{ID}.BOX.test:443", f"3000-{ID}.localhost:1"):
            assert (await client.get("/", headers={"host": host})).text == "hello"
    for host in ("box.test", "api.box.test", f"3000-{ID}.else.test", f"x-{ID}.box.test", ""):
        assert (await client.get("/", headers={"host": host})).text == "the server's own"


async def test_a_doors_own_port(client: httpx.AsyncClient, gate: Ingress) -> None:
    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(repr(scope["state"]["ingress"]))(scope, receive, send)

    gate.services[3000] = service
    assert (await client.get("/")).text == repr(Address(3000, ID))


async def test_a_door_that_knows_the_address_otherwise(gate: Ingress, sandboxes: Sandboxes) -> None:
    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"ingress": Address(3000, ID)}
        await gate.elsewhere(scope, receive, send)

    async with (
        await program(sandboxes, hello),
        httpx.AsyncClient(transport=httpx.ASGITransport(elsewhere), base_url="http://127.0.0.1") as client,
    ):
        assert (await client.get("/")).text == "hello"


@pytest.mark.parametrize(
    ("failure", "status", "says"),
    [
        (NotFound("no such"), 502, "was not found: no such"),
        (SandboxGone("it was killed"), 502, "was not found: it was killed"),
        (Unavailable("the server is starting"), 503, "the server is starting"),
        (Conflict("still being created"), 503, "still being created"),
    ],
)
async def test_where_there_is_no_sandbox(
    client: httpx.AsyncClient, sandboxes: Sandboxes, failure: Exception, status: int, says: str
) -> None:
    sandboxes.failure = failure
    answer = await client.get("/")
    assert answer.status_code == status
    assert says in answer.json()["message"]
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("failure", "status", "says"),
    [
        (NotFound("refused", errno=111), 502, "port is not open"),
        (Unavailable("no route", errno=101), 502, "port is not open"),
        (Unavailable("the connection to the agent was lost"), 503, "was lost"),
        (DeadlineExceeded("no answer in 30 s"), 504, "no answer in 30 s"),
        (LimitExceeded("more than 1024 calls"), 503, "more than 1024"),
    ],
)
async def test_where_there_is_no_connection(
    client: httpx.AsyncClient, sandboxes: Sandboxes, failure: Exception, status: int, says: str
) -> None:
    sandboxes.dial_failure = failure
    answer = await client.get("/")
    assert answer.status_code == status
    assert says in answer.json()["message"]


async def test_a_program_that_never_answers(
    client: httpx.AsyncClient, sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "ANSWER_S", 0.05)
    async with await program(sandboxes, silence):
        answer = await client.get("/")
    assert answer.status_code == 504
    assert "nothing came from the sandbox" in answer.json()["message"]


async def test_visitors_do_not_lock_the_owner_out(
    client: httpx.AsyncClient, sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress, "MAX_CONNECTIONS", 2)
    came = asyncio.Semaphore(0)

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.release()
        await silence(reader, writer)

    async with await program(sandboxes, wait):
        held = [asyncio.create_task(client.get("/")) for _ in range(2)]
        for _ in held:
            await came.acquire()
        answer = await client.get("/")
        assert answer.status_code == 503
        assert "2 connections" in answer.json()["message"]
        for task in held:
            task.cancel()
        await asyncio.wait(held)
    async with await program(sandboxes, hello):
        assert (await client.get("/")).text == "hello"


async def test_what_cannot_be_passed_on(client: httpx.AsyncClient, sandboxes: Sandboxes) -> None:
    async with await program(sandboxes, hello):
        answer = await client.get("/", headers={"transfer-encoding": "gzip, chunked"})
        assert answer.status_code == 400
        answer = await client.get("/", headers=[("host", f"1-{ID}.box.test"), ("host", "other")])
        assert answer.status_code == 400
