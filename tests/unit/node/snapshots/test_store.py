from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandlot.errors import Conflict, InvalidArgument, NotFound
from sandlot.node.snapshots import SnapshotStore
from tests.unit.node.snapshots.conftest import (
    PAGE,
    contents,
    data_bytes,
    leftovers,
    pages,
    save,
    sparse,
)

MEMORY = pages(*range(1, 201))


def test_what_was_saved_comes_back(store: SnapshotStore, tmp_path: Path) -> None:
    files = {"pages.img": pages(1, 0, 2, 0, 0, 3), "checkpoint.img": b"state" * 1000, "nothing": b""}
    save(store, tmp_path / "work", "one", files)
    assert contents(store, "one", *files) == files
    assert store.about("one") == {"of": "one"}
    assert store.ids() == {"one"}


def test_it_is_there_after_a_restart(store: SnapshotStore, folder: Path, tmp_path: Path) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY + pages(900)}, like="one")
    again = SnapshotStore(folder, reserve_bytes=0)
    assert again.sweep({"one", "two"}) == []
    assert contents(again, "one", "pages.img") == {"pages.img": MEMORY}
    assert contents(again, "two", "pages.img") == {"pages.img": MEMORY + pages(900)}


def test_the_next_snapshot_keeps_only_what_changed_wherever_it_moved(
    store: SnapshotStore, folder: Path, tmp_path: Path
) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    before = data_bytes(folder)
    changed = pages(900) + MEMORY[: 50 * PAGE] + pages(901, 902) + MEMORY[60 * PAGE :]
    added = save(store, tmp_path / "work", "two", {"pages.img": changed}, like="one")
    assert data_bytes(folder) - before == 3 * PAGE
    assert 3 * PAGE <= added < 20 * PAGE
    assert contents(store, "two", "pages.img") == {"pages.img": changed}


def test_an_unchanged_file_takes_no_space(store: SnapshotStore, folder: Path, tmp_path: Path) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    before = data_bytes(folder)
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY}, like="one")
    assert data_bytes(folder) == before
    assert contents(store, "two", "pages.img") == {"pages.img": MEMORY}


def test_a_disk_of_gigabytes_takes_what_is_in_it(store: SnapshotStore, folder: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    size = 10 << 30
    with disk.open("wb") as file:
        file.truncate(size)
        os.pwrite(file.fileno(), pages(1, 2), 5 << 30)
    store.save("one", {"disk.img": disk}, {})
    with disk.open("r+b") as file:  # as the next copy of the disk would be
        os.pwrite(file.fileno(), pages(3), 9 << 30)
        disk.rename(tmp_path / "next.img")
    store.save("two", {"disk.img": _copy(tmp_path / "next.img", tmp_path / "copy.img")}, {}, like="one")
    with store.open("two", ["disk.img"]) as copy:
        made = copy.files["disk.img"]
        assert made.stat().st_size == size
        assert made.stat().st_blocks * 512 <= 64 * PAGE
        with made.open("rb") as file:
            assert os.pread(file.fileno(), 2 * PAGE, 5 << 30) == pages(1, 2)
            assert os.pread(file.fileno(), PAGE, 9 << 30) == pages(3)


def _copy(source: Path, target: Path) -> Path:
    with source.open("rb") as old, target.open("wb") as new:
        new.truncate(source.stat().st_size)
        for offset in (5 << 30, 9 << 30):
            os.pwrite(new.fileno(), os.pread(old.fileno(), 2 * PAGE, offset), offset)
    return target


@pytest.mark.parametrize("first", ["one", "two"])
def test_deleting_one_never_breaks_another(
    store: SnapshotStore, folder: Path, tmp_path: Path, first: str
) -> None:
    files = {"one": MEMORY, "two": pages(900) + MEMORY[PAGE:], "three": pages(900, 901) + MEMORY[2 * PAGE :]}
    save(store, tmp_path / "work", "one", {"pages.img": files["one"]})
    save(store, tmp_path / "work", "two", {"pages.img": files["two"]}, like="one")
    save(store, tmp_path / "work", "three", {"pages.img": files["three"]}, like="two")
    store.delete(first)
    store.delete(first)
    for id in sorted({"one", "two", "three"} - {first}):
        assert contents(store, id, "pages.img") == {"pages.img": files[id]}
    with pytest.raises(NotFound, match=first):
        store.about(first)
    for id in files:
        store.delete(id)
    assert leftovers(folder) == []


def test_pages_that_nobody_needs_any_more_are_given_back(
    store: SnapshotStore, folder: Path, tmp_path: Path
) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY[150 * PAGE :]}, like="one")
    store.delete("one")
    assert data_bytes(folder) == 50 * PAGE


