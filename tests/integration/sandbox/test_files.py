"""Files and folders, on both tiers."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from sandlot import Sandbox
from sandlot.sdk import ConflictError, InvalidArgumentError, NotFoundError, PermissionDeniedError


def test_text_bytes_and_files_come_back(sandbox: Sandbox) -> None:
    sandbox.files.write("note.txt", "grüße\n")
    assert sandbox.files.read_text("/home/user/note.txt") == "grüße\n"
    blob = os.urandom(5_000_000)
    sandbox.files.write("/tmp/deep/er/blob", io.BytesIO(blob))
    assert sandbox.files.read_bytes("/tmp/deep/er/blob") == blob
    sandbox.files.write("empty", b"")
    assert sandbox.files.read_bytes("empty") == b""


def test_a_new_file_belongs_to_user_and_a_replaced_one_keeps_its_mode(sandbox: Sandbox) -> None:
    info = sandbox.files.write("run.sh", "echo 1\n", mode=0o750)
    assert (info.owner, info.mode, info.size, info.kind) == ("user", "0750", 7, "file")
    sandbox.files.write("run.sh", "echo 2\n")
    assert sandbox.files.stat("run.sh").mode == "0750"
    assert sandbox.commands.run("./run.sh || sh run.sh").stdout == "2\n"


def test_list_depth_stat_exists(sandbox: Sandbox) -> None:
    for path in ("tree/a.txt", "tree/b/c.txt", "tree/b/d/e.txt"):
        sandbox.files.write(path, path)
    assert sorted(f.name for f in sandbox.files.list("tree")) == ["a.txt", "b"]
    deep = sorted(f.path for f in sandbox.files.list("tree", depth=2))
    assert deep == [f"/home/user/tree/{p}" for p in ("a.txt", "b", "b/c.txt", "b/d")]
    assert sandbox.files.exists("tree/b")
    assert not sandbox.files.exists("tree/zzz")
    assert sandbox.files.stat("tree/b").kind == "dir"


def test_make_move_copy_remove(sandbox: Sandbox) -> None:
    assert sandbox.files.make_dir("work/x/y") is True
    assert sandbox.files.make_dir("work/x/y") is False
    sandbox.files.write("work/x/y/f", "1")
    sandbox.files.copy("work/x", "work/copy")
    sandbox.files.move("work/x", "work/moved")
    assert sandbox.files.read_text("work/copy/y/f") == sandbox.files.read_text("work/moved/y/f") == "1"
    assert not sandbox.files.exists("work/x")
    sandbox.files.remove("work")
    assert not sandbox.files.exists("work")


def test_mistakes_are_named(sandbox: Sandbox) -> None:
    with pytest.raises(NotFoundError, match="nothing-here"):
        sandbox.files.read_bytes("nothing-here")
    with pytest.raises(InvalidArgumentError, match="NUL"):
        sandbox.files.read_bytes("a\0b")
    with pytest.raises(PermissionDeniedError):
        sandbox.files.write("/etc/shadow", "x")
    with pytest.raises((InvalidArgumentError, ConflictError), match="folder"):
        sandbox.files.read_bytes("/etc")
    sandbox.files.write("/etc/motd.new", "as root\n", user="root")
    assert sandbox.files.stat("/etc/motd.new").owner == "root"


def test_symlinks_lead_nowhere_outside(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "host-secret"
    secret.write_text("of the host")
    sandbox.commands.run(f"ln -sf {secret} link; ln -sfn / rootlink")
    with pytest.raises(NotFoundError):
        sandbox.files.read_bytes("link")
    with pytest.raises(NotFoundError):
        sandbox.files.read_bytes(f"rootlink{secret}")
    with pytest.raises(NotFoundError):
        sandbox.files.read_bytes("/" + "../" * 40 + str(secret))
    sandbox.files.write("rootlink/tmp/inside", "x")
    assert sandbox.files.exists("/tmp/inside")
    assert secret.read_text() == "of the host"


def test_folders_up_and_down(sandbox: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "sub" / "data.bin").write_bytes(os.urandom(700_000))
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("run")
    sandbox.files.upload(source, "uploaded")
    assert sandbox.commands.run("cd uploaded && find . | sort").stdout.split() == [
        ".", "./link", "./run", "./sub", "./sub/data.bin", "./sub/empty",
    ]  # fmt: skip
    assert sandbox.commands.run("./uploaded/run; readlink uploaded/link").stdout == "run\n"
    sandbox.files.download("uploaded", tmp_path / "back")
    assert (tmp_path / "back/sub/data.bin").read_bytes() == (source / "sub/data.bin").read_bytes()
    assert (tmp_path / "back/sub/empty").is_dir()
    assert os.access(tmp_path / "back/run", os.X_OK)
    assert (tmp_path / "back/link").readlink() == Path("run")


def test_a_large_file_arrives_whole(sandbox: Sandbox) -> None:
    chunk = hashlib.sha256(b"seed").digest() * 32768
    expected = hashlib.sha256()

    def chunks() -> object:
        for _ in range(200):
            expected.update(chunk)
            yield chunk

    sandbox.files.write("large", chunks())
    there = sandbox.commands.run("sha256sum large", timeout=120).stdout.split()[0]
    back = hashlib.sha256()
    for piece in sandbox.files.stream("large"):
        back.update(piece)
    sandbox.files.remove("large")
    assert there == expected.hexdigest() == back.hexdigest()


def test_a_broken_upload_leaves_the_old_file(sandbox: Sandbox) -> None:
    sandbox.files.write("kept", "old")

    def breaks() -> object:
        yield b"new" * 1000
        raise RuntimeError("the client stumbles")

    with pytest.raises(RuntimeError, match="stumbles"):
        sandbox.files.write("kept", breaks())
    assert sandbox.files.read_text("kept") == "old"


def test_watch_sees_what_happens_below(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("watched")
    with sandbox.files.watch("watched", recursive=True) as watcher:
        sandbox.commands.run("mkdir watched/sub && echo 1 > watched/sub/f && rm watched/sub/f")
        seen: set[tuple[str, str]] = set()
        for event in watcher:
            seen.add((event.kind, Path(event.path).name))
            if event.kind == "remove":
                break
    assert ("create", "sub") in seen
    assert ("remove", "f") in seen


def test_links_are_listed_without_a_complaint(sandbox: Sandbox) -> None:
    listed = sandbox.commands.run(["ls", "-la", "/"], user="root")
    assert (listed.exit_code, listed.stderr) == (0, "")


def test_a_watch_sees_a_written_file_and_not_how_it_was_written(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("inbox")
    with sandbox.files.watch("inbox") as watcher:
        sandbox.files.write("inbox/letter", "dear sandbox")
        sandbox.files.write("inbox/letter", "dear sandbox, once more")
        events = [next(watcher) for _ in range(3)]
    assert [(event.kind, Path(event.path).name) for event in events] == [
        ("create", "letter"), ("write", "letter"), ("write", "letter"),
    ]  # fmt: skip
