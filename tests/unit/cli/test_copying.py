from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Sandlot


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("folder/sub").mkdir(parents=True)
    Path("folder/sub/file").write_text("deep")
    Path("file").write_text("text")
    return tmp_path


def test_files_go_in_and_out(sandlot: Sandlot, sandbox: str) -> None:
    sandlot("cp", "file", f"{sandbox}:")
    sandlot("cp", "file", f"{sandbox[:12]}:renamed")
    sandlot("cp", "file", f"{sandbox}:new/folder/")
    sandlot("cp", f"{sandbox}:file", "back")
    sandlot("cp", f"{sandbox}:renamed", ".")
    sandlot("cp", f"{sandbox}:new/folder/file", "made/")
    assert [Path(name).read_text() for name in ("back", "renamed", "made/file")] == ["text"] * 3


def test_folders_go_in_and_out_as_cp_does_it(sandlot: Sandlot, sandbox: str) -> None:
    sandlot("cp", "folder", f"{sandbox}:new")
    assert sandlot("exec", sandbox, "cat", "new/sub/file").stdout == "deep"
    sandlot("cp", "folder", f"{sandbox}:new")
    assert sandlot("exec", sandbox, "cat", "new/folder/sub/file").stdout == "deep"
    sandlot("cp", "folder/.", f"{sandbox}:new")
    sandlot("cp", f"{sandbox}:new", "out")
    sandlot("cp", f"{sandbox}:new", "out")
    assert Path("out/sub/file").read_text() == Path("out/new/folder/sub/file").read_text() == "deep"
    sandlot("cp", f"{sandbox}:new/.", "out2")
    assert Path("out2/sub/file").exists()


def test_mistakes_are_named(sandlot: Sandlot, sandbox: str) -> None:
    assert "one of the two is ID:PATH" in sandlot("cp", "file", "other", code=2).stderr
    assert "No such file or directory: missing" in sandlot("cp", "missing", f"{sandbox}:x", code=1).stderr
    assert "missing" in sandlot("cp", f"{sandbox}:missing", "x", code=1).stderr
