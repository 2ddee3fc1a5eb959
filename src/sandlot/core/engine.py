"""The engine: every use case that a door may ask for. It decides; doors translate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import structlog

from sandlot.core.ids import new_sandbox_id
from sandlot.core.lifecycle import LIVE, State, sources
from sandlot.core.limits import Limits, Settled, check_timeout, settle
from sandlot.core.live import LiveSandbox
from sandlot.core.model import CreateSandbox, Event, GuestConfig, ListQuery, Metrics, Page, Sandbox
from sandlot.core.paging import decode_cursor, encode_cursor
from sandlot.core.records import event_from_row, event_row, from_row, to_row
from sandlot.core.tasks import Tasks
from sandlot.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    SandboxGone,
    SandlotError,
    Unavailable,
)
from sandlot.images import Template, TemplateInfo, Templates
from sandlot.network import NetworkPolicy
from sandlot.node import HostReport, Node, NodeSandbox, RootFs, SandboxSpec
from sandlot.store import SandboxStore

_log = structlog.get_logger(__name__)

MAX_PAGE = 1000
MAX_EVENTS = 1000
_SWEEP_HISTORY_EVERY_S = 3600.0
_DEATH_IS_NOTICED_S = 2.0


class Engine:
    """All sandboxes of one server. State lives in the store and on the node; this holds only connections."""

    def __init__(self, *, store: SandboxStore, node: Node, templates: Templates, limits: Limits) -> None:
        self._store = store
        self._node = node
        self._templates = templates
        self.limits = limits
        self._live: dict[str, LiveSandbox] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._kills: dict[str, asyncio.Task[bool]] = {}
        self._making: dict[str, asyncio.Task[Sandbox]] = {}
        self._creates = asyncio.Semaphore(limits.max_concurrent_creates)
        self._admitted = 0
        self._tasks = Tasks()
        self._accepting = False

    # ── the server's life ────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Adopt what a former server left running, end what it left half-made, then accept requests."""
        await self._node.start()
        await self._adopt_all()
        self._tasks.spawn(self._forget_history(), name="forget ended sandboxes")
        self._accepting = True

    async def stop(self) -> None:
        """Let go of everything. Sandboxes go on running; the next start adopts them."""
        self._accepting = False
        for timer in self._deadlines.values():
            timer.cancel()
        self._deadlines.clear()
        await asyncio.gather(*self._kills.values(), return_exceptions=True)
        await self._tasks.close()
        await asyncio.gather(*(live.close() for live in self._live.values()), return_exceptions=True)
        self._live.clear()
        await self._node.stop()

    # ── use cases ────────────────────────────────────────────────────────────────────────────────────

    async def create(self, request: CreateSandbox) -> Sandbox:
        """A sandbox whose agent answers.

        Raises InvalidArgument, NotFound (template), TierUnavailable, LimitExceeded, NotEnoughSpace,
        DeadlineExceeded, Unavailable. A caller that goes away before it learns the id leaves no sandbox.
        """
        if not self._accepting:
            raise Unavailable("the server is starting or stopping; try again in a moment")
        settled = settle(request, self.limits)
        template = await asyncio.to_thread(self._templates.resolve, request.template)
        sandbox = _drafted(request, settled, template)
        work = self._make(sandbox, template, request.timeout_s)
        making = self._tasks.spawn(work, name=f"create {sandbox.id}")
        self._making[sandbox.id] = making
        making.add_done_callback(lambda _: self._making.pop(sandbox.id, None))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            if making.cancelled():
                raise await self._gone(sandbox.id) from None
            making.add_done_callback(lambda _: self._abandon(sandbox.id))
            raise

    async def get(self, id: str) -> Sandbox:
        """Raises NotFound."""
        if (live := self._live.get(id)) is not None:
            return live.sandbox
        row = await self._store.get(id)
        if row is None:
            raise NotFound(f"no sandbox has the id {id!r}")
        return from_row(row)

    async def list(self, query: ListQuery) -> Page[Sandbox]:
        """Newest first. Raises InvalidArgument for a limit or cursor that cannot be."""
        if not 1 <= query.limit <= MAX_PAGE:
            raise InvalidArgument(f"limit must be from 1 to {MAX_PAGE}, not {query.limit}")
        rows = await self._store.page(
            states=query.states,
            metadata=query.metadata,
            before=decode_cursor(query.cursor) if query.cursor else None,
            limit=query.limit + 1,
        )
        items = [from_row(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(items, encode_cursor(items[-1].created_at, items[-1].id) if more else None)

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
        """A new deadline, counted from now. Raises NotFound, SandboxGone, InvalidArgument."""
        live = await self.live(id)
        if timeout_s is not None:
            check_timeout(timeout_s, self.limits)
        deadline = _after(timeout_s)
        event = event_row(id, "timeout", reason="set by request", details={"timeout_s": timeout_s})
        if not await self._store.change(id, {State.RUNNING}, {"deadline": deadline}, event):
            raise await self._gone(id)
        live.sandbox = replace(live.sandbox, deadline=deadline)
        self._arm(id, timeout_s)
        return live.sandbox

    async def live(self, id: str) -> LiveSandbox:
        """The running sandbox. Raises NotFound, SandboxGone (state and reason), Conflict, Unavailable."""
        live = self._live.get(id)
        if live is None or live.sandbox.state is not State.RUNNING:
            raise await self._gone(id)
        return live

    async def explain(self, id: str, error: SandlotError) -> SandlotError:
        """What a caller should hear whose talk with a sandbox broke off: its end, where that is why."""
        if not isinstance(error, Unavailable):
            return error
        if (live := self._live.get(id)) is None:
            return await self._gone(id)
        try:
            async with asyncio.timeout(_DEATH_IS_NOTICED_S):
                reason = await live.node.wait_dead()
        except TimeoutError:
            return error
        return SandboxGone(f"sandbox {id} has ended: {reason}", reason=reason)

    async def metrics(self, id: str) -> Metrics:
        return await (await self.live(id)).metrics()

    async def events(self, id: str) -> Sequence[Event]:
        """The newest thousand, oldest first. Raises NotFound."""
        await self.get(id)
        return [event_from_row(row) for row in await self._store.events(id, limit=MAX_EVENTS)]

    async def templates(self) -> Sequence[TemplateInfo]:
        return await asyncio.to_thread(self._templates.list)

    async def host(self) -> HostReport:
        return await self._node.report()

    # ── creating ─────────────────────────────────────────────────────────────────────────────────────

    async def _make(self, sandbox: Sandbox, template: Template, timeout_s: float | None) -> Sandbox:
        self._admit()
        try:
            async with asyncio.timeout(self.limits.create_timeout_s), self._creates:
                return await self._make_admitted(sandbox, template, timeout_s)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the sandbox did not start within {self.limits.create_timeout_s:g} s; the machine is busy"
            ) from error
        finally:
            self._admitted -= 1

    def _admit(self) -> None:
        if len(self._live) + self._admitted >= self.limits.max_sandboxes:
            raise LimitExceeded(
                f"this server runs at most {self.limits.max_sandboxes} sandboxes (max_sandboxes), and all are"
                " in use; kill one or wait until one ends",
                limit="max_sandboxes",
                retry_after_s=5,
            )
        self._admitted += 1

    async def _make_admitted(self, sandbox: Sandbox, template: Template, timeout_s: float | None) -> Sandbox:
        created = event_row(sandbox.id, "created", target=State.CREATING, reason="requested")
        await self._store.add(to_row(sandbox), created)
        try:
            node_sandbox = await self._node.create(_spec(sandbox, template))
            started = await self._record_start(sandbox, timeout_s)
        except BaseException as error:
            await self._node.destroy(sandbox.id)
            await self._end(sandbox.id, State.FAILED, "failed", _describe(error))
            raise
        live = self._enter(started, node_sandbox)
        self._arm(sandbox.id, timeout_s)
        if "python" in sandbox.guest.kernels:
            self._tasks.spawn(self._warm(live), name=f"warm {sandbox.id}")
        return started

    async def _warm(self, live: LiveSandbox) -> None:
        """Start the interpreter while its user still thinks, so that the first line of code need not wait."""
        try:
            await live.interpreter.warm()
        except SandlotError as error:
            _log.info("interpreter not warmed", sandbox=live.id, reason=error.message)

    async def _record_start(self, sandbox: Sandbox, timeout_s: float | None) -> Sandbox:
        started = replace(
            sandbox, state=State.RUNNING, started_at=datetime.now(UTC), deadline=_after(timeout_s)
        )
        values = {"state": started.state, "started_at": started.started_at, "deadline": started.deadline}
        event = event_row(
            sandbox.id, "started", source=State.CREATING, target=State.RUNNING, reason="its agent answers"
        )
        if not await self._store.change(sandbox.id, {State.CREATING}, values, event):
            raise await self._gone(sandbox.id)
        return started

    def _abandon(self, id: str) -> None:
        if id in self._live:
            self._tasks.spawn(
                self.kill(id, "its creator went away before it was ready"), name=f"abandon {id}"
            )

    def _enter(self, sandbox: Sandbox, node_sandbox: NodeSandbox) -> LiveSandbox:
        live = LiveSandbox(sandbox, node_sandbox)
        self._live[sandbox.id] = live
        self._tasks.spawn(self._watch(live), name=f"watch {sandbox.id}")
        self._tasks.spawn(self._log_oom(live), name=f"watch memory {sandbox.id}")
        return live

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────

    async def _kill(self, id: str, reason: str) -> bool:
        sandbox = await self.get(id)
        if sandbox.state.ended:
            return False
        event = event_row(id, "killing", source=sandbox.state, target=State.KILLING, reason=reason)
        values = {"state": State.KILLING, "reason": reason}
        await self._store.change(id, sources(State.KILLING), values, event)
        if (making := self._making.get(id)) is not None:
            making.cancel()
            await asyncio.wait([making])
        live = self._leave(id)
        if live is not None:
            await live.close()
        await self._node.destroy(id)
        await self._end(id, State.KILLED, "killed", reason)
        return True

    async def _end(self, id: str, state: State, kind: str, reason: str) -> None:
        row = await self._store.get(id)
        source = State(row["state"]) if row else None
        values = {"state": state, "reason": reason, "ended_at": datetime.now(UTC)}
        event = event_row(id, kind, source=source, target=state, reason=reason)
        await self._store.change(id, sources(state), values, event)

    def _leave(self, id: str) -> LiveSandbox | None:
        if (timer := self._deadlines.pop(id, None)) is not None:
            timer.cancel()
        live = self._live.pop(id, None)
        if live is not None:
            live.sandbox = replace(live.sandbox, state=State.KILLING)
        return live

    async def _watch(self, live: LiveSandbox) -> None:
        reason = await live.node.wait_dead()
        if self._live.get(live.id) is not live:
            return
        self._leave(live.id)
        _log.warning("sandbox died", sandbox=live.id, reason=reason)
        await self._end(live.id, State.FAILED, "died", reason)
        await live.close()
        await self._node.destroy(live.id)

    async def _log_oom(self, live: LiveSandbox) -> None:
        async for event in live.node.oom_events():
            await self._store.add_event(event_row(live.id, "oom", reason=event.reason, details=asdict(event)))

    def _arm(self, id: str, timeout_s: float | None) -> None:
        if (old := self._deadlines.pop(id, None)) is not None:
            old.cancel()
        if timeout_s is not None:
            self._deadlines[id] = asyncio.get_running_loop().call_later(timeout_s, self._expire, id)

    def _expire(self, id: str) -> None:
        self._tasks.spawn(self.kill(id, "its timeout ran out"), name=f"expire {id}")

    async def _gone(self, id: str) -> SandlotError:
        sandbox = await self.get(id)
        if sandbox.state is State.CREATING:
            return Conflict(f"sandbox {id} is still being created")
        if sandbox.state is State.RUNNING:
            return Unavailable(f"sandbox {id} is being adopted after a restart of the server; try again")
        now = "being killed" if sandbox.state is State.KILLING else sandbox.state
        return SandboxGone(
            f"sandbox {id} is {now}: {sandbox.reason}",
            state=sandbox.state.value,
            reason=sandbox.reason,
        )

    # ── after a restart ──────────────────────────────────────────────────────────────────────────────

    async def _adopt_all(self) -> None:
        rows = await self._store.in_states(LIVE)
        sandboxes = [from_row(row) for row in rows]
        keep = {sandbox.id for sandbox in sandboxes if sandbox.state is State.RUNNING}
        at_once = asyncio.Semaphore(16)

        async def settle_one(sandbox: Sandbox) -> None:
            async with at_once:
                await self._settle_after_restart(sandbox)

        await asyncio.gather(*(settle_one(sandbox) for sandbox in sandboxes))
        for leftover in await self._node.sweep(keep & self._live.keys()):
            _log.warning("removed a leftover", leftover=str(leftover))

    async def _settle_after_restart(self, sandbox: Sandbox) -> None:
        if sandbox.state is State.CREATING:
            await self._node.destroy(sandbox.id)
            await self._end(
                sandbox.id, State.FAILED, "failed", "the server stopped while it was being created"
            )
        elif sandbox.state is State.KILLING:
            await self._node.destroy(sandbox.id)
            await self._end(sandbox.id, State.KILLED, "killed", sandbox.reason or "killed by request")
        else:
            await self._adopt(sandbox)

    async def _adopt(self, sandbox: Sandbox) -> None:
        try:
            node_sandbox = await self._node.adopt(sandbox.id)
        except SandlotError as error:
            await self._node.destroy(sandbox.id)
            await self._end(
                sandbox.id, State.FAILED, "died", f"ended while the server was away: {error.message}"
            )
            return
        live = self._enter(sandbox, node_sandbox)
        await self._store.add_event(event_row(sandbox.id, "adopted", reason="found running after a restart"))
        try:
            await live.interpreter.recover()
        except SandlotError as error:
            _log.warning("interpreter contexts not recovered", sandbox=sandbox.id, reason=error.message)
        if sandbox.deadline is not None:
            self._arm(sandbox.id, max(0.0, (sandbox.deadline - datetime.now(UTC)).total_seconds()))

    async def _forget_history(self) -> None:
        while True:
            await self._store.forget_ended_before(
                datetime.now(UTC) - timedelta(seconds=self.limits.history_s)
            )
            await asyncio.sleep(_SWEEP_HISTORY_EVERY_S)


def _drafted(request: CreateSandbox, settled: Settled, template: Template) -> Sandbox:
    config = template.config
    return Sandbox(
        id=(id := new_sandbox_id()),
        template=template.name,
        template_id=template.id,
        isolation=settled.isolation,
        state=State.CREATING,
        reason=None,
        cpus=settled.cpus,
        memory_mib=settled.memory_mib,
        disk_mib=settled.disk_mib,
        pids=settled.pids,
        internet=request.internet,
        hostname=request.hostname or id,
        env=dict(request.env),
        metadata=dict(request.metadata),
        guest=GuestConfig(config.user, config.workdir, dict(config.env), dict(config.kernels)),
        created_at=datetime.now(UTC),
    )


def _spec(sandbox: Sandbox, template: Template) -> SandboxSpec:
    return SandboxSpec(
        id=sandbox.id,
        rootfs=RootFs(layers=template.layers),
        tier=sandbox.isolation,
        cpus=sandbox.cpus,
        memory_bytes=sandbox.memory_mib * 1024 * 1024,
        disk_bytes=sandbox.disk_mib * 1024 * 1024,
        pids=sandbox.pids,
        network=NetworkPolicy(internet=sandbox.internet),
        hostname=sandbox.hostname,
    )


def _after(timeout_s: float | None) -> datetime | None:
    return None if timeout_s is None else datetime.now(UTC) + timedelta(seconds=timeout_s)


def _describe(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "it took too long, or the server stopped"
    return error.message if isinstance(error, SandlotError) else f"{type(error).__name__}: {error}"
