from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.core.turns import Turns


def drained(turns: Turns[str]) -> list[str]:
    return [turns.next() for _ in range(len(turns))]


def test_tenants_take_turns_and_keep_their_own_order() -> None:
    turns: Turns[str] = Turns()
    for name in ("a1", "a2", "a3", "b1", "c1", "c2"):
        turns.join(name[0], name)
    assert turns.lengths() == {"a": 3, "b": 1, "c": 2}
    assert drained(turns) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    with pytest.raises(IndexError):
        turns.next()


def test_who_leaves_holds_up_nobody() -> None:
    turns: Turns[str] = Turns()
    for name in ("a1", "a2", "b1"):
        turns.join(name[0], name)
    turns.leave("a", "a1")
    turns.leave("a", "a1")
    turns.leave("b", "b1")
    turns.leave("nobody", "x")
    assert turns.lengths() == {"a": 1}
    assert drained(turns) == ["a2"]


@given(st.lists(st.sampled_from("abcd")))
def test_nobody_is_passed_over_twice_by_the_same(order: list[str]) -> None:
    """Between one item of a tenant and its next, every other tenant that waits has had exactly one turn."""
    turns: Turns[tuple[str, int]] = Turns()
    for number, tenant in enumerate(order):
        turns.join(tenant, (tenant, number))
    out = [turns.next() for _ in order]
    assert sorted(out) == sorted((tenant, number) for number, tenant in enumerate(order))
    while out:
        present = {tenant for tenant, _ in out}
        turn, out = out[: len(present)], out[len(present) :]
        assert {tenant for tenant, _ in turn} == present
