"""Snapshots of sandboxes: made, named, found, charged for, and gone when their time is up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from sandlot.core.admission import Admission
from sandlot.core.ids import is_sandbox_id, is_snapshot_id, new_snapshot_id
from sandlot.core.ledger import MAX_PAGE, Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.limits import check_range
from sandlot.core.model import CreateSnapshot, Page, Sandbox, Snapshot
from sandlot.core.paging import decode_cursor, encode_cursor
from sandlot.core.quotas import Amounts, check_use
from sandlot.core.records import event_row, snapshot_from_row, snapshot_to_row
from sandlot.core.refusal import why_not
from sandlot.core.roster import Roster
from sandlot.core.tasks import Tasks
from sandlot.core.turnstile import Turnstile
from sandlot.errors import Conflict, InvalidArgument, NotFound, SandlotError
from sandlot.node import Node, SnapshotFacts
from sandlot.store import Row, SnapshotStore, Tenant

_log = structlog.get_logger(__name__)

MAX_NAME: Final = 128
MAX_EXPIRES_S: Final = 10 * 365 * 24 * 3600.0

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]*"
_NAME: Final = re.compile(rf"(?=.{{1,{MAX_NAME}}}$){_PART}(?:/{_PART})*")
_LOOK_EVERY_S: Final = 3600.0
"""For what has expired, where no time is known at which something will: a clock may be set."""
_MIB: Final = 1024 * 1024


class Snapshots:
    """A row says that there is a whole snapshot on the node. What the node has without a row is removed."""

    def __init__(
        self,
        *,
        store: SnapshotStore,
        ledger: Ledger,
        node: Node,
        roster: Roster,
        admission: Admission,
        turnstile: Turnstile,
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._node = node
        self._roster = roster
        self._admission = admission
        self._turnstile = turnstile
        self._tasks = tasks
        self._being_named: set[tuple[str, str]] = set()
        self._sooner = asyncio.Event()

    async def start(self) -> None:
        """Once, before the first request: remove what is half-made, book what there is, let it expire."""
        charges = await self._store.charges()
        for leftover in await self._node.sweep_snapshots({id for id, _, _ in charges}):
            _log.warning("removed a leftover", leftover=str(leftover))
        for id, tenant, stored_bytes in charges:
            self._admission.hold(id, tenant, _amounts(stored_bytes))
        self._tasks.spawn(self._keep_expiring(), name="remove snapshots whose time is up")

    async def create(self, sandbox_id: str, tenant: Tenant, request: CreateSnapshot) -> Snapshot:
        """A caller that goes away before it learns the id leaves no snapshot.

        Raises NotFound, SandboxGone, InvalidArgument, Conflict, LimitExceeded, NotEnoughSpace, Unavailable.
        """
        _check(request)
        abandoned = False

        async def work() -> Snapshot:
            snapshot = await self._create(sandbox_id, tenant, request)
            if abandoned:
                await self._remove(snapshot.id)
            return snapshot

        try:
            return await self._turnstile.run(sandbox_id, "snapshot", work)
        except asyncio.CancelledError:
            abandoned = True
            raise

    async def get(self, tenant: Tenant, id_or_name: str) -> Snapshot:
        """Raises NotFound."""
        row: Row | None = None
        if is_snapshot_id(id_or_name):
            row = await self._store.get(tenant.name, id_or_name, now=_now())
        elif _NAME.fullmatch(id_or_name):
            row = await self._store.named(tenant.name, id_or_name, now=_now())
        if row is None:
            raise NotFound(f"no snapshot has the id or the name {id_or_name[:MAX_NAME]!r}")
        return snapshot_from_row(row)

    async def list(
        self, tenant: Tenant, *, sandbox_id: str | None, limit: int, cursor: str | None
    ) -> Page[Snapshot]:
        """Newest first. Raises InvalidArgument for a limit or cursor that cannot be."""
        check_range("limit", limit, 1, MAX_PAGE)
        beyond = decode_cursor(cursor, is_snapshot_id) if cursor else None
        if sandbox_id is not None and not is_sandbox_id(sandbox_id):
            return Page([], None)
        rows = await self._store.page(
            tenant.name, now=_now(), limit=limit + 1, sandbox_id=sandbox_id, beyond=beyond
        )
        items = [snapshot_from_row(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(items, encode_cursor(items[-1].created_at, items[-1].id) if more else None)

    async def delete(self, tenant: Tenant, id_or_name: str) -> bool:
        """False where there is none. What was made from it goes on."""
        try:
            snapshot = await self.get(tenant, id_or_name)
        except NotFound:
            return False
        return await self._remove(snapshot.id)

    # ── making ───────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, sandbox_id: str, tenant: Tenant, request: CreateSnapshot) -> Snapshot:
        sandbox = await self._kept(sandbox_id)
        memory = _with_memory(sandbox, request.memory)
        check_use(tenant, self._admission.use(tenant.name), _amounts(1))
        async with self._name(tenant, request):
            snapshot_id = new_snapshot_id()
            try:
                facts = await self._node.snapshot(sandbox_id, snapshot_id, memory=memory)
                snapshot = _drafted(snapshot_id, sandbox, request, facts)
                self._charge(tenant, snapshot)
                row, event = snapshot_to_row(snapshot), _event(snapshot, facts)
                await self._store.add(row, event, take_name=request.take_name)
            except BaseException:
                await asyncio.shield(self._undo(snapshot_id))
                raise
        self._sooner.set()
        return snapshot

    async def _undo(self, snapshot_id: str) -> None:
        """Whoever was cut off does not know how far it came."""
        self._admission.ended(snapshot_id)
        await self._node.delete_snapshot(snapshot_id)
        with suppress(SandlotError):
            await self._store.remove(snapshot_id)

    async def _kept(self, sandbox_id: str) -> Sandbox:
        """The sandbox, where there is something of it to keep."""
        sandbox = await self._roster.sandbox(sandbox_id)
        if sandbox.state not in (State.RUNNING, State.PAUSED):
            raise why_not(sandbox)
        return sandbox

    @asynccontextmanager
    async def _name(self, tenant: Tenant, request: CreateSnapshot) -> AsyncIterator[None]:
        """Nobody else takes the name meanwhile. Raises Conflict where somebody has it and may keep it."""
        if (name := request.name) is None:
            yield
            return
        await self._expire()
        taken = (tenant.name, name)
        row = None if request.take_name else await self._store.named(*taken, now=_now())
        if row is not None or taken in self._being_named:
            raise Conflict(f"there is a snapshot {name!r} already; delete it, or take another name")
        self._being_named.add(taken)
        try:
            yield
        finally:
            self._being_named.discard(taken)

    def _charge(self, tenant: Tenant, snapshot: Snapshot) -> None:
        """Raises LimitExceeded: what it adds to the disk is known only once it is made."""
        amounts = _amounts(snapshot.stored_bytes)
        check_use(tenant, self._admission.use(tenant.name), amounts)
        self._admission.hold(snapshot.id, tenant.name, amounts)

    # ── removing ─────────────────────────────────────────────────────────────────────────────────────

    async def _remove(self, id: str) -> bool:
        if not await self._store.remove(id):
            return False
        self._admission.ended(id)
        try:
            grown = await self._node.delete_snapshot(id)
            for heir, tenant, stored_bytes in await self._store.grow(grown):
                self._admission.hold(heir, tenant, _amounts(stored_bytes))
        except SandlotError as error:
            _log.warning("what is left of a snapshot goes at the next start", id=id, reason=error.message)
        return True

    async def _expire(self) -> None:
        for id in await self._store.expired(now=_now()):
            await self._remove(id)

    async def _keep_expiring(self) -> None:
        """Runs until it is cancelled."""
        while True:
            self._sooner.clear()
            wait_s = _LOOK_EVERY_S
            try:
                await self._expire()
                if (due := await self._store.next_expiry()) is not None:
                    wait_s = min(wait_s, max(0.0, (due - _now()).total_seconds()))
            except SandlotError as error:
                _log.warning("snapshots not looked at for their time", reason=error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._sooner.wait()


def _check(request: CreateSnapshot) -> None:
    """Raises InvalidArgument."""
    if request.name is not None and (not _NAME.fullmatch(request.name) or is_snapshot_id(request.name)):
        raise InvalidArgument(
            f"{request.name[:MAX_NAME]!r} cannot be a snapshot's name: that is 1 to {MAX_NAME} of a-z, A-Z,"
            " 0-9, '.', '_', '-', ':' and '/', each part between slashes beginning with a letter or a digit,"
            " and nothing that looks like an id"
        )
    if request.expires_s is not None:
        check_range("expires_s", request.expires_s, 1, MAX_EXPIRES_S)


def _with_memory(sandbox: Sandbox, wanted: bool | None) -> bool:
    """Raises Conflict where memory is wanted and cannot be kept, or is not there any more."""
    if wanted and not sandbox.isolation.keeps_memory:
        raise Conflict(
            f"sandbox {sandbox.id} is of tier {sandbox.isolation}, whose memory and processes cannot be kept;"
            " take the snapshot with memory=false: what is made from it has its files, and starts anew"
        )
    if wanted and sandbox.depth == "files":
        raise Conflict(f"sandbox {sandbox.id} was paused with its files alone: there is no memory to keep")
    possible = sandbox.isolation.keeps_memory and sandbox.depth != "files"
    return possible if wanted is None else wanted


def _drafted(id: str, sandbox: Sandbox, request: CreateSnapshot, facts: SnapshotFacts) -> Snapshot:
    now = _now()
    return Snapshot(
        id=id,
        tenant=sandbox.tenant,
        name=request.name,
        sandbox_id=sandbox.id,
        memory=facts.memory,
        created_at=now,
        expires_at=None if request.expires_s is None else now + timedelta(seconds=request.expires_s),
        size_bytes=facts.size_bytes,
        stored_bytes=facts.stored_bytes,
        template=sandbox.template,
        template_id=sandbox.template_id,
        isolation=sandbox.isolation,
        cpus=sandbox.cpus,
        memory_mib=sandbox.memory_mib,
        disk_mib=sandbox.disk_mib,
        pids=sandbox.pids,
        internet=sandbox.internet,
        env=dict(sandbox.env),
        guest=sandbox.guest,
        hooks=sandbox.hooks,
        generation=sandbox.generation,
    )


def _event(snapshot: Snapshot, facts: SnapshotFacts) -> Row:
    return event_row(
        snapshot.sandbox_id,
        EventKind.SNAPSHOT,
        reason="a snapshot was made",
        details={
            "snapshot": snapshot.id,
            "name": snapshot.name,
            "memory": snapshot.memory,
            "stored_bytes": snapshot.stored_bytes,
            "downtime_s": round(facts.downtime_s, 3),
        },
    )


def _amounts(stored_bytes: int) -> Amounts:
    """What a tenant is charged for a snapshot: disk, in whole MiB."""
    return Amounts(disk_mib=-(-stored_bytes // _MIB))


def _now() -> datetime:
    return datetime.now(UTC)
