"""The engine: every use case there is, for all tenants. It decides; doors translate, each for one tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sandlot.core.admission import Admission
from sandlot.core.adoption import Adoption
from sandlot.core.census import Census, count
from sandlot.core.creation import Creation
from sandlot.core.drafting import amounts_of, deadline_after
from sandlot.core.forks import Forks
from sandlot.core.headcount import EXPIRED
from sandlot.core.history import Sample
from sandlot.core.hooks import HookRunner
from sandlot.core.idempotency import Repeats
from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.limits import Limits, check_timeout
from sandlot.core.live import LiveSandbox
from sandlot.core.metering import Meter
from sandlot.core.model import (
    CreateSandbox,
    CreateSnapshot,
    Event,
    Fork,
    ListQuery,
    Metrics,
    Page,
    Sandbox,
    Snapshot,
    TenantStatus,
)
from sandlot.core.pausing import Pausing, StaysPaused
from sandlot.core.pools import OFF, HotMemory, Pools, PoolSettings, PoolStatus
from sandlot.core.rollback import Rollback
from sandlot.core.roster import Roster
from sandlot.core.snapshots import Snapshots
from sandlot.core.survey import Survey
from sandlot.core.tasks import Tasks
from sandlot.core.tenancy import TenantEngine
from sandlot.core.turnstile import Turnstile
from sandlot.errors import SandboxGone, SandlotError, Unavailable
from sandlot.images import TemplateInfo, Templates
from sandlot.node import HostReport, Node
from sandlot.store import DEFAULT_TENANT, SandboxStore, SnapshotStore, Tenant

_SWEEP_HISTORY_EVERY_S = 3600.0


class Engine:
    """All sandboxes of one server. State lives in the store and on the node; this holds only connections.

    It knows no walls between tenants: a door gets ``of`` its caller's tenant, and nothing else.
    """

    def __init__(
        self,
        *,
        store: SandboxStore,
        snapshots: SnapshotStore,
        node: Node,
        templates: Templates,
        limits: Limits,
        available_memory_mib: Callable[[], int] | None = None,
        pools: PoolSettings = OFF,
    ) -> None:
        """``available_memory_mib``: what the machine could still give, where sandboxes must wait for that."""
        self.limits = limits
        self._node = node
        self._templates = templates
        self._ledger = Ledger(store)
        self._tasks = Tasks()
        self._hooks = HookRunner(self._ledger, limits)
        memory = HotMemory(available_memory_mib)
        self._admission = Admission(
            limits,
            available_memory_mib=memory.available_mib if available_memory_mib else None,
            make_room=lambda: self._pausing.make_room(),
        )
        self._pools = Pools(
            node=node,
            templates=templates,
            limits=limits,
            settings=pools,
            admission=self._admission,
            memory=memory,
            hooks=self._hooks,
        )
        self._meter = Meter(node)
        self._roster = Roster(
            self._ledger,
            node,
            self._tasks,
            self._meter,
            expire=self._expire,
            entered=lambda live: self._pausing.watch_idleness(live),
            gone=self._forget,
        )
        self._turnstile = Turnstile(self._tasks)
        self._snapshots = Snapshots(
            store=snapshots,
            ledger=self._ledger,
            node=node,
            roster=self._roster,
            admission=self._admission,
            turnstile=self._turnstile,
            tasks=self._tasks,
        )
        self._creation = Creation(
            ledger=self._ledger,
            node=node,
            templates=templates,
            limits=limits,
            admission=self._admission,
            roster=self._roster,
            tasks=self._tasks,
            pools=self._pools,
            snapshots=self._snapshots,
            hooks=self._hooks,
        )
        self._repeats = Repeats(self._ledger, self._tasks)
        self._pausing = Pausing(
            ledger=self._ledger,
            node=node,
            roster=self._roster,
            admission=self._admission,
            meter=self._meter,
            tasks=self._tasks,
            turnstile=self._turnstile,
            hooks=self._hooks,
            limits=limits,
            tenant=store.tenant,
            kill=self.kill,
        )
        self._rollback = Rollback(
            ledger=self._ledger,
            node=node,
            roster=self._roster,
            admission=self._admission,
            meter=self._meter,
            turnstile=self._turnstile,
            hooks=self._hooks,
            pausing=self._pausing,
            snapshots=self._snapshots,
        )
        self._forks = Forks(
            ledger=self._ledger,
            node=node,
            limits=limits,
            admission=self._admission,
            roster=self._roster,
            tasks=self._tasks,
            turnstile=self._turnstile,
            creation=self._creation,
            hooks=self._hooks,
            abandon=self._abandon,
        )
        self._kills: dict[str, asyncio.Task[bool]] = {}
        self._accepting = False

    # ── the server's life ────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Adopt what a former server left running, end what it left half-made, then accept requests."""
        await self._node.start()
        await Adoption(self._ledger, self._node, self._roster, self._pausing).run()
        for live in self._roster:
            if live.sandbox.state is State.RUNNING:
                self._admission.restore(live.id, live.sandbox.tenant, amounts_of(live.sandbox))
        self._tasks.spawn(self._pausing.keep_room(), name="put frozen sandboxes on disk")
        await self._snapshots.start()
        self._pools.start()
        self._tasks.spawn(self._forget_history(), name="forget ended sandboxes")
        self._tasks.spawn(self._meter.keep_looking(), name="keep a history of what is used")
        self._accepting = True

    def begin_stop(self) -> None:
        """Let nobody in any more, and tell those who wait for room."""
        self._accepting = False
        self._admission.close()

    async def stop(self) -> None:
        """Let go of everything. Sandboxes go on running; the next start adopts them."""
        self.begin_stop()
        self._roster.disarm()
        self._pausing.close()
        await asyncio.gather(*self._kills.values(), return_exceptions=True)
        await self._tasks.close()
        await self._pools.close()
        await self._roster.close()
        await self._meter.close()
        await self._node.stop()

    # ── tenants ──────────────────────────────────────────────────────────────────────────────────────

    def of(self, tenant: Tenant) -> TenantEngine:
        """The engine as this tenant sees it: as if there were no other."""
        return TenantEngine(self, tenant)

    def status(self, tenant: Tenant) -> TenantStatus:
        """What a tenant may have and has."""
        use, queued = self._admission.use(tenant.name), self._admission.queued(tenant.name)
        return TenantStatus(
            name=tenant.name,
            quotas=tenant.quotas,
            sandboxes=use.sandboxes - queued,
            paused=self._admission.count().paused.get(tenant.name, 0),
            queued=queued,
            cpus=use.cpus,
            memory_mib=use.memory_mib,
            disk_mib=use.disk_mib,
        )

    def census(self) -> Census:
        """Who has what at this moment. Cheap: nothing is asked of the store or the node."""
        return count(self._admission.count(), self._roster)

    async def survey(self) -> Survey:
        """What there is and what it uses; at most a few seconds old, and no sandbox wakes for it."""
        used = await self._meter.per_tenant()
        stocks = self._node.stocks()
        pools = self._pools.status()
        return Survey(self.census(), self._ledger.headcount, used, self._meter.age_s, stocks, pools)

    def pools(self) -> Sequence[PoolStatus]:
        """The hot pool of every template that was used or that the settings name."""
        return self._pools.status()

    # ── use cases ────────────────────────────────────────────────────────────────────────────────────

    async def create(self, request: CreateSandbox, tenant: Tenant = Tenant(DEFAULT_TENANT)) -> Sandbox:
        """A sandbox whose agent answers, once there is room for one; with an idempotency key, the one that
        an earlier creation with the same key has made.

        Raises InvalidArgument, NotFound (template), TierUnavailable, LimitExceeded, NotEnoughSpace,
        DeadlineExceeded, Unavailable, KeyReused. A caller that goes away before it learns the id leaves no
        sandbox, unless it has a key to come back with.
        """
        if not self._accepting:
            raise Unavailable("the server is starting or stopping; try again in a moment")
        if request.idempotency_key is None:
            return await self._create(request, tenant)
        return await self._repeats.create(request, tenant, lambda request: self._create(request, tenant))

    async def _create(self, request: CreateSandbox, tenant: Tenant) -> Sandbox:
        id, making = await self._creation.begin(request, tenant)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            if making.cancelled():
                raise await self._gone(id) from None
            making.add_done_callback(lambda _: self._abandon(id))
            raise

    async def get(self, id: str) -> Sandbox:
        """Raises NotFound."""
        return await self._roster.sandbox(id)

    async def list(self, query: ListQuery, tenant: Tenant | None = None) -> Page[Sandbox]:
        """By age; everybody's without a tenant. Raises InvalidArgument for a bad limit or cursor."""
        return await self._ledger.page(query, None if tenant is None else tenant.name)

    async def kill(self, id: str, reason: str = "killed by request") -> bool:
        """End a sandbox; True where this call or one beside it ended it, False where it had ended before.

        Raises NotFound. Returns when nothing of it runs any more.
        """
        await self.get(id)
        if (running := self._kills.get(id)) is None:
            running = self._tasks.spawn(self._kill(id, reason), name=f"kill {id}")
            self._kills[id] = running
            running.add_done_callback(lambda _: self._kills.pop(id, None))
        return await asyncio.shield(running)

    async def set_timeout(self, id: str, timeout_s: float | None) -> Sandbox:
        """A new deadline, counted from now. Raises NotFound, SandboxGone, InvalidArgument, SandboxPaused."""
        live = await self._awake(id)
        if timeout_s is not None:
            check_timeout(timeout_s, self.limits)
        deadline = deadline_after(timeout_s)
        if not await self._ledger.deadline(id, deadline, timeout_s):
            raise await self._gone(id)
        live.sandbox = replace(live.sandbox, deadline=deadline, timeout_s=timeout_s)
        self._roster.arm(id, timeout_s)
        return live.sandbox

    async def extend(self, id: str, timeout_s: float) -> Sandbox:
        """A deadline at least so far from now; a later one stays. Raises as ``set_timeout`` does."""
        live = await self._awake(id)
        check_timeout(timeout_s, self.limits, least_s=0)
        deadline = live.sandbox.deadline
        if deadline is None or deadline >= datetime.now(UTC) + timedelta(seconds=timeout_s):
            return live.sandbox
        return await self.set_timeout(id, timeout_s)

    async def expire(self, id: str) -> None:
        """Its time is over now, and it ends or is paused as it would then. Raises NotFound, SandboxGone,
        SandboxPaused.
        """
        await self._expire((await self._awake(id)).id)

    async def pause(self, id: str, *, memory: bool = True) -> Sandbox:
        """Nothing of it runs any more; without ``memory`` its files alone are kept, and it starts anew.

        Raises NotFound, SandboxGone, Conflict (it is paused, or its tier cannot keep memory), Unavailable,
        NotEnoughSpace.
        """
        return await self._pausing.pause(id, memory=memory)

    async def resume(self, id: str, timeout_s: float | None = None) -> Sandbox:
        """It runs; ``timeout_s`` is its new timeout, None for the one that it was made with. One that runs is
        only given the timeout, and one with a later deadline keeps that.

        Raises NotFound, SandboxGone, LimitExceeded, Unavailable, Conflict (what was kept cannot be read).
        """
        if timeout_s is not None:
            check_timeout(timeout_s, self.limits)
        awake = await self._pausing.resume(id, timeout_s)
        sandbox = awake.live.sandbox
        timeout_s = sandbox.timeout_s if timeout_s is None else timeout_s
        if awake.woken or timeout_s is None:
            return sandbox
        return await self.extend(id, timeout_s)

    async def snapshot(self, id: str, tenant: Tenant, request: CreateSnapshot) -> Snapshot:
        """It goes on; the snapshot is whole when this returns, and there is none where it raises.

        Raises NotFound, SandboxGone, InvalidArgument, Conflict (the name is taken; its tier cannot keep
        memory), LimitExceeded, NotEnoughSpace, Unavailable.
        """
        return await self._snapshots.create(id, tenant, request)

    async def get_snapshot(self, tenant: Tenant, id_or_name: str) -> Snapshot:
        """Raises NotFound."""
        return await self._snapshots.get(tenant, id_or_name)

    async def snapshots(
        self,
        tenant: Tenant,
        *,
        sandbox_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Snapshot]:
        """Newest first. Raises InvalidArgument for a bad limit or cursor."""
        return await self._snapshots.list(tenant, sandbox_id=sandbox_id, limit=limit, cursor=cursor)

    async def delete_snapshot(self, tenant: Tenant, id_or_name: str) -> bool:
        """False where there is none. Sandboxes that were made from it go on."""
        return await self._snapshots.delete(tenant, id_or_name)

    async def roll_back(self, id: str, tenant: Tenant, snapshot: str) -> Sandbox:
        """It is as it was in that snapshot, one of its own, under its id. On failure it stays as it is.

        Raises NotFound, SandboxGone, Conflict, Unavailable, NotEnoughSpace.
        """
        return await self._rollback.roll_back(id, tenant, snapshot)

    async def fork(
        self, id: str, tenant: Tenant, *, count: int = 1, timeout_s: float | None = 300.0
    ) -> Sequence[Fork]:
        """So many new sandboxes as this one is now; it goes on. One that fails does not keep the others.

        Raises NotFound, SandboxGone, InvalidArgument (count), Conflict (its tier cannot keep memory),
        LimitExceeded where there is no room for any.
        """
        await self.live(id)
        return await self._forks.fork(id, tenant, count=count, timeout_s=timeout_s)

    async def live(self, id: str) -> LiveSandbox:
        """For a request that talks to the sandbox; one that is paused wakes, where it may.

        Raises NotFound, SandboxGone (state and reason), Conflict, SandboxPaused, LimitExceeded, Unavailable.
        """
        live = self._roster.get(id)
        if live is None or not live.awake:
            sandbox = await self.get(id)
            sleeps = live is not None or sandbox.state.sleeps
            if not (sleeps and sandbox.auto_resume):
                raise await self._gone(id)
            live = await self._pausing.wake(id)
        live.asked()
        return live

    def in_reach(self) -> Iterator[Sandbox]:
        """All that a request may talk to, of all tenants: they run, or are paused."""
        yield from self._pausing.resting.values()
        yield from (live.sandbox for live in self._roster if live.id not in self._pausing.resting)

    async def explain(self, id: str, error: SandlotError) -> SandlotError:
        """What a caller should hear whose talk with a sandbox broke off: its end, where that is why."""
        if not isinstance(error, Unavailable) or isinstance(error, StaysPaused):
            return error
        if (live := self._roster.get(id)) is None or not live.awake:
            return await self._gone(id)
        if (reason := await live.noticed_death()) is None:
            return error
        return SandboxGone(f"sandbox {id} has ended: {reason}", reason=reason)

    async def metrics(self, id: str) -> Metrics:
        """Of one that runs. Looking wakes nobody. Raises as ``live`` does, and SandboxPaused."""
        return await (await self._awake(id)).metrics()

    async def history(
        self, id: str, start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[Sample]:
        """What a running sandbox has used, at most the last hour or two. Raises as ``metrics`` does."""
        await self._awake(id)
        return await self._meter.history(id, start, end)

    async def events(self, id: str) -> Sequence[Event]:
        """The newest thousand, oldest first. Raises NotFound."""
        await self.get(id)
        return await self._ledger.events(id)

    async def templates(self) -> Sequence[TemplateInfo]:
        return await asyncio.to_thread(self._templates.list)

    async def host(self) -> HostReport:
        return await self._node.report()

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────

    async def _kill(self, id: str, reason: str) -> bool:
        sandbox = await self.get(id)
        if sandbox.state.ended:
            return False
        await self._ledger.killing(id, reason)
        await self._creation.cancel(id)
        await self._turnstile.close(id)
        live = self._roster.leave(id)
        if live is not None:
            await live.close()
            await self._meter.end(id)
        await self._node.destroy(id)
        await self._ledger.ended(id, EventKind.KILLED, reason)
        self._forget(id)
        return True

    def _forget(self, id: str) -> None:
        """Nothing of it is left."""
        self._pausing.forget(id)
        self._admission.ended(id)

    async def _expire(self, id: str) -> None:
        live = self._roster.get(id)
        if live is not None and live.sandbox.on_timeout == "pause":
            await self._pausing.time_is_up(live.sandbox)
        else:
            await self.kill(id, EXPIRED)

    def _abandon(self, id: str) -> None:
        if id in self._roster:
            work = self.kill(id, "its creator went away before it was ready")
            self._tasks.spawn(work, name=f"abandon {id}")

    async def _awake(self, id: str) -> LiveSandbox:
        """Without waking it. Raises NotFound, SandboxGone, Conflict, SandboxPaused, Unavailable."""
        live = self._roster.get(id)
        if live is None or not live.awake:
            raise await self._gone(id)
        return live

    async def _gone(self, id: str) -> SandlotError:
        return await self._pausing.unfit(id)

    async def _forget_history(self) -> None:
        while True:
            await self._ledger.forget_ended_before(timedelta(seconds=self.limits.history_s))
            await asyncio.sleep(_SWEEP_HISTORY_EVERY_S)
