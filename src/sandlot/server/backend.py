"""What the doors open onto, and its life: it starts, is ready, stops. Nothing passes before or after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from secrets import token_bytes

import structlog

from sandlot.core.access import Access
from sandlot.core.engine import Engine
from sandlot.core.survey import Survey
from sandlot.core.tenancy import TenantEngine
from sandlot.core.tokens import AccessTokens
from sandlot.errors import SandlotError, Unavailable
from sandlot.images import Templates
from sandlot.node import HostReport, Node
from sandlot.node.memory import available_memory_mib
from sandlot.server.auth import Authenticator
from sandlot.server.secret import secret_of
from sandlot.server.settings import Settings
from sandlot.store import Database, KeyStore, SandboxStore, SnapshotStore, Tenant, sqlite_url

_log = structlog.get_logger(__name__)


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPING = "stopping"


def database_of(settings: Settings) -> Database:
    """The server's database; another process on this machine may open it beside the server."""
    return Database(sqlite_url(settings.data_dir / "sandlot.db"))


class Backend:
    """The engine with the store under it. ``prepare`` is called once the store is open.

    ``secret`` is what sandboxes' tokens follow from; without one they end with this object.
    """

    def __init__(
        self,
        engine: Engine,
        database: Database,
        *,
        secret: bytes | None = None,
        prepare: Callable[[KeyStore], Awaitable[None]] | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.keys = KeyStore(database)
        self.authenticate = Authenticator(self.keys)
        self.phase = Phase.STARTING
        self.reason = "the server is starting: it looks after the sandboxes that a former one left running"
        self.failure: str | None = None
        """Why it could not start, where it could not."""
        self.access = Access(engine, AccessTokens(secret or token_bytes(32)))
        self._engine = engine
        self._database = database
        self._prepare = prepare
        self._on_failure = on_failure
        self._starting: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        prepare: Callable[[KeyStore], Awaitable[None]] | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> Backend:
        """The real one."""
        database = database_of(settings)
        engine = Engine(
            store=SandboxStore(database),
            snapshots=SnapshotStore(database),
            node=Node(settings.node()),
            templates=Templates(settings.templates_folder),
            limits=settings.limits(),
            available_memory_mib=available_memory_mib,
            pools=settings.pool_settings(),
        )
        secret = secret_of(settings.data_dir)
        return cls(engine, database, secret=secret, prepare=prepare, on_failure=on_failure)

    def check_ready(self) -> None:
        """Raises Unavailable unless ready."""
        if self.phase is not Phase.READY:
            raise Unavailable(self.reason)

    def engine_of(self, tenant: Tenant) -> TenantEngine:
        """The engine as this tenant sees it. Raises Unavailable unless ready."""
        self.check_ready()
        return self._engine.of(tenant)

    async def survey(self) -> Survey | None:
        """What there is; None unless ready."""
        return await self._engine.survey() if self.phase is Phase.READY else None

    async def host(self) -> HostReport:
        """What the machine can do. Raises Unavailable unless ready."""
        self.check_ready()
        return await self._engine.host()

    def begin(self) -> None:
        """Start in the background, so that whoever asks meanwhile gets an answer."""
        self._starting = asyncio.create_task(self._start(), name="start the engine")

    async def settled(self) -> None:
        """Wait until it is ready, or never will be."""
        await self._settled.wait()

    def begin_stop(self) -> None:
        """Let nothing new in."""
        self.phase = Phase.STOPPING
        self.reason = "the server is stopping; sandboxes go on, and the next start finds them"
        self._engine.begin_stop()

    async def stop(self) -> None:
        self.begin_stop()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        await self._engine.stop()
        await self.authenticate.close()
        await self._database.close()

    async def _start(self) -> None:
        try:
            await self._database.open()
            if self._prepare is not None:
                await self._prepare(self.keys)
            await self._engine.start()
        except Exception as error:
            self._fail(error)
        else:
            if self.phase is Phase.STARTING:
                self.phase = Phase.READY
        finally:
            self._settled.set()

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, SandlotError)
        self.reason = f"the server could not start: {error if known else type(error).__name__}"
        self.failure = self.reason
        _log.error("start failed", reason=str(error), exc_info=None if known else error)
        if self.phase is Phase.STARTING:
            self.phase = Phase.FAILED
            self._on_failure()
