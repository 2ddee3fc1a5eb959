"""What a tenant may have, counted against what it has."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

from sandlot.core.limits import check_range
from sandlot.errors import InvalidArgument, LimitExceeded
from sandlot.store import Quotas, Tenant

RETRY_AFTER_S = 5
"""When to ask again where nobody can know when something ends."""
MAX_QUOTA = 1 << 31

_TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Amounts:
    """What sandboxes have by their limits. Processors are thousandths, so that sums are exact."""

    sandboxes: int = 0
    milli_cpus: int = 0
    memory_mib: int = 0
    disk_mib: int = 0

    @classmethod
    def of(cls, cpus: float, memory_mib: int, disk_mib: int) -> Amounts:
        """Of one sandbox."""
        return cls(1, round(cpus * 1000), memory_mib, disk_mib)

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(*(mine + its for mine, its in zip(self.each(), other.each(), strict=True)))

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(*(mine - its for mine, its in zip(self.each(), other.each(), strict=True)))

    @property
    def cpus(self) -> float:
        return self.milli_cpus / 1000

    def each(self) -> Iterator[int]:
        yield from (self.sandboxes, self.milli_cpus, self.memory_mib, self.disk_mib)


def check_tenant_name(name: str) -> None:
    """Raises InvalidArgument."""
    if not _TENANT_NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name[:80]!r} cannot be a tenant's name: that is 1 to 63 of a-z, 0-9, '.', '_' and '-',"
            " beginning with a letter or a digit"
        )


def check_quotas(quotas: Quotas) -> None:
    """Raises InvalidArgument naming the quota."""
    for field in fields(Quotas):
        value = getattr(quotas, field.name)
        if value is not None:
            check_range(field.name, value, 0, MAX_QUOTA)


def check_use(tenant: Tenant, use: Amounts, wish: Amounts) -> None:
    """Whether the tenant may have ``wish`` beside ``use``. Raises LimitExceeded."""
    quotas = tenant.quotas
    for limit, allowed, has, asked in (
        ("max_sandboxes", quotas.max_sandboxes, use.sandboxes, wish.sandboxes),
        ("max_cpus", quotas.max_cpus, use.cpus, wish.cpus),
        ("max_memory_mib", quotas.max_memory_mib, use.memory_mib, wish.memory_mib),
        ("max_disk_mib", quotas.max_disk_mib, use.disk_mib, wish.disk_mib),
    ):
        if allowed is not None and _too_much(has, asked, allowed):
            raise _over(tenant, limit, allowed, has, asked)


def too_fast(tenant: Tenant, allowed: int, wait_s: float) -> LimitExceeded:
    """The tenant makes sandboxes faster than it may; in ``wait_s`` it may make the next."""
    when = "none may be made" if math.isinf(wait_s) else f"the next may be made in {wait_s:.1f} s"
    return LimitExceeded(
        f"tenant {tenant.name!r} has used up its quota creates_per_minute, which is {allowed}; {when}",
        limit="creates_per_minute",
        scope="tenant",
        tenant=tenant.name,
        in_use=allowed,
        allowed=allowed,
        retry_after_s=60.0 if math.isinf(wait_s) else round(wait_s, 3),
    )


def _too_much(has: float, asked: float, allowed: float) -> bool:
    # In thousandths: fractions of processors must add up.
    return round(has * 1000) + round(asked * 1000) > round(allowed * 1000)


def _over(tenant: Tenant, limit: str, allowed: float, has: float, asked: float) -> LimitExceeded:
    never = _too_much(0, asked, allowed)
    way_out = "ask for less" if never else "kill a sandbox or wait until one ends"
    return LimitExceeded(
        f"tenant {tenant.name!r} would exceed its quota {limit}, which is {allowed:g}: it has {has:g} and"
        f" asked for {asked:g} more; {way_out}, or let whoever runs this server raise the quota",
        limit=limit,
        scope="tenant",
        tenant=tenant.name,
        in_use=has,
        allowed=allowed,
        retry_after_s=RETRY_AFTER_S,
    )
