"""On a file system of a few MiB, which really is full then."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandlot.errors import NotEnoughSpace
from sandlot.node.snapshots import SnapshotStore, Space
from tests.unit.node.snapshots.conftest import PAGE, contents, data_bytes, leftovers, pages, save, sparse

MEMORY = pages(*range(1, 101))
OTHER = pages(*range(1001, 2001))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_nothing_is_left_of_what_did_not_fit(small: Path, tmp_path: Path) -> None:
    store = SnapshotStore(small / "store", reserve_bytes=0)
    save(store, small / "work", "one", {"pages.img": MEMORY})
    before = leftovers(small / "store"), data_bytes(small / "store")
    too_big = sparse(tmp_path / "pages.img", OTHER)
    for like in (None, "one"):
        with pytest.raises(NotEnoughSpace, match="host has"):
            store.save("two", {"pages.img": too_big}, {}, like=like)
        assert (leftovers(small / "store"), data_bytes(small / "store")) == before
    assert contents(store, "one", "pages.img") == {"pages.img": MEMORY}
    assert store.ids() == {"one"}


def test_what_the_disk_itself_refuses_is_told_in_the_same_way(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Space, "check", lambda *_: None)  # somebody else takes the space in between
    store = SnapshotStore(small / "store", reserve_bytes=0)
    save(store, small / "work", "one", {"pages.img": MEMORY})
    before = leftovers(small / "store")
    with pytest.raises(NotEnoughSpace, match="disk is full"):
        store.save("two", {"pages.img": sparse(tmp_path / "pages.img", OTHER)}, {}, like="one")
    assert leftovers(small / "store") == before
    assert contents(store, "one", "pages.img") == {"pages.img": MEMORY}


def test_the_reserve_stays_free(small: Path) -> None:
    store = SnapshotStore(small / "store", reserve_bytes=2 << 20)
    save(store, small / "work", "one", {"pages.img": MEMORY})
    with pytest.raises(NotEnoughSpace, match="less 2 MiB kept"):
        save(store, small / "work", "two", {"pages.img": OTHER[: 200 * PAGE]})
    assert store.ids() == {"one"}


def test_copies_make_room(small: Path, tmp_path: Path) -> None:
    store = SnapshotStore(small / "store", reserve_bytes=0)
    memory = OTHER[: 250 * PAGE]
    save(store, tmp_path / "work", "base", {"pages.img": memory})
    for id in ("one", "two", "three"):
        save(store, tmp_path / "work", id, {"pages.img": memory + pages(5)}, like="base")
        assert contents(store, id, "pages.img") == {"pages.img": memory + pages(5)}
    save(store, tmp_path / "work", "four", {"pages.img": MEMORY * 2})
    assert contents(store, "four", "pages.img") == {"pages.img": MEMORY * 2}


def test_no_room_for_a_copy_is_told_and_nothing_is_left_of_it(small: Path, tmp_path: Path) -> None:
    store = SnapshotStore(small / "store", reserve_bytes=0)
    memory = OTHER[: 500 * PAGE]
    save(store, small / "work", "base", {"pages.img": memory})
    save(store, tmp_path / "work", "one", {"pages.img": memory + pages(5)}, like="base")
    with pytest.raises(NotEnoughSpace, match="host has"):
        contents(store, "one", "pages.img")
    assert list((small / "store" / "copies").rglob("*.img")) == []
    assert contents(store, "base", "pages.img") == {"pages.img": memory}