def test_a_page_counts_for_the_oldest_that_has_it(store: SnapshotStore, tmp_path: Path) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY[50 * PAGE :] + pages(900)}, like="one")
    save(store, tmp_path / "work", "three", {"pages.img": MEMORY[20 * PAGE :] + pages(900)}, like="one")
    save(store, tmp_path / "work", "four", {"pages.img": MEMORY[60 * PAGE :] + pages(900)}, like="two")
    assert store.delete("one") == {"two": 150 * PAGE, "three": 30 * PAGE}
    assert store.delete("one") == {}
    assert store.delete("four") == {}
    assert store.delete("two") == {"three": 150 * PAGE}
    assert store.delete("three") == {}


def test_who_restores_is_not_disturbed_by_a_deletion(
    store: SnapshotStore, folder: Path, tmp_path: Path
) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY[PAGE:] + pages(900)}, like="one")
    with store.open("one", ["pages.img"]) as whole, store.open("two", ["pages.img"]) as joined:
        store.delete("one")
        store.delete("two")
        assert store.ids() == set()
        assert whole.files["pages.img"].read_bytes() == MEMORY
        assert joined.files["pages.img"].read_bytes() == MEMORY[PAGE:] + pages(900)
    assert leftovers(folder) == []


def test_an_id_is_used_once_and_again_after_it_is_free(store: SnapshotStore, tmp_path: Path) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    with pytest.raises(Conflict, match="one already"):
        save(store, tmp_path / "work", "one", {"pages.img": pages(5)})
    assert contents(store, "one", "pages.img") == {"pages.img": MEMORY}
    with store.open("one", ["pages.img"]) as old:
        store.delete("one")
        save(store, tmp_path / "work", "one", {"pages.img": pages(5)})
        assert old.files["pages.img"].read_bytes() == MEMORY
        assert contents(store, "one", "pages.img") == {"pages.img": pages(5)}


@pytest.mark.parametrize("like", ["never-was", "damaged"])
def test_without_a_usable_former_one_all_is_kept(
    store: SnapshotStore, folder: Path, tmp_path: Path, like: str
) -> None:
    save(store, tmp_path / "work", "damaged", {"pages.img": MEMORY})
    (folder / "manifests" / "damaged" / "index").write_bytes(b"?")
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY}, like=like)
    assert contents(store, "two", "pages.img") == {"pages.img": MEMORY}


def test_names_that_lead_elsewhere_are_refused(store: SnapshotStore) -> None:
    for id in ("../one", "", "a/b", ".", "One"):
        with pytest.raises(InvalidArgument, match="snapshot id"):
            store.save(id, {}, {})


def test_a_file_that_was_not_kept_is_not_found(store: SnapshotStore, tmp_path: Path) -> None:
    save(store, tmp_path / "work", "one", {"disk.img": MEMORY})
    with pytest.raises(NotFound, match=r"no pages\.img"), store.open("one", ["pages.img"]):
        pass


def test_ten_restores_at_once_put_it_together_once(store: SnapshotStore, tmp_path: Path) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY + pages(900)}, like="one")
    all_there = threading.Barrier(10)

    def restore(_: int) -> int:
        with store.open("two", ["pages.img"]) as copy:
            all_there.wait(30)
            return copy.files["pages.img"].stat().st_ino

    with ThreadPoolExecutor(10) as threads:
        assert len(set(threads.map(restore, range(10)))) == 1


