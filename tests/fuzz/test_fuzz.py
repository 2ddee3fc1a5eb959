"""Each parser of bytes that nobody vouches for: what once broke it, and a few seconds of what might."""

from __future__ import annotations

import os

import pytest

from tests.fuzz import targets

SECONDS = 2

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the agent's file calls are fuzzed in a mount namespace"
)


@pytest.mark.parametrize("target", targets.ALL)
def test_parser(target: str) -> None:
    if target in targets.PYTHON and os.uname().machine != "x86_64":
        pytest.skip("atheris is built for x86-64 only")
    outcome = targets.fuzz(target, SECONDS)
    assert outcome.crash is None, f"{target} broke on {outcome.crash!r}:\n{outcome.log[-4000:]}"
    assert outcome.runs > 10, f"{target} hardly ran:\n{outcome.log[-4000:]}"
