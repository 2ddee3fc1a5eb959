"""After a restart: what runs is taken up again, what was half-made or half-ended is ended, and said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from sandlot.core.hooks import recover
from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.model import Depth, Sandbox
from sandlot.core.pausing import Pausing
from sandlot.core.roster import Roster
from sandlot.errors import NotFound
from sandlot.node import Node, Presence

_log = structlog.get_logger(__name__)
_AT_ONCE = 16


class Adoption:
    """Called once, before the first request."""

    def __init__(self, ledger: Ledger, node: Node, roster: Roster, pausing: Pausing) -> None:
        self._ledger = ledger
        self._node = node
        self._roster = roster
        self._pausing = pausing

    async def run(self) -> None:
        sandboxes, unreadable = await self._ledger.living()
        for id in unreadable:
            await self._node.destroy(id)
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def settle(sandbox: Sandbox) -> None:
            structlog.contextvars.bind_contextvars(sandbox=sandbox.id)
            async with at_once:
                await self._settle(sandbox)

        await asyncio.gather(*(settle(sandbox) for sandbox in sandboxes))
        self._roster.watch_books()
        kept = {live.id for live in self._roster} | self._pausing.resting.keys()
        for leftover in await self._node.sweep(kept):
            _log.warning("removed a leftover", leftover=str(leftover))

    async def _settle(self, sandbox: Sandbox) -> None:
        if sandbox.state is State.CREATING:
            reason = "the server stopped while it was being created"
            await self._end(sandbox, EventKind.FAILED, reason)
        elif sandbox.state is State.KILLING:
            await self._end(sandbox, EventKind.KILLED, sandbox.reason or "killed by request")
        else:
            await self._take_up(sandbox)

    async def _take_up(self, sandbox: Sandbox) -> None:
        """What is there decides: what was begun and not finished has happened, or it has not."""
        try:
            match await self._node.presence(sandbox.id):
                case Presence.RUNNING:
                    await self._adopt(sandbox)
                case Presence.FROZEN:
                    await self._adopt_frozen(sandbox)
                case Presence.SUSPENDED:
                    depth: Depth = "files" if sandbox.depth == "files" else "disk"
                    await self._rest(await self._settled(sandbox, depth))
                case Presence.GONE:
                    await self._end(sandbox, EventKind.DIED, self._how_it_went(sandbox))
        except NotFound as error:
            await self._end(sandbox, EventKind.DIED, f"ended while the server was away: {error.message}")

    async def _adopt(self, sandbox: Sandbox) -> None:
        node_sandbox = await self._node.adopt(sandbox.id)
        sandbox = await self._awake(sandbox)
        live = self._roster.enter(sandbox, node_sandbox, adopted=True)
        await self._ledger.note(sandbox.id, EventKind.ADOPTED, reason="found running after a restart")
        await recover(live)
        if (left_s := await self._ledger.left_s(sandbox)) is not None:
            live.sandbox = replace(live.sandbox, deadline=datetime.now(UTC) + timedelta(seconds=left_s))
            self._roster.arm(sandbox.id, max(0.0, left_s))

    async def _adopt_frozen(self, sandbox: Sandbox) -> None:
        node_sandbox = await self._node.adopt(sandbox.id)
        sandbox = await self._settled(sandbox, "frozen")
        self._roster.enter(sandbox, node_sandbox, adopted=True)
        await self._rest(sandbox)

    async def _rest(self, sandbox: Sandbox) -> None:
        paused_at = sandbox.paused_at or datetime.now(UTC)
        paused_for_s = max(0.0, (datetime.now(UTC) - paused_at).total_seconds())
        left_s = await self._ledger.left_s(sandbox)
        self._pausing.found(sandbox, left_s, paused_for_s=paused_for_s)

    async def _awake(self, sandbox: Sandbox) -> Sandbox:
        """It runs, whatever was written down last."""
        if sandbox.state is State.PAUSING:
            await self._ledger.pause_failed(sandbox.id, "the server stopped meanwhile; it runs on")
            return replace(sandbox, state=State.RUNNING, depth=None)
        if sandbox.state is State.RUNNING:
            return sandbox
        reason = "found running after a restart"
        return await self._ledger.resumed(sandbox, sandbox.timeout_s, reason) or sandbox

    async def _settled(self, sandbox: Sandbox, depth: Depth) -> Sandbox:
        """It is paused, whatever was written down last."""
        reason = "found paused after a restart"
        if sandbox.state is State.RESUMING:
            await self._ledger.resume_failed(
                sandbox.id, "the server stopped meanwhile; it is paused as before"
            )
        elif sandbox.state is not State.PAUSED:
            return await self._ledger.paused(sandbox, depth, reason) or sandbox
        elif sandbox.depth != depth:
            await self._ledger.deepened(sandbox.id, depth, reason)
        return replace(sandbox, state=State.PAUSED, depth=depth)

    async def _end(self, sandbox: Sandbox, kind: EventKind, reason: str) -> None:
        await self._node.destroy(sandbox.id)
        await self._ledger.ended(sandbox.id, kind, reason)

    def _how_it_went(self, sandbox: Sandbox) -> str:
        if self._ledger.machine_began() > (sandbox.started_at or sandbox.created_at):
            kept = "it was kept in its memory" if sandbox.depth == "frozen" else "it ran there"
            return f"the machine was started anew, and {kept}"
        if sandbox.state.sleeps:
            return "what was kept of it was lost while the server was away"
        return "ended while the server was away"
