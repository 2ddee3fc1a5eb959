"""A store of its own per test, files like those of a checkpoint, and a look at what takes space."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandlot.node.snapshots import SnapshotStore

PAGE = 4096


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> SnapshotStore:
    return SnapshotStore(folder, reserve_bytes=0)


def page(number: int) -> bytes:
    """A page like no other; 0 is zeros."""
    return random.Random(number).randbytes(PAGE) if number else bytes(PAGE)


def pages(*numbers: int) -> bytes:
    return b"".join(map(page, numbers))


def sparse(path: Path, content: bytes) -> Path:
    """A file with holes in place of its pages of zeros."""
    with path.open("wb") as file:
        for offset in range(0, len(content), PAGE):
            piece = content[offset : offset + PAGE]
            if any(piece):
                os.pwrite(file.fileno(), piece, offset)
        file.truncate(len(content))
    return path


def save(
    store: SnapshotStore, work: Path, id: str, contents: Mapping[str, bytes], *, like: str | None = None
) -> int:
    """As a node does: the files are made aside, and removed once they are kept."""
    work.mkdir(exist_ok=True)
    files = {name: sparse(work / f"{id}-{name}", content) for name, content in contents.items()}
    try:
        return store.save(id, files, {"of": id}, like=like)
    finally:
        for path in files.values():
            path.unlink()


def contents(store: SnapshotStore, id: str, *names: str) -> dict[str, bytes]:
    with store.open(id, names) as copy:
        return {name: path.read_bytes() for name, path in copy.files.items()}


def data_bytes(folder: Path) -> int:
    """What the pages take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in (folder / "packs").iterdir())


def leftovers(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for part in ("manifests", "packs", "new", "gone", "copies")
        for path in (folder / part).rglob("*")
    ]