def test_copies_are_kept_within_their_bound(folder: Path, tmp_path: Path) -> None:
    store = SnapshotStore(folder, reserve_bytes=0, copies_bytes=len(MEMORY) * 3 // 2)
    save(store, tmp_path / "work", "base", {"pages.img": MEMORY})
    inodes = {}
    for id in ("one", "two"):
        save(store, tmp_path / "work", id, {"pages.img": MEMORY}, like="base")
        with store.open(id, ["pages.img"]) as copy:
            inodes[id] = copy.folder
    assert not inodes["one"].exists()
    assert inodes["two"].exists()


def test_copies_of_an_earlier_run_are_not_trusted(store: SnapshotStore, folder: Path, tmp_path: Path) -> None:
    save(store, tmp_path / "work", "base", {"pages.img": MEMORY})
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY}, like="base")
    with store.open("one", ["pages.img"]) as copy:
        kept = copy.files["pages.img"]
    kept.write_bytes(b"somebody was here")
    assert contents(SnapshotStore(folder, reserve_bytes=0), "one", "pages.img") == {"pages.img": MEMORY}


def test_files_on_another_disk_are_copied(store: SnapshotStore, tmp_path: Path) -> None:
    other = Path("/dev/shm") / f"sandlot-test-{os.getpid()}"
    assert other.parent.stat().st_dev != tmp_path.stat().st_dev
    try:
        store.save("one", {"pages.img": sparse(other, MEMORY)}, {})
    finally:
        other.unlink()
    assert contents(store, "one", "pages.img") == {"pages.img": MEMORY}


def test_sweeping_leaves_what_is_being_saved(store: SnapshotStore, tmp_path: Path) -> None:
    save(store, tmp_path / "work", "base", {"pages.img": MEMORY})
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            store.sweep({f"s{number}" for number in range(30)} | {"base"})

    with ThreadPoolExecutor(1) as threads:
        sweeping = threads.submit(sweep)
        try:
            for number in range(30):
                like = "base" if number % 2 else None
                save(
                    store,
                    tmp_path / "work",
                    f"s{number}",
                    {"pages.img": MEMORY + pages(number + 500)},
                    like=like,
                )
        finally:
            stop.set()
        sweeping.result()
    for number in range(30):
        assert contents(store, f"s{number}", "pages.img") == {"pages.img": MEMORY + pages(number + 500)}


def test_a_former_one_deleted_meanwhile_is_shared_all_the_same(
    store: SnapshotStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY})
    real = SnapshotStore._publish

    def delete_first(self: SnapshotStore, *arguments: object) -> int:
        self.delete("one")
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SnapshotStore, "_publish", delete_first)
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY[PAGE:]}, like="one")
    assert contents(store, "two", "pages.img") == {"pages.img": MEMORY[PAGE:]}
    assert data_bytes(folder) == len(MEMORY) - PAGE


def test_a_short_last_page_is_shared_with_one_that_is_filled_up(store: SnapshotStore, tmp_path: Path) -> None:
    """Zeros follow it; the pack that it lies in ends with it."""
    save(store, tmp_path / "work", "one", {"pages.img": MEMORY + b"tail"})
    longer = MEMORY + b"tail" + bytes(PAGE - 4) + pages(900)
    save(store, tmp_path / "work", "two", {"pages.img": longer}, like="one")
    save(store, tmp_path / "work", "three", {"pages.img": MEMORY + b"tail\0"}, like="two")
    assert contents(store, "two", "pages.img") == {"pages.img": longer}
    assert contents(store, "three", "pages.img") == {"pages.img": MEMORY + b"tail\0"}


def test_a_file_that_somebody_else_has_a_link_to_stays_his(store: SnapshotStore, tmp_path: Path) -> None:
    """As the memory of a sandbox that is kept on disk: it must not get holes when a snapshot goes."""
    his = sparse(tmp_path / "his", MEMORY)
    (tmp_path / "linked").hardlink_to(his)
    store.save("one", {"pages.img": tmp_path / "linked"}, {})
    save(store, tmp_path / "work", "two", {"pages.img": MEMORY[PAGE:]}, like="one")
    store.delete("one")
    assert his.read_bytes() == MEMORY
