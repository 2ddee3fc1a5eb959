"""Who yields the processors, on groups that use what they are told to."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sandlot.node.fairness import TICK_S, Fairness


@dataclass
class FakeGroup:
    uses: float
    """Processors."""
    wants: bool = False
    gone: bool = False
    seconds: float = 0.0
    yields: bool = False

    def cpu_seconds(self) -> float:
        if self.gone:
            raise FileNotFoundError
        return self.seconds

    def wants_to_run(self) -> bool:
        return self.wants

    def yield_processors(self, on: bool) -> None:
        if self.gone:
            raise FileNotFoundError
        self.yields = on


class World:
    def __init__(self, **groups: FakeGroup) -> None:
        self.groups = groups
        self._fairness = Fairness(lambda: self.groups)

    def pass_by(self, ticks: int, *, short: bool = True) -> None:
        for _ in range(ticks):
            for group in self.groups.values():
                group.seconds += group.uses * TICK_S
            self._fairness.look(self.groups, TICK_S, short=short)

    def yielding(self) -> set[str]:
        return {id for id, group in self.groups.items() if group.yields}


def test_who_computes_without_end_yields_to_who_asks_now_and_then() -> None:
    world = World(quiet=FakeGroup(0.2), spins=FakeGroup(1.0))
    world.pass_by(8)
    assert world.yielding() == {"spins"}


def test_a_crowd_of_which_nobody_gets_much_yields_nonetheless() -> None:
    crowd = {f"hostile{n}": FakeGroup(0.18 + n / 100) for n in range(8)}
    world = World(quiet=FakeGroup(0.04), **crowd)
    for _ in range(8):
        world.pass_by(2)
        first = [group for group in crowd.values() if not group.yields]
        for group in crowd.values():  # who yields gets what the others leave
            group.uses = 0.1 if group.yields else min(1.0, 1.6 / len(first))
    assert world.yielding() == crowd.keys()


def test_many_that_each_want_little_are_left_alone() -> None:
    world = World(**{f"sb{n}": FakeGroup(0.02) for n in range(100)})
    world.pass_by(20)
    assert world.yielding() == set()


def test_with_processors_to_spare_nobody_yields() -> None:
    world = World(spins=FakeGroup(1.0))
    world.pass_by(20, short=False)
    assert world.yielding() == set()


def test_who_has_rested_yields_no_more() -> None:
    world = World(builds=FakeGroup(1.0))
    world.pass_by(8)
    assert world.yielding() == {"builds"}
    world.groups["builds"].uses = 0.0
    world.pass_by(8)
    assert world.yielding() == set()


def test_who_is_merely_given_nothing_has_not_rested() -> None:
    world = World(spins=FakeGroup(1.0, wants=True))
    world.pass_by(8)
    world.groups["spins"].uses = 0.0
    world.pass_by(20)
    assert world.yielding() == {"spins"}


@pytest.mark.parametrize("short", [True, False])
def test_who_is_frozen_comes_back_without_yielding(short: bool) -> None:
    builds = FakeGroup(1.0)
    world = World(builds=builds)
    world.pass_by(8)
    del world.groups["builds"]
    world.pass_by(1, short=short)
    assert not builds.yields


def test_one_that_ends_in_between_is_no_trouble_for_the_others() -> None:
    world = World(ends=FakeGroup(1.0), spins=FakeGroup(1.0))
    world.pass_by(8)
    world.groups["ends"].gone = True
    world.pass_by(1)
    del world.groups["ends"]
    world.groups["spins"].uses = 0.0
    world.pass_by(8)
    assert not world.groups["spins"].yields
