"""Who lives, and how many came and went; told by the ledger of every change that was written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sandlot.core.lifecycle import EventKind, State
from sandlot.core.model import Sandbox
from sandlot.tally import Counts

EXPIRED: Final = "its timeout ran out"
KEPT: Final = "it was kept paused for as long as was asked"
"""The reasons by which an end that was set beforehand is told from one that was asked for."""


@dataclass(slots=True)
class _Living:
    tenant: str
    tier: str
    state: State


class Headcount:
    """``started`` by tenant and tier; ``ended`` also by how: ``killed``, ``expired``, ``died`` (by itself),
    ``failed`` (it never ran).
    """

    def __init__(self) -> None:
        self.started = Counts("tenant", "tier")
        self.ended = Counts("tenant", "tier", "how")
        self._living: dict[str, _Living] = {}

    def enter(self, sandbox: Sandbox) -> None:
        """New, or found after a restart."""
        self._living[sandbox.id] = _Living(sandbox.tenant, sandbox.isolation.value, sandbox.state)

    def move(self, id: str, state: State, kind: str, reason: str) -> None:
        if (one := self._living.get(id)) is None:
            return
        one.state = state
        if kind == EventKind.STARTED:
            self.started.add(one.tenant, one.tier)
        elif state.ended:
            del self._living[id]
            self.ended.add(one.tenant, one.tier, "expired" if reason in (EXPIRED, KEPT) else kind)

    def living(self) -> Mapping[tuple[str, str, str], int]:
        """By tenant, tier and state."""
        return Counter((one.tenant, one.tier, one.state.value) for one in self._living.values())
