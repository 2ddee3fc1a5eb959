"""The page of promises names tests; a test that is gone holds nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "security.md"
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE.read_text())))


@pytest.mark.parametrize("named", NAMED)
def test_what_holds_a_promise_exists(named: str) -> None:
    path, _, test = named.partition("::")
    assert (ROOT / path).exists(), f"docs/security.md names {path}, which is not there"
    if test:
        assert re.search(rf"^(?:async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), (
            f"docs/security.md names {named}, which is not there"
        )


def test_every_promise_is_held_by_a_test() -> None:
    table = PAGE.read_text().split("| promise | held by |")[1].split("\n\n")[0]
    rows = [line for line in table.splitlines()[2:] if line.startswith("|")]
    assert len(rows) >= 20
    assert all("`tests/" in row.split("|")[2] for row in rows), rows
