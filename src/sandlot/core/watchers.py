"""Watches that are asked for what has happened since, instead of being followed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from sandlot.errors import LimitExceeded, NotFound, Unavailable
from sandlot.node.agent import GuestAgent, Watch, WatchEvent

MAX_WATCHERS: Final = 32
"""Of one sandbox: half of the watches that its agent keeps, so that some are left to follow."""
MAX_EVENTS: Final = 10_000
"""Told at once; the rest is told to the next question."""
UNASKED_S: Final = 3600.0


class Watcher:
    """One of them. It does not keep its sandbox awake: where nothing runs nothing changes.

    ``with_info`` is its owner's: whether who asks also wants to know what has become of each path.
    """

    def __init__(self, path: str, watch: Watch, *, with_info: bool) -> None:
        self.path = path
        self.with_info = with_info
        self.asked_at = _now()
        self._watch = watch
        self._asking = asyncio.Lock()
        watch.let_sleep(True)

    async def news(self) -> list[WatchEvent]:
        """What has happened until now and was not told yet; after the end of the path itself, nothing.

        Raises Unavailable, DeadlineExceeded.
        """
        async with self._asking:
            self.asked_at = _now()
            self._watch.let_sleep(False)
            try:
                return await self._watch.so_far(MAX_EVENTS)
            finally:
                self._watch.let_sleep(True)

    def drop(self) -> None:
        self._watch.drop()


class Watchers:
    """Those of one sandbox. They end with it, with the server, and when nobody has asked for an hour."""

    def __init__(self, agent: Callable[[], GuestAgent]) -> None:
        self._agent = agent
        self._watchers: dict[str, Watcher] = {}
        self._opening = 0

    async def create(self, path: str, *, recursive: bool = False, with_info: bool = False) -> str:
        """The id of a new one, from which on nothing is missed.

        Raises NotFound, PermissionDenied, LimitExceeded, Unavailable.
        """
        self._forget_unasked()
        if len(self._watchers) + self._opening >= MAX_WATCHERS:
            raise LimitExceeded(
                f"a sandbox has at most {MAX_WATCHERS} watchers that wait to be asked; remove one"
            )
        self._opening += 1
        try:
            watch = await self._agent().watching(path, recursive=recursive)
        finally:
            self._opening -= 1
        id = "w" + secrets.token_hex(10)
        self._watchers[id] = Watcher(path, watch, with_info=with_info)
        return id

    async def news(self, id: str) -> tuple[Watcher, list[WatchEvent]]:
        """Raises NotFound, and Unavailable for one that has lost its sandbox, which is its end."""
        watcher = self._of(id)
        try:
            return watcher, await watcher.news()
        except Unavailable:
            self._drop(id)
            raise

    def remove(self, id: str) -> None:
        """Raises NotFound."""
        self._of(id)
        self._drop(id)

    def close(self) -> None:
        """End all. Idempotent."""
        for id in list(self._watchers):
            self._drop(id)

    def _of(self, id: str) -> Watcher:
        self._forget_unasked()
        if (watcher := self._watchers.get(id)) is None:
            raise NotFound(f"there is no watcher {id[:64]!r}: it was removed, or nobody asked it for long")
        return watcher

    def _drop(self, id: str) -> None:
        if (watcher := self._watchers.pop(id, None)) is not None:
            watcher.drop()

    def _forget_unasked(self) -> None:
        for id, watcher in list(self._watchers.items()):
            if _now() - watcher.asked_at > UNASKED_S:
                self._drop(id)


def _now() -> float:
    return asyncio.get_running_loop().time()
