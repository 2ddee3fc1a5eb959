"""Whatever happens to a file of the store: who restores hears which snapshot is damaged, others are whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sandlot.errors import Conflict
from sandlot.node.snapshots import SnapshotStore
from tests.unit.node.snapshots.conftest import PAGE, contents, pages, save

MEMORY = pages(*range(1, 41))
SECOND = pages(900) + MEMORY + pages(901)


def flip(path: Path) -> None:
    """One bit, in the middle of what is there."""
    with path.open("r+b") as file:
        middle = os.fstat(file.fileno()).st_size // 2
        byte = os.pread(file.fileno(), 1, middle)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 4]), middle)


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def zero_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(PAGE), 0)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


HARMS = [flip, shorten, empty, Path.unlink]


@pytest.fixture
def pair(folder: Path, store: SnapshotStore, tmp_path: Path) -> tuple[Path, Path]:
    """The packs of two snapshots, of which the second stands on the first."""
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    (first,) = (folder / "packs").iterdir()
    save(store, tmp_path / "work", "two", {"pages.img": SECOND}, like="one")
    (second,) = set((folder / "packs").iterdir()) - {first}
    return first, second


@pytest.mark.parametrize("harm", [*HARMS, zero_a_page, lengthen])
def test_a_damaged_pack_is_told_by_all_that_stand_on_it(
    pair: tuple[Path, Path], folder: Path, harm: Callable[[Path], None]
) -> None:
    harm(pair[0])
    store = SnapshotStore(folder, reserve_bytes=0)
    for id in ("one", "two"):
        if (id, harm) == ("two", lengthen):  # the pages that it needs are there
            continue
        with pytest.raises(Conflict, match=f"snapshot {id} is damaged"):
            contents(store, id, "pages.img")
        assert store.about(id) == {"of": id}
    assert list((folder / "copies").rglob("*.img")) == []


@pytest.mark.parametrize("harm", [*HARMS, zero_a_page])
def test_a_damaged_pack_is_nothing_to_others(
    pair: tuple[Path, Path], folder: Path, harm: Callable[[Path], None]
) -> None:
    harm(pair[1])
    store = SnapshotStore(folder, reserve_bytes=0)
    with pytest.raises(Conflict, match="snapshot two is damaged"):
        contents(store, "two", "pages.img")
    assert contents(store, "one", "pages.img") == {"pages.img": MEMORY}


@pytest.mark.parametrize("name", ["head", "index"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_manifest_is_told_and_can_be_deleted(
    pair: tuple[Path, Path], folder: Path, harm: Callable[[Path], None], name: str
) -> None:
    harm(folder / "manifests" / "one" / name)
    store = SnapshotStore(folder, reserve_bytes=0)
    with pytest.raises(Conflict, match="snapshot one is damaged"):
        contents(store, "one", "pages.img")
    assert store.ids() == {"one", "two"}
    store.delete("one")
    assert store.sweep({"two"}) == []
    assert contents(store, "two", "pages.img") == {"pages.img": SECOND}


def test_nothing_is_given_back_that_a_damaged_one_may_need(pair: tuple[Path, Path], folder: Path) -> None:
    """Its manifest may be put back, from a backup or by a newer version."""
    head = folder / "manifests" / "two" / "head"
    saved = head.read_bytes()
    flip(head)
    store = SnapshotStore(folder, reserve_bytes=0)
    store.delete("one")
    store.sweep({"two"})
    head.write_bytes(saved)
    assert contents(SnapshotStore(folder, reserve_bytes=0), "two", "pages.img") == {"pages.img": SECOND}


def test_what_waited_for_a_damaged_one_is_given_back_once_it_is_deleted(
    pair: tuple[Path, Path], folder: Path
) -> None:
    flip(folder / "manifests" / "two" / "head")
    store = SnapshotStore(folder, reserve_bytes=0)
    store.delete("one")
    store.delete("two")
    store.sweep(set())
    assert list((folder / "packs").iterdir()) == list((folder / "gone").iterdir()) == []


def test_a_manifest_of_a_later_version_says_so(pair: tuple[Path, Path], folder: Path) -> None:
    from sandlot.node.snapshots.pages import sum_of

    body = b'{"id":"one","version":2,"pages":"elsewhere"}'
    (folder / "manifests" / "one" / "head").write_bytes(body + b"\n" + sum_of(body).hex().encode())
    with pytest.raises(Conflict, match=r"snapshot one is of another version"):
        SnapshotStore(folder, reserve_bytes=0).about("one")
