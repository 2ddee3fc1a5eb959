"""One at a time for each sandbox, of those who change it as a whole."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, id: str) -> AsyncIterator[None]:
        """Wait for the others' end."""
        self._users[id] += 1
        try:
            async with self._locks.setdefault(id, asyncio.Lock()):
                yield
        finally:
            self._users[id] -= 1
            if not self._users[id]:
                del self._users[id], self._locks[id]
