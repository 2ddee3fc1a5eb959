from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sandlot.errors import Conflict
from sandlot.server.lock import locked


def test_a_data_folder_has_one_server(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with locked(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with pytest.raises(Conflict, match=f"process {os.getpid()}.*--data-dir"), locked(folder):
            pass
    with locked(folder):
        pass
