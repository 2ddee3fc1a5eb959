"""A certificate is replaced while the server runs, and a broken one replaces nothing."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from sandlot.server.tls import authority as module
from sandlot.server.tls.authority import Authority
from sandlot.server.tls.identity import Identity
from sandlot.server.tls.keeper import Keeper
from sandlot.server.tls.sources import Given, Own

from .conftest import DOMAIN, shown

NAME = f"api.{DOMAIN}"


@asynccontextmanager
async def listening(keeper: Keeper) -> AsyncIterator[int]:
    """A TLS server with the keeper at work beside it."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=keeper.context)
    keeping = asyncio.create_task(keeper.keep())
    try:
        async with server:
            yield server.sockets[0].getsockname()[1]
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


async def until_another(port: int, serial: int, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(30):
        while (await asyncio.to_thread(shown, port, NAME, context)).serial_number == serial:
            await asyncio.sleep(0.05)


async def test_its_own_is_renewed_under_way(
    folder: Path, trusting: Callable[[], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAF_LIFE", timedelta(days=20))
    keeper = Keeper(Own(folder, DOMAIN), look_every_s=0.05)
    monkeypatch.undo()
    before = keeper._identity
    async with listening(keeper) as port:
        await until_another(port, before._certificate().serial_number, trusting())


async def test_a_given_one_is_read_anew(
    folder: Path, trusting: Callable[[], ssl.SSLContext], tmp_path: Path
) -> None:
    authority = Authority.of(folder, DOMAIN)
    source = Given(tmp_path / "cert.pem", tmp_path / "key.pem", DOMAIN)
    first = put(source, authority.issue())
    keeper = Keeper(source, look_every_s=0.05)
    with structlog.testing.capture_logs() as logs:
        async with listening(keeper) as port:
            serial = first._certificate().serial_number
            assert (await asyncio.to_thread(shown, port, NAME, trusting())).serial_number == serial

            source.key.write_text("nonsense")
            async with asyncio.timeout(30):
                while not logs:
                    await asyncio.sleep(0.05)
            assert (await asyncio.to_thread(shown, port, NAME, trusting())).serial_number == serial

            put(source, authority.issue())
            await until_another(port, serial, trusting())
    complaints = [line for line in logs if line["log_level"] == "error"]
    assert complaints
    assert "the key is not a private key in PEM" in complaints[0]["reason"]


def put(source: Given, identity: Identity) -> Identity:
    for path, data in ((source.certificate, identity.chain), (source.key, identity.key)):
        aside = path.with_suffix(".new")
        aside.write_bytes(data)
        os.replace(aside, path)
    return identity
