"""Those that are made along with another, and what is held that is no sandbox."""

from __future__ import annotations

import pytest

from sandlot.core.admission import Admission
from sandlot.core.limits import Limits
from sandlot.core.quotas import Amounts
from sandlot.errors import LimitExceeded, Unavailable
from sandlot.store import Quotas, Tenant

ONE = Amounts.of(1.0, 1024, 10240)
ACME = Tenant("acme")


async def test_they_take_no_turn_and_keep_nobody_from_starting() -> None:
    admission = Admission(Limits(max_concurrent_creates=2))
    await admission.enter("first", ACME, ONE)
    for number in range(5):
        admission.join(f"child {number}", ACME, ONE)
    assert admission.starting == 6
    await admission.enter("another", Tenant("other"), ONE)  # returns, so it did not wait
    for number in range(5):
        admission.ended(f"child {number}")
    assert (admission.use("acme"), admission.starting) == (ONE, 2)


async def test_they_are_refused_where_there_is_no_room_and_owe_nothing() -> None:
    admission = Admission(Limits(max_sandboxes=2), available_memory_mib=lambda: 10_000)
    tenant = Tenant("acme", Quotas(max_sandboxes=3, creates_per_minute=2))
    await admission.enter("first", tenant, ONE)
    admission.join("second", tenant, ONE)
    with pytest.raises(LimitExceeded, match="max_sandboxes"):
        admission.join("third", tenant, ONE)
    admission.ended("second")
    with pytest.raises(LimitExceeded, match="creates_per_minute"):
        admission.join("third", tenant, ONE)
    assert admission.use("acme") == ONE
    assert admission.count().refusals == {("acme", "max_sandboxes"): 1, ("acme", "creates_per_minute"): 1}
    admission.close()
    with pytest.raises(Unavailable):
        admission.join("fourth", tenant, ONE)


async def test_memory_that_they_will_take_is_counted() -> None:
    admission = Admission(Limits(host_reserve_memory_mib=100), available_memory_mib=lambda: 100 + 3 * 64)
    await admission.enter("first", ACME, ONE)
    admission.join("second", ACME, ONE)
    admission.join("third", ACME, ONE)
    with pytest.raises(LimitExceeded, match="host_reserve_memory_mib"):
        admission.join("fourth", ACME, ONE)


async def test_what_is_held_counts_towards_the_quota_until_it_ends() -> None:
    admission = Admission(Limits())
    tenant = Tenant("acme", Quotas(max_disk_mib=10240))
    admission.hold("snapshot", "acme", Amounts(disk_mib=1))
    with pytest.raises(LimitExceeded, match="max_disk_mib"):
        await admission.enter("box", tenant, ONE)
    assert admission.count().granted == {}
    admission.ended("snapshot")
    assert admission.count().use == {}
    await admission.enter("box", tenant, ONE)
