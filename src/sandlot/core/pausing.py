"""Pausing and resuming: by request, by the timeout, by idleness; first frozen, later on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from sandlot.core.admission import Admission
from sandlot.core.drafting import amounts_of, spec_of
from sandlot.core.headcount import EXPIRED, KEPT
from sandlot.core.hooks import HookRunner, recover
from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.limits import Limits
from sandlot.core.live import LiveSandbox
from sandlot.core.metering import Meter
from sandlot.core.model import Sandbox
from sandlot.core.quotas import Amounts
from sandlot.core.refusal import ended_meanwhile, why_not
from sandlot.core.roster import Roster
from sandlot.core.tasks import Tasks
from sandlot.core.timers import Timers
from sandlot.core.turnstile import Turnstile
from sandlot.errors import Conflict, NotFound, SandboxGone, SandboxPaused, SandlotError, Unavailable
from sandlot.node import Node
from sandlot.store import Tenant
from sandlot.tally import Durations

_log = structlog.get_logger(__name__)

SECONDS = Durations("what", "depth")
"""Of pauses and resumptions, those that fail too, without the wait for their turn and for room."""

_TRY_AGAIN_S: Final = 60.0
"""After it could not be paused, or not be put on disk."""
_TRY_AGAIN_AT_LAST_S: Final = 3600.0
"""It may never be possible: a process may hold open what was deleted."""
_LOOK_FOR_ROOM_S: Final = 2.0
_TRY_FOR_ROOM_AGAIN_S: Final = 10.0


class StaysPaused(Unavailable):
    """It could not be resumed now, and is as it was."""


@dataclass(frozen=True, slots=True)
class Awake:
    """A sandbox that runs; ``woken`` by this call or one beside it, or running before."""

    live: LiveSandbox
    woken: bool


class Pausing:
    """Decides when a sandbox pauses, how deep, and when it comes back."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        node: Node,
        roster: Roster,
        admission: Admission,
        meter: Meter,
        tasks: Tasks,
        turnstile: Turnstile,
        hooks: HookRunner,
        limits: Limits,
        tenant: Callable[[str], Awaitable[Tenant]],
        kill: Callable[[str, str], Coroutine[Any, Any, object]],
    ) -> None:
        """``tenant`` is who has that name, with its quotas of now; ``kill`` ends a sandbox for a reason."""
        self._ledger = ledger
        self._node = node
        self._roster = roster
        self._admission = admission
        self._meter = meter
        self._turnstile = turnstile
        self._hooks = hooks
        self._limits = limits
        self._tenant = tenant
        self._deepen_later = Timers(tasks, "put on disk", self._deepen)
        self._kept = Timers(tasks, "end what was kept", lambda id: kill(id, KEPT))
        self._idle = Timers(tasks, "pause when idle", self._look_whether_idle)
        self.resting: dict[str, Sandbox] = {}
        """All that are paused, by id."""
        self._frozen: dict[str, None] = {}
        """The one that was paused first is the first."""
        self._adopted: set[str] = set()
        """Frozen ones that a former server has paused: their kernels are not known here yet."""
        self._tries: dict[str, int] = {}
        """How often it was tried in vain to put one on disk."""
        self._room_wanted = asyncio.Event()

    # ── by request ───────────────────────────────────────────────────────────────────────────────────

    async def pause(self, id: str, *, memory: bool) -> Sandbox:
        """Raises NotFound, SandboxGone, Conflict, Unavailable, NotEnoughSpace."""
        return await self._turnstile.run(id, "pause", lambda: self._pause(id, memory, "paused by request"))

    async def resume(self, id: str, timeout_s: float | None) -> Awake:
        """One that runs stays as it is. ``timeout_s`` None is the one that it had.

        Raises NotFound, SandboxGone, LimitExceeded, Unavailable, Conflict.
        """
        return await self._turnstile.run(
            id, "resume", lambda: self._resume(id, timeout_s, "resumed by request")
        )

    async def wake(self, id: str) -> LiveSandbox:
        """For a request that wants to talk to it; many at once wake it once. Raises as ``resume`` does."""
        awake = await self._turnstile.run(
            id, "wake", lambda: self._resume(id, None, "a request came for it"), together=True
        )
        return awake.live

    # ── by itself ────────────────────────────────────────────────────────────────────────────────────

    async def time_is_up(self, sandbox: Sandbox) -> None:
        """Pause instead of an end. Where that fails it runs on for a while, and it is tried again."""
        if not await self._pause_by_itself(sandbox, EXPIRED, lambda: True):
            self._roster.arm(sandbox.id, _TRY_AGAIN_S)

    def watch_idleness(self, live: LiveSandbox) -> None:
        """From now on it is paused once it has had nothing to run for so long, if it wants that."""
        self._idle.arm(live.id, live.sandbox.pause_idle_s)

    async def keep_room(self) -> None:
        """Put frozen ones on disk where their memory is needed, oldest first. Runs until it is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_FOR_ROOM_S):
                    await self._room_wanted.wait()
            self._room_wanted.clear()
            while self._frozen and self._admission.wants_room():
                if not await self._deepen(next(iter(self._frozen))):
                    await asyncio.sleep(_TRY_FOR_ROOM_AGAIN_S)

    def make_room(self) -> None:
        """Somebody waits for what frozen ones hold."""
        self._room_wanted.set()

    # ── what is known after a restart, and forgotten at the end ──────────────────────────────────────

    def found(self, sandbox: Sandbox, kept_s: float | None, *, paused_for_s: float) -> None:
        """A paused one that a former server left; it is kept for ``kept_s`` from now on."""
        stands = sandbox.id in self._roster
        self._admission.restore(sandbox.id, sandbox.tenant, Amounts(), stands=stands)
        self._rest(sandbox, stands=stands, kept_s=kept_s, paused_for_s=paused_for_s)
        if stands:
            self._adopted.add(sandbox.id)

    def forget(self, id: str) -> None:
        """It has ended, or ends."""
        self._wide_awake(id)
        self._idle.arm(id, None)

    def close(self) -> None:
        """Nothing pauses, deepens or ends by itself any more."""
        for timers in (self._deepen_later, self._kept, self._idle):
            timers.close()

    # ── pausing ──────────────────────────────────────────────────────────────────────────────────────

    async def _pause_by_itself(self, sandbox: Sandbox, reason: str, still: Callable[[], bool]) -> bool:
        """Unless it is not ``still`` so when its turn comes; False where it could not be paused."""
        memory = sandbox.pause_memory and sandbox.isolation.keeps_memory
        if sandbox.pause_memory and not memory:
            reason += f"; of tier {sandbox.isolation} its files alone can be kept"

        async def work() -> None:
            if still():
                await self._pause(sandbox.id, memory, reason)

        try:
            await self._turnstile.run(sandbox.id, "pause", work)
        except (NotFound, SandboxGone, SandboxPaused):
            return True
        except SandlotError as error:
            _log.warning("not paused", sandbox=sandbox.id, reason=error.message)
            return False
        return True

    async def _pause(self, id: str, memory: bool, reason: str) -> Sandbox:
        live = self._roster.get(id)
        if live is None or not live.awake:
            raise await self.unfit(id)
        if memory and not live.sandbox.isolation.keeps_memory:
            raise Conflict(
                f"sandbox {id} is of tier {live.sandbox.isolation}, which keeps no memory and no processes:"
                " pause it with memory=false; its files stay, and it starts anew when it is resumed"
            )
        with SECONDS.timed("pause", "frozen" if memory else "files"):
            return await (self._freeze(live, reason) if memory else self._put_away(live, reason))

    async def _freeze(self, live: LiveSandbox, reason: str) -> Sandbox:
        before = live.sandbox
        # Said before it is done: who is cut off by it, or comes now, must find out why.
        with live.being_paused():
            await self._node.pause(live.id)
            try:
                paused = await self._ledger.paused(before, "frozen", reason)
            except SandlotError:
                await self._node.resume(live.id, spec_of(before))
                raise
        if paused is None or self._roster.get(live.id) is not live:
            raise ended_meanwhile(live.id)
        live.sandbox = paused
        self._rest(paused, stands=True, kept_s=paused.keep_paused_s, paused_for_s=0)
        return paused

    async def _put_away(self, live: LiveSandbox, reason: str) -> Sandbox:
        """Its files alone, at once."""
        before = live.sandbox
        if not await self._ledger.pausing(live.id, "files", reason):
            raise ended_meanwhile(live.id)
        live.sandbox = replace(before, state=State.PAUSING)
        try:
            await self._suspend(live, memory=False)
        except SandlotError as error:
            await self._ledger.pause_failed(live.id, error.message)
            self._runs_on(live, before)
            raise
        paused = await self._ledger.paused(before, "files", reason)
        if paused is None:
            raise ended_meanwhile(live.id)
        self._rest(paused, stands=False, kept_s=paused.keep_paused_s, paused_for_s=0)
        return paused

    async def _suspend(self, live: LiveSandbox, *, memory: bool) -> None:
        """Nobody finds it any more; where this raises somebody must take it up again."""
        self._roster.lay_down(live.id)
        try:
            await self._meter.end(live.id)
            await self._node.suspend(live.id, memory=memory)
        except SandlotError:
            raise
        except BaseException:
            await live.close()
            raise
        await live.close()

    def _runs_on(self, live: LiveSandbox, before: Sandbox) -> None:
        live.sandbox = before
        self._roster.take(live, adopted=True)
        if before.deadline is not None:
            left_s = (before.deadline - datetime.now(UTC)).total_seconds()
            self._roster.arm(live.id, left_s if left_s > 0 else _TRY_AGAIN_S)

    def _rest(self, sandbox: Sandbox, *, stands: bool, kept_s: float | None, paused_for_s: float) -> None:
        """It is paused: what it holds from now on, and what becomes of it by itself."""
        id = sandbox.id
        self.resting[id] = sandbox
        self._roster.arm(id, None)
        self._idle.arm(id, None)
        self._kept.arm(id, kept_s)
        self._admission.rest(id, sandbox.tenant, held_by(sandbox, stands=stands), stands=stands)
        if stands:
            self._frozen[id] = None
            self._deepen_later.arm(id, self._limits.pause_to_disk_after_s - paused_for_s)

    async def _deepen(self, id: str) -> bool:
        """False where it cannot be put on disk now; it is tried again after a while."""
        self._deepen_later.arm(id, None)
        self._frozen.pop(id, None)
        try:
            await self._turnstile.run(id, "put on disk", lambda: self._put_on_disk(id))
        except (NotFound, SandboxGone):
            return True
        except SandlotError as error:
            _log.warning("not put on disk", sandbox=id, reason=error.message)
            await self._stays_frozen(id, error)
            return False
        return True

    async def _stays_frozen(self, id: str, error: SandlotError) -> None:
        if id not in self._roster:
            return
        tries = self._tries[id] = self._tries.get(id, 0) + 1
        self._frozen[id] = None
        self._deepen_later.arm(id, min(_TRY_AGAIN_S * 2 ** (tries - 1), _TRY_AGAIN_AT_LAST_S))
        if tries == 1:
            reason = f"it stays frozen in memory and cannot be put on disk: {error.message}"
            with suppress(SandlotError):
                await self._ledger.note(id, EventKind.DEGRADED, reason=reason)

    async def _put_on_disk(self, id: str) -> None:
        live = self._roster.get(id)
        if live is None or live.sandbox.state is not State.PAUSED:
            return  # somebody woke it
        sandbox = live.sandbox
        try:
            with SECONDS.timed("pause", "disk"):
                await self._suspend(live, memory=True)
        except SandlotError:
            self._roster.take(live, adopted=True)
            raise
        self._adopted.discard(id)
        self._admission.rest(id, sandbox.tenant, held_by(sandbox, stands=False), stands=False)
        await self._ledger.deepened(id, "disk", "all of it is on disk")

    # ── idleness ─────────────────────────────────────────────────────────────────────────────────────

    async def _look_whether_idle(self, id: str) -> None:
        """Every moment of idleness that lasts long enough has one of these looks in it."""
        live = self._roster.get(id)
        if live is None or not live.awake or live.sandbox.pause_idle_s is None:
            return
        wanted_s = live.sandbox.pause_idle_s
        left_s = wanted_s - live.idle_s()
        if left_s > 0:
            self._idle.arm(id, left_s)
            return
        reason = f"it had nothing to run for {wanted_s:g} s"
        paused = await self._pause_by_itself(live.sandbox, reason, lambda: live.idle_s() >= wanted_s)
        if live.awake and self._roster.get(id) is live:
            self._idle.arm(id, wanted_s if paused else _TRY_AGAIN_S)

    # ── resuming ─────────────────────────────────────────────────────────────────────────────────────

    async def _resume(self, id: str, timeout_s: float | None, reason: str) -> Awake:
        live = self._roster.get(id)
        if live is not None and live.awake:
            return Awake(live, woken=False)
        sandbox = await self._roster.sandbox(id)
        if sandbox.state is not State.PAUSED:
            raise await self.unfit(id)
        if timeout_s is None:
            timeout_s = sandbox.timeout_s
        await self._admission.enter(id, await self._tenant(sandbox.tenant), amounts_of(sandbox))
        try:
            with SECONDS.timed("resume", sandbox.depth or "disk"):
                if live is not None:
                    await self._thaw(live, timeout_s, reason)
                else:
                    live = await self._read(sandbox, timeout_s, reason)
        except BaseException as error:
            stands = id in self._roster
            self._admission.rest(id, sandbox.tenant, held_by(sandbox, stands=stands), stands=stands)
            if isinstance(error, Unavailable):
                raise StaysPaused(f"sandbox {id} stays paused: {error.message}", **error.details) from error
            raise
        self._admission.started(id)
        self._wide_awake(id)
        self._roster.arm(id, timeout_s)
        self.watch_idleness(live)
        return Awake(live, woken=True)

    async def _thaw(self, live: LiveSandbox, timeout_s: float | None, reason: str) -> None:
        paused = live.sandbox
        try:
            await self._node.resume(live.id, spec_of(paused))
            if live.id in self._adopted:
                await recover(live)
            await self._hooks.resumed(live)
            resumed = await self._ledger.resumed(paused, timeout_s, reason)
        except SandlotError:
            with suppress(SandlotError):
                await self._node.pause(live.id)
            raise
        if resumed is None or self._roster.get(live.id) is not live:
            raise ended_meanwhile(live.id)
        live.sandbox = resumed

    async def _read(self, sandbox: Sandbox, timeout_s: float | None, reason: str) -> LiveSandbox:
        """From disk."""
        id = sandbox.id
        if not await self._ledger.resuming(id, reason):
            raise ended_meanwhile(id)
        try:
            # Of the same generation: its memory comes back once, and a seed that it had set goes on counting.
            node_sandbox = await self._node.resume(id, spec_of(sandbox))
        except NotFound as error:
            await self._lost(id, error)
            raise SandboxGone(f"what was kept of sandbox {id} is lost: {error.message}") from error
        except SandlotError as error:
            await self._ledger.resume_failed(id, error.message)
            raise
        live = LiveSandbox(sandbox, node_sandbox)
        try:
            live.sandbox = await self._come_back(live, timeout_s)
        except BaseException as error:
            await live.close()
            if isinstance(error, SandlotError) and not isinstance(error, SandboxGone):
                await self._node.suspend(id, memory=sandbox.depth != "files")
                await self._ledger.resume_failed(id, error.message)
            raise
        self._roster.take(live, adopted=True)
        return live

    async def _come_back(self, live: LiveSandbox, timeout_s: float | None) -> Sandbox:
        sandbox = live.sandbox
        await (self._hooks.rebooted(live) if sandbox.depth == "files" else self._hooks.restored(live))
        resumed = await self._ledger.resumed(sandbox, timeout_s, "its agent answers again")
        if resumed is None:
            raise ended_meanwhile(live.id)
        return resumed

    async def _lost(self, id: str, error: SandlotError) -> None:
        await self._node.destroy(id)
        await self._ledger.ended(id, EventKind.DIED, f"what was kept of it is lost: {error.message}")
        self.forget(id)
        self._admission.ended(id)

    def _wide_awake(self, id: str) -> None:
        self.resting.pop(id, None)
        self._deepen_later.arm(id, None)
        self._kept.arm(id, None)
        self._frozen.pop(id, None)
        self._tries.pop(id, None)
        self._adopted.discard(id)

    # ── saying no ────────────────────────────────────────────────────────────────────────────────────

    async def unfit(self, id: str) -> SandlotError:
        """Why nothing can be done with a sandbox as it is now. Raises NotFound."""
        if (live := self._roster.get(id)) is None:
            return why_not(await self._ledger.get(id))
        sandbox = live.sandbox
        return why_not(
            sandbox if sandbox.state is not State.RUNNING else replace(sandbox, state=State.PAUSING)
        )


def held_by(sandbox: Sandbox, *, stands: bool) -> Amounts:
    """What a paused one holds: its disk, and its memory where it ``stands`` in it."""
    return Amounts(memory_mib=sandbox.memory_mib if stands else 0, disk_mib=sandbox.disk_mib)
