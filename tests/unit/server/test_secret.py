from __future__ import annotations

from pathlib import Path

import pytest

from sandlot.errors import InvalidArgument
from sandlot.server.secret import secret_of


def test_it_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    made = secret_of(tmp_path / "data")
    assert len(made) == 32
    assert secret_of(tmp_path / "data") == made
    assert (tmp_path / "data/secret").stat().st_mode & 0o777 == 0o600


def test_a_half_written_one_of_a_crash_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ".secret-crashed").write_bytes(b"ha")
    assert len(secret_of(tmp_path)) == 32
    assert len((tmp_path / "secret").read_bytes()) == 32


def test_a_spoilt_one_is_an_error_and_not_a_weaker_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    with pytest.raises(InvalidArgument, match="secret"):
        secret_of(tmp_path)
