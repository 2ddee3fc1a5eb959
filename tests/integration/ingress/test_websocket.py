"""A WebSocket to a port, with a real client of the field's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from sandlot import Sandbox
from sandlot.server.local import LocalServer

from .conftest import Reach


@asynccontextmanager
async def opened(
    server: LocalServer, sandbox: Sandbox, path: str = "/ws", port: int = 3000, **options: Any
) -> AsyncIterator[ClientConnection]:
    address = f"ws://{port}-{sandbox.id}.localhost:{server.port}{path}"
    options = {"host": "127.0.0.1", "port": server.port, "max_size": None, "proxy": None, **options}
    async with connect(address, **options) as socket:
        yield socket


async def test_the_handshake(sandbox: Sandbox, server: LocalServer) -> None:
    options = {
        "subprotocols": ["first", "last"],
        "origin": "http://there.test",
        "additional_headers": {"cookie": "c=1"},
    }
    async with opened(server, sandbox, **options) as socket:
        assert socket.subprotocol == "last"
        assert socket.response is not None
        assert socket.response.headers["set-cookie"] == "w=1"
        seen = json.loads(await socket.recv())
        assert seen["host"] == f"3000-{sandbox.id}.localhost:{server.port}"
        assert (seen["origin"], seen["cookie"]) == ("http://there.test", "c=1")
        assert seen["x-forwarded-proto"] == "http"


async def test_messages_of_both_kinds_and_of_size(sandbox: Sandbox, server: LocalServer) -> None:
    async with opened(server, sandbox) as socket:
        await socket.recv()
        for message in ("hello", "ünïcode 🎈", b"\x00\xff", "", b"x" * 70_000, b"y" * 4_000_000):
            await socket.send(message)
            assert await socket.recv() == message


async def test_fragments_and_pings_of_the_program(sandbox: Sandbox, server: LocalServer) -> None:
    async with opened(server, sandbox) as socket:
        await socket.recv()
        await socket.send("fragments")
        assert await socket.recv() == b"one two"
        await (await socket.ping())


async def test_how_the_program_ends_it(sandbox: Sandbox, server: LocalServer) -> None:
    closed = await ended_by(server, sandbox, "close")
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (4321, "so long")


async def test_a_program_that_just_goes(sandbox: Sandbox, server: LocalServer) -> None:
    assert (await ended_by(server, sandbox, "cut")).rcvd is None


@pytest.mark.parametrize(("wish", "code"), [("nonsense", 1011), ("not text", 1011), ("too big", 1009)])
async def test_a_program_that_breaks_the_rules(
    sandbox: Sandbox, server: LocalServer, wish: str, code: int
) -> None:
    closed = await ended_by(server, sandbox, wish)
    assert closed.rcvd is not None
    assert closed.rcvd.code == code


async def test_how_the_client_ends_it(sandbox: Sandbox, server: LocalServer, reach: Reach) -> None:
    async with opened(server, sandbox) as socket:
        await socket.recv()
        await socket.close(3456, "bye")
    async with opened(server, sandbox) as socket:
        await socket.recv()
    assert reach(sandbox.id).get("/said").json()[-2:] == [3456, 1000]


async def test_a_message_larger_than_the_server_takes(sandbox: Sandbox, server: LocalServer) -> None:
    async with opened(server, sandbox) as socket:
        await socket.recv()
        with pytest.raises(ConnectionClosedError) as caught:
            await answer_to(socket, bytes(9 * 1024 * 1024))
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


async def test_a_refusal_is_the_programs_own(sandbox: Sandbox, server: LocalServer) -> None:
    refused = await refusal(server, sandbox, path="/refused")
    assert refused.status_code == 403
    assert refused.headers["x-why"] == "because"
    assert refused.body == b"no sockets here"


async def test_a_port_without_websockets(sandbox: Sandbox, server: LocalServer) -> None:
    assert (await refusal(server, sandbox, path="/")).status_code == 200


async def test_a_closed_port(sandbox: Sandbox, server: LocalServer) -> None:
    refused = await refusal(server, sandbox, port=3999)
    assert refused.status_code == 502
    assert "port is not open" in json.loads(refused.body)["message"]


@pytest.mark.parametrize("port", [4001, 4002, 4003, 4004, 4008, 4010])
async def test_an_answer_that_is_none(sandbox: Sandbox, server: LocalServer, port: int) -> None:
    assert (await refusal(server, sandbox, port=port)).status_code == 502


async def answer_to(socket: ClientConnection, message: bytes) -> Any:
    await socket.send(message)
    return await socket.recv()


async def refusal(server: LocalServer, sandbox: Sandbox, **options: Any) -> Any:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(server, sandbox, **options):
            pass
    return caught.value.response


async def ended_by(server: LocalServer, sandbox: Sandbox, wish: str) -> ConnectionClosed:
    async with opened(server, sandbox) as socket:
        await socket.recv()
        await socket.send(wish)
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        return caught.value
