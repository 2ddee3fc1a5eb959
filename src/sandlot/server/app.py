"""The application: doors, health, the API's page, and what surrounds every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline

from sandlot import __version__
from sandlot.doors import native
from sandlot.doors.encoding import Json
from sandlot.doors.streaming import Streams
from sandlot.server.backend import Backend, Phase
from sandlot.server.context import RequestContext
from sandlot.server.settings import Settings

KIB = 1024


def create_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """The whole server but for its socket. Starts and stops ``backend``, by default the real one."""
    backend = backend or Backend.of(settings)
    streams = Streams()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        backend.begin()
        try:
            yield
        finally:
            streams.stop()
            await backend.stop()

    # The API's page must work on a closed network: its scripts come from a package, not from a CDN.
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/assets",
        title="Sandlot",
        version=__version__,
        description=native.INTRODUCTION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.backend = backend
    app.state.streams = streams
    app.add_middleware(RequestContext, access_log=settings.access_log)
    native.install(app, _native_door(settings, backend, streams))
    app.get("/healthz", tags=["health"])(healthz)
    app.get("/readyz", tags=["health"], responses={503: {"description": "Not ready; the reason says why."}})(
        readyz
    )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


async def healthz() -> dict[str, str]:
    """The process is alive. Needs no key."""
    return {"status": "ok"}


async def readyz(request: Request) -> Json:
    """Whether requests will be served. Needs no key."""
    backend: Backend = request.app.state.backend
    if backend.phase is Phase.READY:
        return Json({"status": "ready"})
    return Json({"status": backend.phase, "reason": backend.reason}, 503, {"retry-after": "1"})


def _native_door(settings: Settings, backend: Backend, streams: Streams) -> native.Door:
    upload = settings.max_upload_mib
    return native.Door(
        engine=backend.engine,
        authenticate=backend.authenticate,
        streams=streams,
        max_body_bytes=settings.max_body_kib * KIB,
        max_upload_bytes=None if upload is None else upload * KIB * KIB,
        body_idle_s=settings.body_idle_timeout_s,
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        native.describe(schema)
        app.openapi_schema = schema
    return app.openapi_schema
