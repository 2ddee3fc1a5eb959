"""Who has what at one moment, for whoever watches the server."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sandlot.core.admission import Counted
from sandlot.core.lifecycle import State
from sandlot.core.live import LiveSandbox
from sandlot.core.quotas import Amounts


@dataclass(frozen=True, slots=True)
class TenantCount:
    """One tenant's. ``cpus``, ``memory_mib`` and ``disk_mib`` are sums of the limits of its sandboxes and of
    those that it waits for."""

    sandboxes: Mapping[State, int]
    queued: int
    cpus: float
    memory_mib: int
    disk_mib: int


@dataclass(frozen=True, slots=True)
class Census:
    """The whole server's."""

    tenants: Mapping[str, TenantCount]
    """By name; a tenant that has nothing and waits for nothing is not in it."""
    queued: int
    starting: int
    refusals: Mapping[tuple[str, str], int]
    """How many creations were refused since the server started, by tenant and by limit."""


def count(counted: Counted, running: Iterable[LiveSandbox]) -> Census:
    states: defaultdict[str, Counter[State]] = defaultdict(Counter)
    for tenant, number in counted.paused.items():
        states[tenant][State.PAUSED] = number
    lives = {live.id: live.sandbox.state for live in running}
    for id, tenant in counted.granted.items():
        # One that is neither being made nor among those that run is on its way out.
        state = State.CREATING if id in counted.starting else lives.get(id, State.KILLING)
        states[tenant][state] += 1
    return Census(
        tenants={
            name: _one(states[name], counted.queued.get(name, 0), amounts)
            for name, amounts in counted.use.items()
        },
        queued=sum(counted.queued.values()),
        starting=len(counted.starting),
        refusals=counted.refusals,
    )


def _one(states: Mapping[State, int], queued: int, amounts: Amounts) -> TenantCount:
    return TenantCount(dict(states), queued, amounts.cpus, amounts.memory_mib, amounts.disk_mib)
