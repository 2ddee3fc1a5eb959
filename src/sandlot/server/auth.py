"""Whose key is this? The store's answer is remembered for a second: so long a revoked key lives, and so
long a tenant's old quotas hold."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from sandlot.core.tasks import Tasks
from sandlot.errors import Unauthenticated, Unavailable
from sandlot.store import KeyStore, Tenant

REMEMBER_S: Final = 1.0
REMEMBER_MOST: Final = 4096
ASK_MOST: Final = 256
_KEY: Final = re.compile(r"sl_[0-9a-f]{40}")


class Authenticator:
    """Call it with the key that came with a request; it gives the tenant whose key that is.

    It raises Unauthenticated, saying what is wrong.
    """

    def __init__(self, keys: KeyStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Tenant]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Tenant | None]] = {}
        self._tasks = Tasks()

    async def __call__(self, key: str | None) -> Tenant:
        if key is None:
            raise Unauthenticated(
                "a key is needed: send it as 'X-API-Key: sl_…' or 'Authorization: Bearer sl_…';"
                " `sandlot keys create NAME` on the server's machine makes one"
            )
        if (known := self._known.get(key)) is not None and known[0] > self._clock():
            return known[1]
        if not _KEY.fullmatch(key):
            raise Unauthenticated(
                "this is not a key of this server; one is 'sl_' and 40 characters of 0-9 and a-f"
            )
        asked_at = self._clock()
        if (tenant := await self._ask(key)) is None:
            self._known.pop(key, None)
            raise Unauthenticated(
                "nobody holds this key, or it was revoked; `sandlot keys ls` shows those there are"
            )
        self._remember(key, asked_at + REMEMBER_S, tenant)
        return tenant

    async def close(self) -> None:
        await self._tasks.close()

    async def _ask(self, key: str) -> Tenant | None:
        """One question to the store for all who wait for the same answer."""
        if (asking := self._asking.get(key)) is None:
            if len(self._asking) >= ASK_MOST:
                raise Unavailable("too many keys are being looked up; try again in a moment")
            asking = self._tasks.spawn(self._keys.holder(key), name="verify a key")
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    def _remember(self, key: str, until: float, tenant: Tenant) -> None:
        self._known[key] = (until, tenant)
        self._known.move_to_end(key)
        if len(self._known) > REMEMBER_MOST:
            self._known.popitem(last=False)
