from __future__ import annotations

import pytest

from sandlot.core.rates import Rates
from sandlot.errors import LimitExceeded
from sandlot.store import Quotas, Tenant


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def of(rate: int | None, name: str = "acme") -> Tenant:
    return Tenant(name, Quotas(creates_per_minute=rate))


def took(rates: Rates, tenant: Tenant, most: int = 100) -> int:
    for count in range(most):
        try:
            rates.take(tenant)
        except LimitExceeded:
            return count
    return most


def test_a_minutes_worth_at_once_then_as_it_comes(clock: Clock) -> None:
    rates = Rates(clock)
    assert took(rates, of(6)) == 6
    with pytest.raises(
        LimitExceeded, match=r"'acme' .*creates_per_minute, which is 6; .* in 10\.0 s"
    ) as caught:
        rates.take(of(6))
    assert caught.value.details == {
        "limit": "creates_per_minute",
        "scope": "tenant",
        "tenant": "acme",
        "in_use": 6,
        "allowed": 6,
        "retry_after_s": 10.0,
    }
    clock.now += 9.9
    assert took(rates, of(6)) == 0
    clock.now += 0.2
    assert took(rates, of(6)) == 1
    clock.now += 3600
    assert took(rates, of(6)) == 6


def test_tenants_do_not_share_a_bucket(clock: Clock) -> None:
    rates = Rates(clock)
    assert took(rates, of(2)) == 2
    assert took(rates, of(3, "other")) == 3


def test_a_changed_quota_holds_at_once(clock: Clock) -> None:
    rates = Rates(clock)
    assert took(rates, of(4)) == 4
    assert took(rates, of(6)) == 2
    assert took(rates, of(None), most=50) == 50
    clock.now += 60
    assert took(rates, of(1)) == 1


def test_a_quota_of_none_at_all_lets_nobody_in(clock: Clock) -> None:
    with pytest.raises(LimitExceeded, match="none may be made"):
        Rates(clock).take(of(0))
