"""`/metrics`: what this server knows of itself, for Prometheus. docs/metrics.md says what it means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import Metric, ProcessCollector
from starlette.responses import Response

from sandlot import __version__
from sandlot.core.survey import Survey, nothing
from sandlot.server.metrics import sources
from sandlot.server.metrics.families import Families, write_out
from sandlot.server.metrics.host import look_at_host
from sandlot.server.metrics.lag import LoopLag
from sandlot.server.metrics.requests import Requests
from sandlot.server.settings import Settings
from sandlot.server.templates import built


class MetricsPage:
    """Of one application. Whatever blocks happens in a thread of its own: watching takes nobody's place."""

    def __init__(
        self,
        settings: Settings,
        *,
        survey: Callable[[], Awaitable[Survey | None]],
        streams: Callable[[], int],
    ) -> None:
        """``survey`` gives None while the server is not ready."""
        self.requests = Requests()
        self.public = settings.metrics_public
        self.connections: Callable[[], int | None] = lambda: None
        """How many are open; whoever serves the application sets it."""
        self._lag = LoopLag()
        self._settings = settings
        self._survey = survey
        self._streams = streams
        self._process = ProcessCollector(registry=None)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sandlot-metrics")
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watching = asyncio.create_task(self._lag.watch(), name="watch the event loop")

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def answer(self, accept: str) -> Response:
        """In whichever of Prometheus's formats ``accept`` asks for."""
        found = await self._survey()
        survey = found or nothing()
        families = [
            *sources.of_requests(self.requests, self.requests.in_progress()),
            *sources.of_sandboxes(survey),
            *sources.of_tenants(survey),
            *sources.of_use(survey),
            *sources.of_node(survey),
            *sources.of_pools(survey),
        ]
        ready, connections, streams = found is not None, self.connections(), self._streams()

        def write() -> tuple[bytes, str]:
            rest = self._looked_up(ready, connections, streams)
            return write_out(Families([*families, *rest]), accept)

        body, media_type = await asyncio.get_running_loop().run_in_executor(self._thread, write)
        return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})

    def _looked_up(self, ready: bool, connections: int | None, streams: int) -> Iterator[Metric]:
        yield from sources.of_process()
        yield from sources.of_server(
            version=__version__,
            ready=ready,
            connections=connections,
            streams=streams,
            templates=len(built(self._settings)),
            lag=self._lag.seconds,
        )
        yield from sources.of_host(look_at_host(self._settings.data_dir))
        yield from self._process.collect()
