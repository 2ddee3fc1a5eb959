"""Run the server in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import ipaddress
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from sandlot import __version__
from sandlot.core.tasks import Tasks
from sandlot.doors.streaming import FAREWELL_S, Streams
from sandlot.errors import Conflict, InvalidArgument, PermissionDenied, SandlotError
from sandlot.server import logs
from sandlot.server.app import create_app
from sandlot.server.backend import Backend, Phase
from sandlot.server.credentials import credentials_path, introduce
from sandlot.server.lock import locked
from sandlot.server.protocol import guarded
from sandlot.server.settings import Settings

if TYPE_CHECKING:
    from sandlot.server.tls import Keeper

_log = structlog.get_logger(__name__)

KIB: Final = 1024
_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: its terminal was closed
BLOCKING_CALLS: Final = 32
"""At once, in threads: mounts, control groups, files. They wait for the kernel, not for a processor, so that
there are more than Python's own four and the processors."""
MAX_MESSAGE_BYTES: Final = 8 * 1024 * KIB
PING_S: Final = 20.0
HANDSHAKE_S: Final = 10.0
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))


def serve(settings: Settings) -> int:
    """Serve until a signal says stop. The exit status: 0 after a stop that was asked for, 1 after a failure.

    The first signal stops gracefully: nothing new is let in, streams are told why they end, sandboxes go on.
    The second, or ``stop_timeout_s``, ends the process at once; the next start finds everything all the same.
    """
    logs.configure(settings.log_level, settings.log_format)
    faulthandler.enable()  # a library that crashes leaves a word of where
    try:
        _check_root()
        _raise_open_files()
        with (
            locked(settings.data_dir),
            _bound(settings.host, settings.port, "--port") as listener,
            _secured(settings) as secured,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(_serve(settings, listener, secured))
    except SandlotError as error:
        print(f"sandlot: {error.message}", file=sys.stderr)
        return 1


async def _serve(settings: Settings, listener: socket.socket, secured: _Secured | None) -> int:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BLOCKING_CALLS, "blocking"))
    failed = asyncio.Event()
    say = partial(print, flush=True)
    backend = Backend.of(
        settings,
        prepare=lambda keys: introduce(keys, settings.url, credentials_path(), say),
        on_failure=failed.set,
    )
    app = create_app(settings, backend)
    server = _Server(settings, app, backend, secured)
    app.state.metrics.connections = lambda: len(server.server_state.connections)
    say(f"Sandlot {__version__} listens on {settings.url} (the API: {settings.url}/docs)")
    if secured is not None:
        say(f"  and on https://api.{settings.domains[0]}, as on every name in {settings.domain}")
    if not _is_loopback(settings.host):
        say(f"WARNING: other machines can reach port {settings.port} of {settings.host}, where keys and data")
        say("travel in the clear. Let a firewall keep them from it, or listen on 127.0.0.1.")
    tasks = Tasks()
    if secured is not None:
        tasks.spawn(secured.keeper.keep(), name="keep the certificate")
    tasks.spawn(_stop_on(failed, server), name="stop on failure")
    tasks.spawn(_say_when_ready(backend, say), name="say when ready")
    try:
        await server.serve(sockets=[listener])
    finally:
        await tasks.close()
    if backend.failure is not None:
        print(f"sandlot: {backend.failure}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class _Secured:
    """What HTTPS is served with."""

    listener: socket.socket
    keeper: Keeper


class _Server(uvicorn.Server):
    """uvicorn's server, stopped our way."""

    def __init__(self, settings: Settings, app: FastAPI, backend: Backend, secured: _Secured | None) -> None:
        super().__init__(_configured(settings, app))
        self._backend = backend
        self._secured = secured
        self._streams: Streams = app.state.streams
        self._stop_timeout_s = settings.stop_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._secured is not None:
            listening = await asyncio.get_running_loop().create_server(
                self._connection,
                sock=self._secured.listener,
                ssl=self._secured.keeper.context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=FAREWELL_S,
                backlog=self.config.backlog,
            )
            self.servers.append(listening)

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        watchdog = threading.Timer(self._stop_timeout_s, _give_up, (self._stop_timeout_s,))
        watchdog.daemon = True
        watchdog.start()
        self._backend.begin_stop()
        self._streams.stop()
        await self._streams.ended(FAREWELL_S)
        await super().shutdown(sockets)
        watchdog.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn would raise the signals anew when it is done; a stop that was asked for is a success.
        before = {number: signal.signal(number, self.handle_exit) for number in _STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True


def _configured(settings: Settings, app: FastAPI) -> uvicorn.Config:
    protocol = guarded(
        header_timeout_s=settings.header_timeout_s,
        send_idle_timeout_s=settings.send_idle_timeout_s,
        max_header_bytes=settings.max_header_kib * KIB,
        max_connections=min(settings.max_connections, _open_files() // 2),
    )
    return uvicorn.Config(
        app,
        http=protocol,
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        # Terminals send small pieces often: compressing them costs more time than it saves.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=max(1, round(settings.stop_timeout_s / 2)),
    )


def _check_root() -> None:
    if os.geteuid() != 0:
        raise PermissionDenied("the server must run as root: it makes namespaces, mounts and cgroups")


def _raise_open_files() -> None:
    """A shell's soft limit is often 1024, of which connections alone could take more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


@contextmanager
def _secured(settings: Settings) -> Iterator[_Secured | None]:
    """None without a domain. Raises as ``_bound`` does."""
    keeper = None
    if settings.mentions_tls:
        from sandlot.server.tls import keeper_of  # it takes 9 MB, of those who need it

        keeper = keeper_of(settings)
    if keeper is None:
        yield None
        return
    with _bound(settings.host, settings.tls_port, "--tls-port") as listener:
        yield _Secured(listener, keeper)


@contextmanager
def _bound(host: str, port: int, flag: str) -> Iterator[socket.socket]:
    """A socket that listens once uvicorn takes it. Raises Conflict, InvalidArgument, PermissionDenied."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise InvalidArgument(f"host: {host!r} is no address of this machine: {error.strerror}") from None
    with socket.socket(family, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these; a client that fell off the network is noticed within two minutes.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        try:
            listener.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Conflict(
                    f"port {port} on {host} is in use by another program; choose another with {flag}"
                ) from None
            raise InvalidArgument(f"cannot listen on {host} port {port}: {error.strerror}") from None
        yield listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _say_when_ready(backend: Backend, say: Callable[[str], None]) -> None:
    await backend.settled()
    if backend.phase is not Phase.READY:
        return
    for tier in (await backend.host()).tiers:
        if tier.available:
            say(f"  {tier.tier}: {tier.runtime} {tier.version or ''}".rstrip())
        else:
            say(f"  {tier.tier}: not on this host; `sandlot doctor` says what it lacks")
    say("Ready. Stop with Ctrl-C; sandboxes go on.")


async def _stop_on(failed: asyncio.Event, server: uvicorn.Server) -> None:
    await failed.wait()
    server.should_exit = True


def _give_up(after_s: float) -> None:
    print(
        f"sandlot: not stopped after {after_s:g} s, ending now; sandboxes go on", file=sys.stderr, flush=True
    )
    os._exit(1)
