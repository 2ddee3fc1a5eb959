"""How often a tenant may make a sandbox: a bucket of tokens for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sandlot.core.quotas import too_fast
from sandlot.store import Tenant


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    rate: int


class Rates:
    """A bucket holds what a minute brings, so that many may be made at once after a quiet minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives monotonic seconds."""
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, tenant: Tenant) -> None:
        """One token. Raises LimitExceeded that says when there will be one."""
        rate = tenant.quotas.creates_per_minute
        if rate is None:
            self._buckets.pop(tenant.name, None)
            return
        bucket = self._filled(tenant.name, rate)
        if bucket.tokens < 1:
            raise too_fast(tenant, rate, (1 - bucket.tokens) * 60 / rate if rate else math.inf)
        bucket.tokens -= 1

    def _filled(self, name: str, rate: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(rate, now, rate))
        # What the past brought counts at the rate of then; a raised quota opens at once, a cut one closes.
        tokens = bucket.tokens + (now - bucket.at) * bucket.rate / 60 + max(0, rate - bucket.rate)
        bucket.tokens, bucket.at, bucket.rate = min(rate, tokens), now, rate
        return bucket
