"""Memory of any size is compared within a bounded window."""

from __future__ import annotations

import pytest

from sandlot.node.snapshots import known
from sandlot.node.snapshots.known import KnownPages
from sandlot.node.snapshots.manifest import Part, Run
from sandlot.node.snapshots.pages import PAGE


def part(count: int) -> Part:
    return Part(count * PAGE, True, ["pack"], [Run(0, count, 0, 0)], b"".join(map(sum_number, range(count))))


def sum_number(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_STEP", 8)


def test_all_pages_are_found_in_order_and_few_are_held() -> None:
    pages = KnownPages(part(1000))
    for number in range(1000):
        assert pages.find(sum_number(number)) == (0, number)
        assert len(pages._window) <= 4 * 8


@pytest.mark.parametrize("gone", [1, 7, 15])
def test_pages_that_went_are_passed_over(gone: int) -> None:
    pages = KnownPages(part(1000))
    kept = [number for number in range(1000) if number % 100 >= gone]
    assert [pages.find(sum_number(number)) for number in kept] == [(0, number) for number in kept]


def test_pages_that_came_are_not_found_and_hide_none_behind() -> None:
    pages = KnownPages(part(1000))
    for number in range(1000):
        assert pages.find(sum_number(5000 + number)) is None
        assert pages.find(sum_number(number)) == (0, number)


def test_a_page_that_is_there_many_times_is_found() -> None:
    same = Part(40 * PAGE, True, ["pack"], [Run(0, 40, 0, 0)], sum_number(7) * 40)
    pages = KnownPages(same)
    assert all(pages.find(sum_number(7)) is not None for _ in range(100))
