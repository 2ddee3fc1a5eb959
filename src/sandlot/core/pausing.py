"""Pausing and resuming: by request, by the timeout, by idleness; first frozen, later on disk."""

from __future__ import annotations

from sandlot.core.model import Sandbox


class Pausing:
    """Decides when a sandbox pauses, how deep, and when it comes back."""

    async def pause(self, id: str, *, memory: bool = True) -> Sandbox:
        raise NotImplementedError

    async def resume(self, id: str, timeout_s: float | None) -> Sandbox:
        raise NotImplementedError
