from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sandlot.node import hugetext, syscalls


def test_without_huge_pages_the_program_itself_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "no such option")

    monkeypatch.setattr(syscalls, "mount", refuse)
    program, folder = tmp_path / "runsc", tmp_path / "runtime"
    program.write_bytes(b"\x7fELF")
    assert hugetext.place(program, folder) == program
    assert not folder.exists()
