"""All hot pools of one server: who takes from them, and who fills and empties them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from sandlot.core.admission import Admission
from sandlot.core.hooks import HookRunner
from sandlot.core.limits import Limits
from sandlot.core.model import CreateSandbox
from sandlot.core.pools.hot import Hot
from sandlot.core.pools.maker import Maker, expected_mib, fits
from sandlot.core.pools.memory import HotMemory
from sandlot.core.pools.model import PoolSettings, PoolStatus
from sandlot.core.pools.pool import Pool
from sandlot.core.pools.sizing import to_drop, to_make
from sandlot.core.tasks import Tasks
from sandlot.errors import NotFound, SandlotError
from sandlot.images import Template, Templates
from sandlot.log_context import about
from sandlot.node import Node

_log = structlog.get_logger(__name__)

MAKERS: Final = 1 if (os.cpu_count() or 1) < 4 else 2
"""Hot ones being made at once, for all pools together: who waits for a sandbox needs the processors more."""
QUIET_S: Final = 0.1
"""So long after a creation its user's first command has the machine to itself."""
PATIENCE_S: Final = 10.0
"""Where it is never quiet, a pool that is half empty waits half as long, and an empty one waits no more."""
LOOK_EVERY_S: Final = 5.0


class Pools:
    """A pool for each template that is used, or that the settings name.

    Taking is for the event loop and waits for nobody. One task looks after all pools: it runs when something
    has changed, and every few seconds for what changes without a word.
    """

    def __init__(
        self,
        *,
        node: Node,
        templates: Templates,
        limits: Limits,
        settings: PoolSettings,
        admission: Admission,
        memory: HotMemory,
        hooks: HookRunner,
    ) -> None:
        self._templates = templates
        self._limits = limits
        self._settings = settings
        self._admission = admission
        self._memory = memory
        self._maker = Maker(node, limits, hooks)
        self._pools: dict[str, Pool] = {}
        self._tasks = Tasks()
        self._ending: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._arrived_at = float("-inf")
        self._closed = True

    def start(self) -> None:
        """From now on there may be hot ones; those that a former server left are swept by then."""
        self._closed = False
        for name, bounds in self._settings.templates.items():
            self._pools[name] = Pool(name, bounds)
        self._tasks.spawn(self._keep(), name="keep hot pools")

    async def close(self) -> None:
        """End all that are nobody's."""
        self._closed = True
        await self._tasks.close()
        for pool in self._pools.values():
            self._drop(pool, len(pool.ready))
        await asyncio.gather(*self._ending, return_exceptions=True)

    def stir(self) -> None:
        """Something has changed that may call for more or for fewer."""
        self._news.set()

    def status(self) -> Sequence[PoolStatus]:
        """Of every template that was used or is named, by name."""
        now = asyncio.get_running_loop().time()
        return [pool.status(now) for _, pool in sorted(self._pools.items())]

    # ── taking ───────────────────────────────────────────────────────────────────────────────────────

    def asked(self, request: CreateSandbox, template: Template) -> Pool | None:
        """The pool that has what is asked for, or will have; None where nothing made ahead would do."""
        pool = self._pools.get(template.name)
        if pool is None:
            pool = self._pools[template.name] = Pool(template.name, self._settings.of(template.name))
        self._is_now(pool, template)
        self.stir()  # whatever is made takes of what hot ones hold
        if self._closed or pool.bounds.max == 0:
            return None
        if not fits(request, template, self._limits):
            pool.unfit += 1
            return None
        self._arrived_at = now = asyncio.get_running_loop().time()
        pool.demand.arrive(now, pool.make_s)
        return pool

    def take(self, pool: Pool) -> Hot | None:
        """One that stands ready, which is the caller's from now on: to be used, given back, or destroyed."""
        if not pool.ready:
            return None
        hot = pool.ready.popleft()
        self._memory.held_mib -= hot.memory_mib
        if hot.watch is not None:
            hot.watch.cancel()
        self.stir()
        return hot

    def give_back(self, pool: Pool, hot: Hot) -> None:
        """One that was taken and not used."""
        self._enter(pool, hot)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        looked_at = float("-inf")
        while True:
            self._news.clear()
            if loop.time() - looked_at >= LOOK_EVERY_S:
                try:
                    await self._look()
                except Exception as error:
                    _log.error("the pools could not be looked at", exc_info=error)
                looked_at = loop.time()
            pause_s = self._plan(loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._news.wait()

    async def _look(self) -> None:
        """At what changes without a word: which templates there are, and what hot ones hold."""
        for pool in list(self._pools.values()):
            if pool.ready or pool.bounds.min:
                try:
                    self._is_now(pool, await asyncio.to_thread(self._templates.resolve, pool.name))
                except NotFound:
                    self._is_now(pool, None)
        hots = [hot for pool in self._pools.values() for hot in pool.ready]
        if hots:
            await self._maker.measure(hots)
        ready = [hot for pool in self._pools.values() for hot in pool.ready]
        self._memory.held_mib = sum(hot.memory_mib for hot in ready) + self._memory.ending_mib

    def _is_now(self, pool: Pool, template: Template | None) -> None:
        """Hot ones of another version of the template are of no use any more."""
        if pool.template is None or template is None or pool.template.id != template.id:
            self._drop(pool, len(pool.ready))
        pool.template = template

    def _plan(self, now: float) -> float:
        """Begin to make and to end; how long nothing more has to be done if nothing happens."""
        self._make_room(now)
        pause_s = LOOK_EVERY_S
        for pool in self._pools.values():
            owes = pool.wanted(now) > len(pool.ready) + pool.making
            pool.owed_since = (pool.owed_since or now) if owes else None
            if not owes:
                continue
            if (wait_s := self._begins_at(pool, now) - now) > 0:
                pause_s = min(pause_s, wait_s)
            else:
                self._fill(pool, now)
        return pause_s

    def _make_room(self, now: float) -> None:
        overbooked = -self._places()
        memory = self._memory.to_spare(self._limits.host_reserve_memory_mib)
        missing_mib = 0 if memory is None else memory.missing()
        for pool in sorted(self._pools.values(), key=lambda pool: len(pool.ready), reverse=True):
            dropped = to_drop(pool.wanted(now), ready=len(pool.ready), overbooked=overbooked)
            while dropped < len(pool.ready) and missing_mib > 0:
                missing_mib -= pool.ready[-1 - dropped].memory_mib
                dropped += 1
            overbooked -= dropped
            self._drop(pool, dropped)

    def _begins_at(self, pool: Pool, now: float) -> float:
        there = len(pool.ready) / pool.wanted(now)
        patient_until = (pool.owed_since or now) + QUIET_S + PATIENCE_S * there
        quiet_at = patient_until if self._admission.starting else self._arrived_at + QUIET_S
        return max(pool.not_before, min(quiet_at, patient_until))

    def _fill(self, pool: Pool, now: float) -> None:
        memory = self._memory.to_spare(self._limits.host_reserve_memory_mib)
        pool.each_mib = expected_mib(list(pool.ready)) if pool.ready else pool.each_mib
        count = to_make(
            pool.wanted(now),
            ready=len(pool.ready),
            making=pool.making,
            makers=min(MAKERS - self._making(), self._admission.makers()),
            places=self._places(),
            memory=MAKERS if memory is None else memory.allows(pool.each_mib),
        )
        for _ in range(count):
            pool.making += 1
            self._tasks.spawn(self._make(pool), name=f"make a hot sandbox of {pool.name}")

    def _places(self) -> int:
        """How many more sandboxes the server may have; less than 0 where hot ones must go."""
        hot = sum(len(pool.ready) for pool in self._pools.values())
        return self._admission.places() - hot - self._making()

    def _making(self) -> int:
        return sum(pool.making for pool in self._pools.values())

    async def _make(self, pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        try:
            template = await asyncio.to_thread(self._templates.resolve, pool.name)
            self._is_now(pool, template)
            began = loop.time()
            hot = await self._maker.make(template)
            pool.made(loop.time() - began)
            self._enter(pool, hot)
        except Exception as error:
            pool.failed(loop.time())
            foreseen = isinstance(error, SandlotError)
            _log.warning(
                "no hot sandbox could be made",
                template=pool.name,
                reason=str(error),
                exc_info=None if foreseen else error,
            )
        finally:
            pool.making -= 1
            self.stir()

    def _enter(self, pool: Pool, hot: Hot) -> None:
        self._memory.held_mib += hot.memory_mib
        if self._closed or pool.template is None or pool.template.id != hot.template.id:
            self._end(hot)
            return
        pool.ready.append(hot)
        work = self._watch(pool, hot)
        hot.watch = self._tasks.spawn(work, name=f"watch hot {hot.id}", context=about(hot.id))
        self.stir()

    async def _watch(self, pool: Pool, hot: Hot) -> None:
        reason = await hot.live.node.wait_dead()
        if hot in pool.ready:
            pool.ready.remove(hot)
            hot.watch = None
            _log.warning("a hot sandbox died", template=pool.name, reason=reason)
            self._end(hot)
            self.stir()

    def _drop(self, pool: Pool, count: int) -> None:
        """The newest: the others have proved that they stand."""
        for _ in range(count):
            self._end(pool.ready.pop())

    def _end(self, hot: Hot) -> None:
        if hot.watch is not None:
            hot.watch.cancel()
        held_mib = hot.memory_mib
        self._memory.ending_mib += held_mib
        task = asyncio.create_task(self._maker.end(hot), name=f"end hot {hot.id}")
        self._ending.add(task)
        task.add_done_callback(lambda _: self._ended(task, hot, held_mib))

    def _ended(self, task: asyncio.Task[None], hot: Hot, held_mib: int) -> None:
        self._ending.discard(task)
        self._memory.ending_mib -= held_mib
        self._memory.held_mib -= held_mib
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a hot sandbox could not be ended", sandbox=hot.id, reason=str(error))
