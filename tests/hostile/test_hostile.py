"""Every hostile program on every tier: what must come of it, and that it came to that."""

from __future__ import annotations

import pytest

from tests.hostile import report
from tests.hostile.conftest import Suite
from tests.hostile.program import TIERS, Program, every_program
from tests.hostile.runner import Result, Tail

PROGRAMS = every_program()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_came_of(suite: Suite, program: Program, tier: str) -> None:
    result = suite.result(program, tier)
    if not result.applicable:
        pytest.skip(result.said)
    assert result.as_expected, result.explained


def test_the_report_tells_of_every_program(suite: Suite) -> None:
    text = (suite.out / "report.html").read_text()
    for program, tier in suite.ran:
        assert f'id="{program.name}"' in text
        assert f"<th>{tier}" in text
    assert "http://" not in text.split("</style>")[0]


def test_there_are_enough_programs_in_enough_languages() -> None:
    assert len(PROGRAMS) >= 150
    assert len({program.language for program in PROGRAMS}) >= 5
    assert all(program.tries.endswith(".") for program in PROGRAMS)


def test_a_secret_is_found_in_whatever_pieces_it_comes() -> None:
    tail = Tail([b"the-host's-secret"])
    for piece in ("x" * 10_000, "the-ho", "st's-s", "ecret"):
        assert not tail.leaked
        tail.add(piece)
    assert tail.leaked


def test_the_report_obeys_nothing_that_a_guest_wrote() -> None:
    [program] = [one for one in PROGRAMS if one.name == "escape/kexec"]
    hostile = "<script>alert(1)</script>\x1b[2J"
    result = Result(program.name, "gvisor", "denied", hostile, ("denied",), hostile, output=hostile)
    text = report.html([program], [result], 1.0)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text


def test_harm_is_told_first() -> None:
    [program] = [one for one in PROGRAMS if one.name == "escape/kexec"]
    result = Result(program.name, "gvisor", "escaped", "", ("denied",), harm=("the host's clock was set",))
    text = report.html([program], [result], 1.0)
    assert "No program left its sandbox" not in text
    assert "the host&#x27;s clock was set" in text
    assert not result.as_expected


def test_every_category_has_a_heading() -> None:
    assert {program.category for program in PROGRAMS} == set(report.CATEGORIES)
