"""How many are wanted, for arrivals of every kind."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.core.pools.demand import HALF_LIFE_S, Demand

MAKE_S = 0.5
pauses = st.lists(st.floats(0, 500), min_size=1, max_size=60)


def after(moments: list[float], make_s: float = MAKE_S) -> Demand:
    demand = Demand()
    for moment in moments:
        demand.arrive(moment, make_s)
    return demand


def test_nobody_wants_any_before_the_first() -> None:
    assert Demand().wanted(1e9) == 0


def test_one_use_keeps_one_ready_for_minutes_and_then_none() -> None:
    demand = after([100.0])
    assert [demand.wanted(100 + s) for s in (0, 60, 4 * HALF_LIFE_S)] == [1, 1, 1]
    assert demand.wanted(100 + 6 * HALF_LIFE_S) == 0


def test_steady_use_wants_the_rate_times_the_time_to_make_one() -> None:
    demand = after([second / 20 for second in range(2000)], make_s=0.5)
    assert demand.wanted(100) == pytest.approx(20 * 0.5, abs=1)


def test_slower_making_wants_more() -> None:
    moments = [second / 10 for second in range(500)]
    assert after(moments, make_s=2.0).wanted(50) > after(moments, make_s=0.2).wanted(50)


def test_a_burst_is_remembered_and_fades() -> None:
    demand = after([10.0] * 40)
    assert demand.wanted(10.0) == 40
    assert demand.wanted(10.0 + HALF_LIFE_S) == 20
    assert demand.per_minute(10.0) == 40


@given(pauses, st.floats(0.01, 10))
def test_it_wants_at_most_what_came_and_less_as_time_goes_by(found: list[float], make_s: float) -> None:
    moments = list(accumulate(found))
    demand, end = after(moments, make_s), moments[-1]
    wanted = [demand.wanted(end + later) for later in (0, 1, 60, 600, 6000, 60_000)]
    assert 1 <= wanted[0] <= len(moments)
    assert all(sooner >= later for sooner, later in pairwise(wanted))
    assert wanted[-1] == 0


@given(pauses)
def test_one_more_arrival_never_makes_it_want_less(found: list[float]) -> None:
    moments = list(accumulate(found))
    demand, end = after(moments), moments[-1] + 1
    before = demand.wanted(end)
    demand.arrive(end, MAKE_S)
    assert demand.wanted(end) >= before
