from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandlot import NotFoundError, Sandbox, UnsafeArchiveError

from .stub import Stub


@pytest.fixture
def sandbox(stub: Stub) -> Sandbox:
    return Sandbox.create()


def test_text_bytes_files_and_iterables_are_written(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"from a file")
    with (tmp_path / "local").open("rb") as file:
        sandbox.files.write("a", file)
    sandbox.files.write("b", "größe")
    sandbox.files.write("c", (b"x" * 10, b"", b"y"))
    sandbox.files.write("d", io.StringIO("text file"))
    sandbox.files.write("e", memoryview(b"view"))
    texts = [sandbox.files.read(name) for name in "abcde"]
    assert texts == ["from a file", "größe", "x" * 10 + "y", "text file", "view"]
    assert sandbox.files.read_bytes("a", offset=5, length=3) == b"a f"
    assert b"".join(sandbox.files.stream("a", offset=5)) == b"a file"


def test_names_of_any_kind_arrive(sandbox: Sandbox) -> None:
    for name in ("with space & ? # % +.txt", "ünï/cødé", "quote'\"s"):
        sandbox.files.write(name, name)
        assert sandbox.files.read(name) == name


def test_what_a_generator_raises_is_raised(sandbox: Sandbox) -> None:
    sandbox.files.write("kept", "old")

    def stumbles() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError("stumbled")

    with pytest.raises(RuntimeError, match="stumbled"):
        sandbox.files.write("kept", stumbles())
    assert sandbox.files.read("kept") == "old"


def test_stat_list_exists_move_copy_remove(sandbox: Sandbox) -> None:
    info = sandbox.files.write("run.sh", "echo hi", mode=0o750)
    assert (info.mode, info.size, info.is_file, info.owner) == ("0750", 7, True, "user")
    assert sandbox.files.make_dir("folder")
    assert not sandbox.files.make_dir("folder")
    assert sandbox.files.stat("folder").is_dir
    sandbox.files.copy("run.sh", "folder/copy")
    sandbox.files.move("run.sh", "folder/moved")
    assert [file.name for file in sandbox.files.list("folder")] == ["copy", "moved"]
    assert not sandbox.files.exists("run.sh")
    sandbox.files.remove("folder")
    assert not sandbox.files.exists("folder")
    with pytest.raises(NotFoundError, match="folder"):
        sandbox.files.stat("folder")


def test_a_missing_sandbox_is_not_a_missing_file(stub: Stub, sandbox: Sandbox) -> None:
    stub.boxes.clear()
    with pytest.raises(NotFoundError, match="no sandbox"):
        sandbox.files.exists("x")


def test_watch_begins_before_the_block(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("inbox")
    with sandbox.files.watch("inbox") as events:
        sandbox.files.write("inbox/new", "x")
        event = next(event for event in events if not event.path.endswith(".part"))
    assert (event.kind, event.is_dir) == ("create", False)
    assert event.path.endswith("/new")


def test_a_file_goes_up_and_down(sandbox: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    source.chmod(0o755)
    sandbox.files.upload(source, "there")
    assert sandbox.files.stat("there").mode == "0755"
    target = sandbox.files.download("there", tmp_path / "deep" / "back")
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["back"]


def test_a_folder_goes_up_and_down(sandbox: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "sub" / ("long" * 40)).write_bytes(os.urandom(600_000))
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "sub" / "link").symlink_to("../run")
    os.mkfifo(source / "pipe")
    sandbox.files.upload(source, "up")
    sandbox.files.download("up", tmp_path / "back")
    (source / "pipe").unlink()
    assert _tree(tmp_path / "back") == _tree(source)


def test_downloading_to_a_folder_needs_a_name(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.files.write("x", "x")
    with pytest.raises(IsADirectoryError, match="name the file"):
        sandbox.files.download("x", tmp_path)
    with pytest.raises(FileNotFoundError):
        sandbox.files.upload(tmp_path / "missing", "x")


def test_links_out_of_the_folder_are_refused_and_the_rest_comes(
    stub: Stub, sandbox: Sandbox, tmp_path: Path
) -> None:
    box = stub.boxes[sandbox.id]
    (box.home / "out").mkdir()
    (box.home / "out" / "evil").symlink_to("/etc/passwd")
    (box.home / "out" / "good").write_text("good")
    with pytest.raises(UnsafeArchiveError, match="evil -> /etc/passwd") as caught:
        sandbox.files.download("out", tmp_path / "back")
    assert caught.value.refused == ["evil -> /etc/passwd"]
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["good"]


def _tree(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = path.readlink()
        elif path.is_file():
            found[name] = (path.read_bytes(), path.stat().st_mode & 0o777, int(path.stat().st_mtime))
        else:
            found[name] = "folder"
    return found
