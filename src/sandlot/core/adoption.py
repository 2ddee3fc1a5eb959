"""After a restart: what runs is taken up again, what was half-made or half-ended is ended, and said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from sandlot.core.ledger import Ledger
from sandlot.core.lifecycle import EventKind, State
from sandlot.core.model import Sandbox
from sandlot.core.roster import Roster
from sandlot.errors import SandlotError
from sandlot.node import Node

_log = structlog.get_logger(__name__)
_AT_ONCE = 16
_RECOVER_S = 10.0


class Adoption:
    """Called once, before the first request."""

    def __init__(self, ledger: Ledger, node: Node, roster: Roster) -> None:
        self._ledger = ledger
        self._node = node
        self._roster = roster

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
        for leftover in await self._node.sweep({live.id for live in self._roster}):
            _log.warning("removed a leftover", leftover=str(leftover))

    async def _settle(self, sandbox: Sandbox) -> None:
        if sandbox.state is State.CREATING:
            await self._node.destroy(sandbox.id)
            reason = "the server stopped while it was being created"
            await self._ledger.ended(sandbox.id, EventKind.FAILED, reason)
        elif sandbox.state is State.KILLING:
            await self._node.destroy(sandbox.id)
            reason = sandbox.reason or "killed by request"
            await self._ledger.ended(sandbox.id, EventKind.KILLED, reason)
        else:
            await self._adopt(sandbox)

    async def _adopt(self, sandbox: Sandbox) -> None:
        try:
            node_sandbox = await self._node.adopt(sandbox.id)
        except SandlotError as error:
            await self._node.destroy(sandbox.id)
            reason = f"ended while the server was away: {error.message}"
            await self._ledger.ended(sandbox.id, EventKind.DIED, reason)
            return
        live = self._roster.enter(sandbox, node_sandbox, adopted=True)
        await self._ledger.note(sandbox.id, EventKind.ADOPTED, reason="found running after a restart")
        try:
            # One whose agent does not answer must not keep all others waiting for the server.
            async with asyncio.timeout(_RECOVER_S):
                await live.interpreter.recover()
        except TimeoutError:
            _log.warning("interpreter contexts not recovered in time", sandbox=sandbox.id)
        except SandlotError as error:
            _log.warning("interpreter contexts not recovered", sandbox=sandbox.id, reason=error.message)
        if (left_s := await self._ledger.left_s(sandbox)) is not None:
            live.sandbox = replace(live.sandbox, deadline=datetime.now(UTC) + timedelta(seconds=left_s))
            self._roster.arm(sandbox.id, max(0.0, left_s))
