"""A sandbox that has nothing to run stands still, and runs again for whoever comes. docs/idle.md is the rule.

One object per sandbox decides, and all of it happens on the event loop: writing to the kernel's freezer takes
about 0.3 ms (the freezing itself goes on in the kernel) and waits for nobody, so no call can fall between
a decision and its deed. What is sent while the guest thaws waits in its socket.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import structlog

from sandlot.errors import SandlotError, Unavailable
from sandlot.node.agent.activity import unnoticed

log = structlog.get_logger(__name__)

_ANSWER_S = 2.0
_LONGEST_PAUSE_S = 4.0
"""Between two questions to a guest that goes on having something to do."""
_STANDS_STILL_S = 5.0
_LOOK_AGAIN_S = 0.001
_LET_GO_EVERY = 20
_GONE = (errno.ENOENT, errno.ENODEV)


class Group(Protocol):
    """What is frozen. All raise OSError."""

    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def is_frozen(self) -> bool: ...


class Freezer:
    """Told of every call (it is the ``Activity`` of the agent's connection), it asks ``idle`` once none has
    been under way for ``after_s`` seconds, and freezes on yes if no call came meanwhile. On no it asks again,
    less and less often. ``after_s`` 0 is never.
    """

    def __init__(self, group: Group, idle: Callable[[], Awaitable[bool]], after_s: float) -> None:
        self._group = group
        self._idle = idle
        self._after_s = after_s
        self._loop = asyncio.get_running_loop()
        self._calls = 0  # under way
        self._begun = 0  # ever, of those that are noticed
        self._next = self._loop.time() + after_s
        self._pause_s = after_s
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        self._closed = False
        self._pinned = False
        self.idle_since: float | None = None
        """The loop's time when it last was found to have nothing to run; None while it runs or is pinned."""
        self.thaws = 0
        """How often a call found it frozen."""
        self._arm()

    @property
    def frozen(self) -> bool:
        return not self._awake.is_set()

    async def pin(self) -> None:
        """Freeze it whatever it does, until ``unpin``: no call wakes it. Returns when all of it stands still.

        Idempotent. Raises Unavailable where it cannot be frozen; then it runs on.
        """
        self._pinned = True
        self.idle_since = None
        self._awake.clear()
        try:
            async with asyncio.timeout(_STANDS_STILL_S):
                await self._stand_still()
        except (OSError, TimeoutError) as error:
            self.unpin()
            reason = str(error) or f"something in it still runs after {_STANDS_STILL_S:g} s"
            raise Unavailable(f"the sandbox cannot be frozen: {reason}") from error
        except asyncio.CancelledError:
            self.unpin()
            raise

    async def _stand_still(self) -> None:
        """On v1 what forks all the time may slip through: then everything is let go, and caught again."""
        for attempt in itertools.count(1):
            self._group.freeze()
            if self._group.is_frozen():
                return
            await asyncio.sleep(_LOOK_AGAIN_S)
            if attempt % _LET_GO_EVERY == 0:
                self._group.thaw()

    def unpin(self) -> None:
        """It runs again, and calls are heeded. Idempotent."""
        if self._pinned:
            self._pinned = False
            self._thaw()

    async def awake(self) -> None:
        """Wait while it is frozen."""
        await self._awake.wait()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """It runs inside, whether a call is under way or not."""
        self.begin(noticed=True)
        try:
            yield
        finally:
            self.end(noticed=True)

    def begin(self, *, noticed: bool) -> None:
        self._calls += 1
        self._begun += noticed
        self.stir()

    def end(self, *, noticed: bool) -> None:
        self._calls -= 1
        if noticed:
            self._rest()
        self._arm()

    def stir(self) -> None:
        if self._awake.is_set() or self._pinned or self._closed:
            return
        self.thaws += 1
        self._thaw()

    def _thaw(self) -> None:
        self.idle_since = None
        self._awake.set()
        try:
            self._group.thaw()
        except OSError as error:
            if error.errno not in _GONE:
                log.error("a sandbox does not thaw", reason=str(error))
        self._rest()
        self._arm()

    async def close(self) -> None:
        """Decide nothing any more: what is frozen stays so. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _rest(self) -> None:
        """Somebody was here: the time counts from now."""
        self._next = self._loop.time() + self._after_s
        self._pause_s = self._after_s

    def _arm(self) -> None:
        if self._closed or self._calls or self.frozen or not self._after_s:
            return
        if self._timer is not None:
            if self._timer.when() <= self._next:
                return  # it looks again by itself where it is too early
            self._timer.cancel()
        self._timer = self._loop.call_at(self._next, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._calls or self._asking is not None:
            return  # their end arms the timer again
        if self._loop.time() < self._next:
            self._arm()
            return
        self._asking = self._loop.create_task(self._decide(self._begun), name="ask whether a sandbox is idle")
        self._asking.add_done_callback(self._asked)

    async def _decide(self, begun: int) -> None:
        try:
            with unnoticed():
                async with asyncio.timeout(_ANSWER_S):
                    idle = await self._idle()
        except (SandlotError, TimeoutError):
            idle = False
        if begun != self._begun or self._pinned:
            return  # the answer is of before that
        if idle and not self._calls:
            self._freeze()
        self._next = self._loop.time() + self._pause_s
        self._pause_s = min(self._pause_s * 2, max(self._after_s, _LONGEST_PAUSE_S))

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("asking whether a sandbox is idle failed", exc_info=error)
            return
        self._arm()

    def _freeze(self) -> None:
        try:
            self._group.freeze()
        except OSError as error:
            with suppress(OSError):
                self._group.thaw()
            if error.errno not in _GONE:
                log.warning("a sandbox cannot be frozen, and stays awake", reason=str(error))
            self._after_s = 0
        else:
            self.idle_since = self._loop.time()
            self._awake.clear()
