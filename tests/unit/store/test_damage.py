"""A database file that is none: said plainly, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandlot.errors import Unavailable
from sandlot.store import Database, sqlite_url


async def test_a_damaged_file_is_named_so_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "sandlot.db"
    path.write_bytes(b"once upon a time" * 1000)
    database = Database(sqlite_url(path))
    with pytest.raises(Unavailable, match=r"damaged.*docs/lifecycle\.md"):
        await database.open()
    await database.close()
    assert path.read_bytes() == b"once upon a time" * 1000
