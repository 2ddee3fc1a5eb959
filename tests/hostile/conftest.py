"""The programs that this run asks for are run together, once; each test then looks at its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hostile.program import Program
from tests.hostile.runner import Result
from tests.hostile.suite import OUT, run_suite
from tests.leftovers import Footprint


@dataclass(frozen=True)
class Suite:
    """What was run, and what came of it."""

    ran: Sequence[tuple[Program, str]]
    results: dict[tuple[str, str], Result]
    out: Path

    def result(self, program: Program, tier: str) -> Result:
        return self.results[program.name, tier]


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest, footprint: Footprint) -> Suite:
    """Only those programs whose tests were chosen. The report is in out/hostile."""
    calls = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    work = [(call["program"], call["tier"]) for call in calls if isinstance(call.get("program"), Program)]
    out = OUT
    ran = asyncio.run(run_suite(work, out))
    return Suite(work, {(result.program, result.tier): result for result in ran.results}, out)
