"""What there is and what it uses, for whoever watches the server. Looking wakes no sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandlot.core.census import Census
from sandlot.core.headcount import Headcount
from sandlot.core.pools import PoolStatus
from sandlot.node import Usage
from sandlot.tally import Stock


@dataclass(frozen=True, slots=True)
class Survey:
    """``used`` is by tenant, was measured ``used_age_s`` ago, and its totals hold what ended sandboxes used.
    ``stocks`` are of what the node makes ahead, by kind.
    """

    census: Census
    headcount: Headcount
    used: Mapping[str, Usage]
    used_age_s: float
    stocks: Mapping[str, Stock]
    pools: Sequence[PoolStatus]


def nothing() -> Survey:
    """Of a server that is not ready."""
    return Survey(Census({}, queued=0, starting=0, refusals={}), Headcount(), {}, 0.0, {}, [])
