"""Keeps a listener's certificate good for as long as the server runs."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

import structlog

from sandlot.errors import SandlotError
from sandlot.server.tls.identity import Identity
from sandlot.server.tls.sources import Source

_log = structlog.get_logger(__name__)
LOOK_S: Final = 10.0


class Keeper:
    """``context`` is the listener's for ever; which certificate it shows, is decided at each handshake."""

    def __init__(self, source: Source, *, look_every_s: float = LOOK_S) -> None:
        """Raises InvalidArgument, OSError where the source has nothing that can be used."""
        self._source = source
        self._look_every_s = look_every_s
        self._identity = source.latest()
        self._current = self._identity.context()
        self._complaint = ""
        self.context = self._identity.context()
        self.context.sni_callback = self._choose

    @property
    def domain(self) -> str:
        return self._source.domain

    async def keep(self) -> None:
        """Renew, and take what has been renewed, until cancelled."""
        while True:
            await self._source.tend()
            try:
                await self._take(await asyncio.to_thread(self._source.latest))
                self._complaint = ""
            except (SandlotError, OSError) as error:
                self._complain(str(error))
            await asyncio.sleep(self._look_every_s)

    async def _take(self, identity: Identity) -> None:
        if identity != self._identity:
            self._current = await asyncio.to_thread(identity.context)
            self._identity = identity
            _log.info("the certificate was replaced", domain=self.domain)

    def _complain(self, message: str) -> None:
        """Once, as long as it is the same."""
        if message != self._complaint:
            self._complaint = message
            _log.error("the certificate stays the one there was", domain=self.domain, reason=message)

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current
