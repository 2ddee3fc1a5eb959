"""The application as a whole: its life, its page, and the way through all of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandlot.errors import Unavailable
from sandlot.server.app import create_app
from sandlot.server.backend import Backend, Phase
from sandlot.server.settings import Settings
from sandlot.store import Database, KeyStore, sqlite_url
from tests.unit.doors.fake_engine import ID, FakeEngine

Prepare = Callable[[KeyStore], Awaitable[None]]


class Running:
    def __init__(self, folder: Path) -> None:
        self.engine = FakeEngine()
        self.keys: dict[str, str] = {}
        self.failures = 0
        database = Database(sqlite_url(folder / "db"))
        engine: Any = self.engine
        self.backend = Backend(engine, database, prepare=self._prepare, on_failure=self._failed)
        self.app = create_app(Settings(data_dir=folder), self.backend)

    async def _prepare(self, keys: KeyStore) -> None:
        _, self.keys["X-API-Key"] = await keys.create("test")

    def _failed(self) -> None:
        self.failures += 1


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


@asynccontextmanager
async def client_of(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(running.app)
    async with (
        running.app.router.lifespan_context(running.app),
        httpx.AsyncClient(transport=transport, base_url="http://sandlot") as client,
    ):
        yield client


async def test_it_starts_is_ready_and_stops(running: Running) -> None:
    async with client_of(running) as client:
        await running.backend.settled()
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        found = await client.get(f"/v1/sandboxes/{ID}", headers=running.keys)
        assert found.json()["id"] == ID
        assert (await client.get(f"/v1/sandboxes/{ID}")).status_code == 401
    assert running.engine.stopped
    assert running.backend.phase is Phase.STOPPING


async def test_while_it_adopts_it_answers_that_it_is_not_ready(running: Running) -> None:
    running.engine.may_start.clear()
    async with client_of(running) as client:
        await running.engine.started.wait()
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "starting")
        refused = await client.get(f"/v1/sandboxes/{ID}", headers=running.keys)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "unavailable"
        running.engine.may_start.set()
        await running.backend.settled()
        assert (await client.get("/readyz")).status_code == 200


async def test_it_can_be_stopped_while_it_starts(running: Running) -> None:
    running.engine.may_start.clear()
    async with client_of(running):
        await running.engine.started.wait()
    assert running.engine.stopped


@pytest.mark.parametrize(
    ("failure", "says"),
    [(Unavailable("no runsc on this host"), "no runsc"), (ZeroDivisionError("x"), "Zero")],
)
async def test_a_start_that_fails_says_why_and_asks_to_be_ended(
    running: Running, failure: Exception, says: str
) -> None:
    running.engine.start_failure = failure
    async with client_of(running) as client:
        await running.backend.settled()
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "failed")
        assert says in ready.json()["reason"]
    assert running.failures == 1


async def test_while_it_stops_nothing_new_is_let_in(running: Running) -> None:
    async with client_of(running) as client:
        await running.backend.settled()
        running.backend.begin_stop()
        assert running.engine.stopping, "who waits for room must be told before they are waited for"
        assert (await client.get("/readyz")).json()["status"] == "stopping"
        refused = await client.get(f"/v1/sandboxes/{ID}", headers=running.keys)
        assert refused.status_code == 503


async def test_the_apis_page_needs_nothing_from_elsewhere(running: Running) -> None:
    async with client_of(running) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(linked) >= 2
        assert "//" not in "".join(linked)
        for address in [*linked, "/openapi.json"]:
            assert (await client.get(address)).status_code == 200
        assert "://" not in page.text.replace("http://www.w3.org", "")


async def test_every_answer_has_a_request_id(running: Running) -> None:
    async with client_of(running) as client:
        for path in ("/healthz", "/nowhere", "/v1/sandboxes"):
            assert re.fullmatch(r"req_[0-9a-f]{16}", (await client.get(path)).headers["x-request-id"])
