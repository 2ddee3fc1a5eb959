"""A sandbox that goes back, under its own id, to what it was."""

from __future__ import annotations

from dataclasses import replace

import structlog

from sandlot.core.admission import Admission
from sandlot.core.drafting import amounts_of, spec_of
from sandlot.core.hooks import HookRunner, recover
from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.live import LiveSandbox
from sandlot.core.metering import Meter
from sandlot.core.model import Sandbox, Snapshot
from sandlot.core.pausing import Pausing, held_by
from sandlot.core.refusal import ended_meanwhile, why_not
from sandlot.core.roster import Roster
from sandlot.core.snapshots import Snapshots
from sandlot.core.turnstile import Turnstile
from sandlot.errors import Conflict, SandboxGone, SandlotError
from sandlot.node import Node
from sandlot.store import Tenant

_log = structlog.get_logger(__name__)


class Rollback:
    """To one of its own snapshots, from whatever it is now: it may run, or be paused."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        node: Node,
        roster: Roster,
        admission: Admission,
        meter: Meter,
        turnstile: Turnstile,
        hooks: HookRunner,
        pausing: Pausing,
        snapshots: Snapshots,
    ) -> None:
        self._ledger = ledger
        self._node = node
        self._roster = roster
        self._admission = admission
        self._meter = meter
        self._turnstile = turnstile
        self._hooks = hooks
        self._pausing = pausing
        self._snapshots = snapshots

    async def roll_back(self, id: str, tenant: Tenant, name: str) -> Sandbox:
        """To the snapshot of that id or name; its timeout begins anew. On failure it stays as it is.

        Raises NotFound, SandboxGone, Conflict, LimitExceeded, NotEnoughSpace, Unavailable.
        """
        snapshot = await self._snapshots.get(tenant, name)
        if snapshot.sandbox_id != id:
            raise Conflict(
                f"snapshot {name} is one of sandbox {snapshot.sandbox_id}, and {id} goes back to its own"
                " alone; a new sandbox can be made from it"
            )
        return await self._turnstile.run(id, "roll back", lambda: self._roll_back(id, tenant, snapshot))

    async def _roll_back(self, id: str, tenant: Tenant, snapshot: Snapshot) -> Sandbox:
        live = self._roster.get(id)
        sandbox = await self._roster.sandbox(id)
        if sandbox.state is State.RUNNING:
            return await self._go_back(sandbox, live, snapshot)
        if sandbox.state is not State.PAUSED:
            raise why_not(sandbox)
        await self._admission.enter(id, tenant, amounts_of(sandbox))
        try:
            back = await self._go_back(sandbox, live, snapshot)
        except BaseException:
            stands = id in self._roster
            self._admission.rest(id, sandbox.tenant, held_by(sandbox, stands=stands), stands=stands)
            raise
        self._admission.started(id)
        return back

    async def _go_back(self, before: Sandbox, old: LiveSandbox | None, snapshot: Snapshot) -> Sandbox:
        id = before.id
        if not await self._ledger.rolling_back(id, f"it goes back to snapshot {snapshot.id}"):
            raise ended_meanwhile(id)
        # Its own hostname and limits stay: they are the sandbox's, and the snapshot has the same.
        back = replace(before, generation=before.generation + 1, snapshot_id=snapshot.id)
        self._roster.lay_down(id)
        try:
            await self._meter.end(id)
            node_sandbox = await self._node.roll_back(id, spec_of(back), snapshot.id)
        except SandlotError as error:
            await self._stay(before, old, error)
            raise
        finally:
            if old is not None and id not in self._roster:
                await old.close()
        live = LiveSandbox(back, node_sandbox)
        try:
            live.sandbox = await self._come_back(live, snapshot)
        except BaseException as error:
            await live.close()
            if isinstance(error, SandlotError) and not isinstance(error, SandboxGone):
                await self._lost(before, error)
            raise
        self._pausing.forget(id)
        self._roster.take(live, adopted=True)
        self._roster.arm(id, live.sandbox.timeout_s)
        return live.sandbox

    async def _come_back(self, live: LiveSandbox, snapshot: Snapshot) -> Sandbox:
        back = live.sandbox
        await (self._hooks.restored(live) if snapshot.memory else self._hooks.rebooted(live))
        reason = f"it went back to snapshot {snapshot.id}"
        resumed = await self._ledger.resumed(back, back.timeout_s, reason)
        if resumed is None:
            raise ended_meanwhile(back.id)
        return resumed

    async def _stay(self, before: Sandbox, old: LiveSandbox | None, error: SandlotError) -> None:
        """The node has left it as it was."""
        if before.state is State.PAUSED:
            await self._ledger.resume_failed(before.id, error.message)
            if old is not None:
                self._roster.take(old, adopted=True)
            return
        try:
            node_sandbox = await self._node.adopt(before.id)
        except SandlotError as lost:
            await self._lost(before, lost)
            return
        await self._ledger.roll_back_failed(before.id, error.message)
        live = old if old is not None and old.node is node_sandbox else LiveSandbox(before, node_sandbox)
        if live is not old:
            await recover(live)
        live.sandbox = before
        self._roster.take(live, adopted=True)
        self._roster.arm(before.id, await self._ledger.left_s(before))

    async def _lost(self, sandbox: Sandbox, error: SandlotError) -> None:
        _log.error("a sandbox was lost when it was to go back", sandbox=sandbox.id, reason=error.message)
        await self._node.destroy(sandbox.id)
        await self._ledger.ended(sandbox.id, EventKind.DIED, f"lost on its way back: {error.message}")
        self._pausing.forget(sandbox.id)
        self._admission.ended(sandbox.id)
