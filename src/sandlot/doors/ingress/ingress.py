"""Requests for ports of sandboxes, told from the server's own by their host name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from sandlot.core.access import Access
from sandlot.doors.ingress.headers import first
from sandlot.doors.ingress.hosts import Address, parse_host
from sandlot.doors.ingress.proxy import proxy
from sandlot.doors.ingress.refusals import Broken, refusal
from sandlot.doors.ingress.tokens import Shown
from sandlot.doors.streaming import Streams
from sandlot.errors import LimitExceeded, SandlotError

MAX_CONNECTIONS: Final = 512
"""To one sandbox at once, half of the calls that its agent takes: visitors must not lock its owner out."""


class Ingress:
    """What stands before the application. A sandbox's ports are for whoever knows its unguessable name,
    unless it was made otherwise; who may, ``access`` says.

    ``services`` are a door's own, by port number: what an agent of its protocol would answer inside. Each is
    an ASGI application that finds the ``Address`` at ``scope["state"]["ingress"]``, and asks who may itself.
    """

    def __init__(
        self,
        *,
        domains: Sequence[str],
        check_ready: Callable[[], None],
        access: Access,
        streams: Streams,
        token_headers: Sequence[str],
    ) -> None:
        """``domains``: those served. ``check_ready`` raises Unavailable while the server starts or stops."""
        self.services: dict[int, ASGIApp] = {}
        self.token_headers = list(token_headers)
        self._domains = list(domains)
        self._check_ready = check_ready
        self._access = access
        self._streams = streams
        self._open: Counter[str] = Counter()

    def before(self, app: ASGIApp) -> ASGIApp:
        """``app`` for all other requests."""

        async def ingress(scope: Scope, receive: Receive, send: Send) -> None:
            address = self._address(scope) if scope["type"] in ("http", "websocket") else None
            if address is None:
                await app(scope, receive, send)
            else:
                await self.serve(address, scope, receive, send)

        return ingress

    async def elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For a door that has found another way to the ``Address``, and left it in the scope's state."""
        await self.serve(scope["state"]["ingress"], scope, receive, send)

    async def serve(self, address: Address, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for ``address``, however it was named."""
        scope.setdefault("state", {})["ingress"] = address
        structlog.contextvars.bind_contextvars(sandbox=address.sandbox_id, port=address.port)
        if (service := self.services.get(address.port)) is not None:
            await service(scope, receive, send)
            return
        scope["endpoint"] = proxy
        try:
            await self._pass_on(address, scope, receive, send)
        except SandlotError as error:
            await refusal(await self._explained(address, error), address)(scope, receive, send)

    async def _pass_on(self, address: Address, scope: Scope, receive: Receive, send: Send) -> None:
        shown = Shown(scope, self.token_headers)
        self._check_ready()
        live = await self._access.ingress(address.sandbox_id, shown.token)
        if live.sandbox.ingress == "token" and (on_key := scope["state"].get("on_key")) is not None:
            on_key()
        if (answer := shown.keeps()) is not None:
            await answer(scope, receive, send)
            return
        with self._counted(live.id):
            await proxy(live, address.port, shown.scope, receive, send, streams=self._streams)

    @contextmanager
    def _counted(self, sandbox_id: str) -> Iterator[None]:
        """Raises LimitExceeded."""
        if self._open[sandbox_id] >= MAX_CONNECTIONS:
            raise LimitExceeded(f"there are {MAX_CONNECTIONS} connections to ports of this sandbox already")
        self._open[sandbox_id] += 1
        try:
            yield
        finally:
            self._open[sandbox_id] -= 1
            if not self._open[sandbox_id]:
                del self._open[sandbox_id]

    async def _explained(self, address: Address, error: SandlotError) -> SandlotError:
        if not isinstance(error, Broken):
            return error
        return await self._access.explain(address.sandbox_id, error)

    def _address(self, scope: Scope) -> Address | None:
        host = (first(scope["headers"], b"host") or b"").decode("latin-1")
        found = (parse_host(host, domain) for domain in self._domains)
        return next((address for address in found if address is not None), None)
