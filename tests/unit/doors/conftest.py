from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from sandlot.doors import native
from sandlot.doors.streaming import Streams
from sandlot.errors import Unauthenticated
from sandlot.server.context import RequestContext
from sandlot.store import Tenant

from .fake_engine import FakeEngine
from .wire import KEY


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def streams() -> Streams:
    return Streams()


async def authenticate(key: str | None) -> Tenant:
    if key != KEY:
        raise Unauthenticated("this key is not known")
    return Tenant("default")


@pytest.fixture
def app(engine: FakeEngine, streams: Streams) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    app.add_middleware(RequestContext)
    door = native.Door(
        check_ready=lambda: None,
        engine_of=lambda _: engine,  # type: ignore[arg-type, return-value]
        authenticate=authenticate,
        streams=streams,
        ports=native.Ports("box.test", "https", lambda sandbox_id: f"token of {sandbox_id}"),
        max_body_bytes=10_000,
        max_upload_bytes=100_000,
    )
    native.install(app, door)
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://sandlot", headers={"X-API-Key": KEY}
    ) as client:
        yield client
