"""Archives from a hostile sandbox: whatever is in them, nothing outside the folder is touched."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandlot.sdk import SandboxError, UnsafeArchiveError
from sandlot.sdk._tar import PulledFile, unpack


def entry(name: str, *, kind: bytes = tarfile.REGTYPE, target: str = "", data: bytes = b"") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, target, len(data), 0o7777
    padding = b"\0" * (-len(data) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.PAX_FORMAT) + data + padding


def link(name: str, target: str) -> bytes:
    return entry(name, kind=tarfile.SYMTYPE, target=target)


END = b"\0" * 1024


def extract(folder: Path, *entries: bytes) -> int:
    return unpack(PulledFile(iter([*entries, END, b"", b""]).__next__), folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outer" / "folder"


@pytest.mark.parametrize(
    "bad",
    [
        entry("../outside", data=b"x"),
        entry("/tmp/outside-of-it", data=b"x"),
        entry("a/../../outside", data=b"x"),
        link("up", ".."),
        link("up", "../.."),
        link("a/up", "../../x"),
        link("up", "/"),
        link("up", "x/../.."),
        entry("hard", kind=tarfile.LNKTYPE, target="good"),
        entry("device", kind=tarfile.CHRTYPE),
        entry("pipe", kind=tarfile.FIFOTYPE),
    ],
)
def test_what_would_leave_the_folder_is_refused_and_the_rest_written(folder: Path, bad: bytes) -> None:
    with pytest.raises(UnsafeArchiveError):
        extract(folder, bad, entry("good", data=b"good"))
    assert [path.name for path in folder.rglob("*")] == ["good"]
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_nothing_is_written_through_a_link_of_the_archive(folder: Path) -> None:
    with pytest.raises(UnsafeArchiveError, match="d -> real"):
        extract(folder, link("d", "real"), entry("d/file", data=b"x"), entry("real/other", data=b"y"))
    assert (folder / "d" / "file").read_bytes() == b"x"
    assert not (folder / "real" / "file").exists()


def test_a_link_that_stands_in_the_way_is_replaced_not_followed(folder: Path) -> None:
    folder.mkdir(parents=True)
    victim = folder.parent / "victim"
    victim.write_text("safe")
    (folder / "file").symlink_to(victim)
    extract(folder, entry("file", data=b"new"))
    assert victim.read_text() == "safe"
    assert (folder / "file").read_text() == "new"
    assert not (folder / "file").is_symlink()


def test_no_file_comes_with_more_rights_than_it_should(folder: Path) -> None:
    extract(folder, entry("file", data=b"x"))
    assert (folder / "file").stat().st_mode & 0o7777 == 0o755


def test_a_cut_archive_is_an_error(folder: Path) -> None:
    whole = entry("file", data=b"x" * 5000)
    with pytest.raises(SandboxError, match="did not arrive whole"):
        unpack(PulledFile(iter([whole[:2000], b"", b""]).__next__), folder)
    assert list(folder.iterdir()) == []


KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
NAMES = st.sampled_from(["a", "b", "a/b", "b/a", "a/b/c", "..", "../x", ".", "a/..", "/x", "c"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES, KINDS)))
def test_no_archive_writes_or_leads_outside(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str, bytes]]
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    folder = outer / "folder"
    with contextlib.suppress(SandboxError, OSError):
        extract(folder, *(entry(name, kind=kind, target=target) for name, target, kind in entries))
    assert [path.name for path in outer.iterdir()] == ["folder"]
    for path in folder.rglob("*"):
        if path.is_symlink():
            with contextlib.suppress(RuntimeError):  # a loop leads nowhere
                assert path.resolve().is_relative_to(folder)


def test_reading_in_pieces_of_any_size() -> None:
    stream = io.BufferedReader(PulledFile(iter([b"ab", b"c", b"defgh", b"", b""]).__next__), 3)
    assert stream.read() == b"abcdefgh"
