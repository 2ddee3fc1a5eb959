"""Forks: sandboxes made from one that runs, with its memory, processes and files."""

from __future__ import annotations

from collections.abc import Sequence

from sandlot.core.model import Fork
from sandlot.store import Tenant


class Forks:
    async def fork(self, id: str, tenant: Tenant, *, count: int, timeout_s: float | None) -> Sequence[Fork]:
        raise NotImplementedError
