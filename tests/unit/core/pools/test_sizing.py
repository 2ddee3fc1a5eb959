from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandlot.core.pools.model import Bounds
from sandlot.core.pools.sizing import Memory, to_drop, to_make, wanted

small = st.integers(0, 200)


@given(small, small, small)
def test_a_pool_is_kept_within_its_bounds(demand: int, least: int, more: int) -> None:
    bounds = Bounds(least, least + more)
    assert bounds.min <= wanted(demand, bounds) <= bounds.max
    if bounds.min <= demand <= bounds.max:
        assert wanted(demand, bounds) == demand


@given(small, small, small, st.integers(-5, 8), st.integers(-200, 200), small)
def test_nothing_is_made_that_there_is_no_room_for(
    want: int, ready: int, making: int, makers: int, places: int, memory: int
) -> None:
    count = to_make(want, ready=ready, making=making, makers=makers, places=places, memory=memory)
    assert 0 <= count <= max(0, makers)
    assert count <= max(0, places)
    assert count <= memory
    assert count == 0 or ready + making + count <= want


@given(small, small, st.integers(-200, 200))
def test_what_is_not_wanted_and_what_others_need_the_place_of_goes(
    want: int, ready: int, overbooked: int
) -> None:
    dropped = to_drop(want, ready=ready, overbooked=overbooked)
    assert 0 <= dropped <= ready
    assert ready - dropped <= want
    assert dropped >= min(ready, overbooked)


@given(small, st.integers(0, 4096), st.integers(1, 500))
def test_what_memory_allows_to_make_it_does_not_take_back(available: int, kept: int, each: int) -> None:
    memory = Memory(available * 64, kept)
    if allowed := memory.allows(each):
        assert Memory(memory.available - allowed * each, kept).missing() == 0


def test_memory_that_is_short_is_asked_back() -> None:
    assert Memory(available=600, kept=512).missing() == 168
    assert Memory(available=600, kept=512).allows(each=20) == 0
    assert Memory(available=2000, kept=512).allows(each=100) == 9
