"""The witness sees what a program that got out would do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.witness import Standing

HARM: dict[str, Callable[[Path], object]] = {
    "overwritten": lambda folder: (folder / "secret").write_text("other"),
    "removed": lambda folder: (folder / "secret").unlink(),
    "made open to all": lambda folder: (folder / "secret").chmod(0o777),
    "joined by another": lambda folder: (folder / "owned").touch(),
}


@pytest.mark.parametrize("what", HARM)
def test_a_canary_that_is(what: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the host's")
    before = Standing.take(tmp_path)
    assert before.changes(Standing.take(tmp_path)) == []
    HARM[what](tmp_path)
    [change] = before.changes(Standing.take(tmp_path))
    assert str(tmp_path) in change
