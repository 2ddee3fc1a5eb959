"""The application: doors, health, the API's page, and what surrounds every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.responses import Response
from starlette.routing import Route

from sandlot import __version__
from sandlot.core.tokens import Purpose
from sandlot.doors import e2b, native
from sandlot.doors.encoding import Json, to_json
from sandlot.doors.ingress import Ingress
from sandlot.doors.streaming import Streams
from sandlot.errors import PermissionDenied
from sandlot.server.backend import Backend, Phase
from sandlot.server.context import RequestContext
from sandlot.server.metrics.page import MetricsPage
from sandlot.server.settings import Settings
from sandlot.store import DEFAULT_TENANT

KIB = 1024


def create_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """The whole server but for its socket. Starts and stops ``backend``, by default the real one."""
    backend = backend or Backend.of(settings)
    streams = Streams()
    page = MetricsPage(settings, survey=backend.survey, streams=lambda: streams.open)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        backend.begin()
        page.start()
        try:
            yield
        finally:
            streams.stop()
            await backend.stop()
            await page.stop()

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
    app.state.metrics = page
    ingress = Ingress(
        domains=settings.domains,
        check_ready=backend.check_ready,
        access=backend.access,
        streams=streams,
        token_headers=("x-sandlot-token", "e2b-traffic-access-token"),
    )
    door = _e2b_door(settings, backend, streams, ingress)
    ingress.services |= (services := e2b.services(door))
    app.add_middleware(e2b.Addressing, door=door, services=services)
    app.add_middleware(ingress.before)  # before all doors: at a port's own address nothing is the server's
    # The last one added is the outermost.
    app.add_middleware(RequestContext, access_log=settings.access_log, requests=page.requests)
    native.install(app, _native_door(settings, backend, streams))
    app.get("/healthz", tags=["health"])(healthz)
    app.get("/readyz", tags=["health"], responses={503: {"description": "Not ready; the reason says why."}})(
        readyz
    )
    # No part of the API: for Prometheus, and for whoever runs the server.
    app.get("/metrics", include_in_schema=False)(metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    # Before the framework's own route, which would encode the whole again for everyone who asks, key or none.
    described = cache(lambda: to_json(app.openapi()))

    async def description(_: Request) -> Response:
        return Response(described(), media_type="application/json")

    app.router.routes.insert(0, Route("/openapi.json", description))
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


async def metrics(request: Request) -> Response:
    """Figures of all tenants, so for a key of the operator's own tenant only, unless ``metrics_public``."""
    page: MetricsPage = request.app.state.metrics
    if not page.public:
        tenant = await native.identify(request)
        if tenant.name != DEFAULT_TENANT:
            raise PermissionDenied(
                f"/metrics shows all tenants, and this key is of tenant {tenant.name!r}; it needs one of"
                f" tenant {DEFAULT_TENANT!r}"
            )
    return await page.answer(request.headers.get("accept", ""))


def _native_door(settings: Settings, backend: Backend, streams: Streams) -> native.Door:
    upload = settings.max_upload_mib
    ports = native.Ports(
        domain=settings.domains[0],
        scheme="http" if settings.domain is None else "https",
        token=partial(backend.access.token, purpose=Purpose.INGRESS),
    )
    return native.Door(
        ports=ports,
        check_ready=backend.check_ready,
        engine_of=backend.engine_of,
        authenticate=backend.authenticate,
        streams=streams,
        max_body_bytes=settings.max_body_kib * KIB,
        max_upload_bytes=None if upload is None else upload * KIB * KIB,
        body_idle_s=settings.body_idle_timeout_s,
    )


def _e2b_door(settings: Settings, backend: Backend, streams: Streams, ingress: Ingress) -> e2b.Door:
    upload = settings.max_upload_mib
    return e2b.Door(
        check_ready=backend.check_ready,
        authenticate=backend.authenticate,
        engine_of=backend.engine_of,
        streams=streams,
        access=backend.access,
        domain=settings.domains[0],
        elsewhere=ingress.elsewhere,
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
