"""The way to a running sandbox for those who hold its token instead of a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sandlot.core.ids import is_sandbox_id
from sandlot.core.ledger import unknown
from sandlot.core.live import LiveSandbox
from sandlot.core.model import Sandbox
from sandlot.core.tokens import AccessTokens, Purpose
from sandlot.errors import SandlotError, Unauthenticated

if TYPE_CHECKING:
    from sandlot.core.engine import Engine


class Access:
    """One sandbox at a time, named by its id, and only where the caller may."""

    def __init__(self, engine: Engine, tokens: AccessTokens) -> None:
        self._engine = engine
        self._tokens = tokens

    def token(self, sandbox_id: str, purpose: Purpose) -> str:
        """The token to hand to whoever holds a key for this sandbox."""
        return self._tokens.of(sandbox_id, purpose)

    async def agent(self, sandbox_id: str, token: str | None) -> LiveSandbox:
        """For commands, files and code. A sandbox that is not ``secured`` asks for no token.

        Raises NotFound, SandboxGone, Unauthenticated, Conflict, Unavailable.
        """
        sandbox = await self._in_reach(sandbox_id)
        if sandbox.secured and not self._tokens.check(sandbox_id, Purpose.AGENT, token):
            raise Unauthenticated(
                f"sandbox {sandbox_id} asks for its access token, and this request "
                + ("has none" if token is None else "has another")
            )
        return await self._engine.live(sandbox_id)

    async def agent_signed(self, sandbox_id: str, matches: Callable[[str], bool]) -> LiveSandbox:
        """For what somebody who holds the token has signed; as :meth:`agent`."""
        sandbox = await self._in_reach(sandbox_id)
        if sandbox.secured and not matches(self._tokens.of(sandbox_id, Purpose.AGENT)):
            raise Unauthenticated(
                f"the signature is not of sandbox {sandbox_id}'s access token, or not of this path,"
                " operation, user and expiration"
            )
        return await self._engine.live(sandbox_id)

    async def ingress(self, sandbox_id: str, token: str | None) -> LiveSandbox:
        """For its web ports. Raises NotFound (also where its ports are switched off), SandboxGone,
        Unauthenticated, Conflict, Unavailable.
        """
        sandbox = await self._in_reach(sandbox_id)
        if sandbox.ingress == "off":
            raise unknown(sandbox_id)
        if sandbox.ingress == "token" and not self._tokens.check(sandbox_id, Purpose.INGRESS, token):
            raise Unauthenticated(f"the ports of sandbox {sandbox_id} are not public: send its ingress token")
        return await self._engine.live(sandbox_id)

    def signed(self, matches: Callable[[str], bool]) -> Sandbox | None:
        """The sandbox that runs or is paused, and whose agent token made a signature; None where none did."""
        for sandbox in self._engine.in_reach():
            if sandbox.secured and matches(self._tokens.of(sandbox.id, Purpose.AGENT)):
                return sandbox
        return None

    async def explain(self, sandbox_id: str, error: SandlotError) -> SandlotError:
        """What a caller should hear whose talk with a sandbox broke off."""
        return await self._engine.explain(sandbox_id, error)

    async def _in_reach(self, sandbox_id: str) -> Sandbox:
        """Of one that sleeps nothing more than its row: who may not reach it must not wake it."""
        if not is_sandbox_id(sandbox_id):
            raise unknown(sandbox_id)
        sandbox = await self._engine.get(sandbox_id)
        return sandbox if sandbox.state.sleeps else (await self._engine.live(sandbox_id)).sandbox
