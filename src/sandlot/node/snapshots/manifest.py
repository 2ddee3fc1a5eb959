"""What a snapshot consists of: a head that is read often, and an index of pages that is read when needed.

A folder holds both, and appears and goes whole, by one rename.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sandlot.errors import Conflict, NotFound
from sandlot.node.snapshots.pages import SUM_BYTES, sum_of
from sandlot.node.snapshots.ranges import Range
from sandlot.node.sums import sync_folder

HEAD = "head"
INDEX = "index"


class Run(NamedTuple):
    """``length`` pages of a file, from ``page`` on: in ``pack`` (a place in a Part's list), from ``at``."""

    page: int
    length: int
    pack: int
    at: int


class Part(msgspec.Struct, frozen=True):
    """One file. Pages in no run are zeros. ``sums`` are those of the pages in runs, in their order.

    ``whole``: its one pack is the file itself.
    """

    size: int
    whole: bool
    packs: list[str]
    runs: list[Run]
    sums: bytes

    def pages(self) -> int:
        return len(self.sums) // SUM_BYTES


class Head(msgspec.Struct, frozen=True):
    """``key`` is this snapshot's own, though its id be used again; ``index`` is the index's checksum.
    ``made_at`` are nanoseconds of the clock, for their order.
    """

    id: str
    key: str
    about: dict[str, Any]
    packs: frozenset[str]
    index: str
    made_at: int
    version: int = 1


class Manifest(NamedTuple):
    head: Head
    parts: dict[str, Part]


def write(folder: Path, id: str, key: str, about: dict[str, Any], parts: dict[str, Part]) -> Head:
    """Into a new folder, synced with all it holds."""
    folder.mkdir(mode=0o700)
    index = msgspec.msgpack.encode(parts)
    packs = frozenset(pack for part in parts.values() for pack in part.packs)
    head = Head(id, key, about, packs, sum_of(index).hex(), time.time_ns())
    body = msgspec.json.encode(head)
    for name, content in ((INDEX, index), (HEAD, body + b"\n" + sum_of(body).hex().encode())):
        with open(folder / name, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    sync_folder(folder)
    return head


# Made before there are threads: two that are the first to decode a type at once crash the process.
_HEADS = msgspec.json.Decoder(Head)


def read_head(folder: Path) -> Head:
    """Raises NotFound, Conflict where it is damaged, OSError where the disk does not answer."""
    body, _, told = _read(folder, HEAD).rpartition(b"\n")
    if sum_of(body).hex().encode() != told:
        raise damaged(folder.name, "its head has another checksum")
    try:
        return _HEADS.decode(body)
    except msgspec.MsgspecError as error:
        raise Conflict(f"snapshot {folder.name} is of another version of Sandlot: {error}") from error


def read_parts(folder: Path, head: Head) -> dict[str, Part]:
    """Raises as :func:`read_head` does."""
    index = _read(folder, INDEX)
    if sum_of(index).hex() != head.index:
        raise damaged(folder.name, "its index has another checksum")
    return msgspec.msgpack.decode(index, type=dict[str, Part])


def damaged(id: str, how: str) -> Conflict:
    return Conflict(f"snapshot {id} is damaged: {how}. It cannot be restored; delete it", snapshot=id)


def ranges(parts: Collection[Part]) -> dict[str, list[Range]]:
    """Which pages of which packs these stand on."""
    found: dict[str, list[Range]] = {pack: [] for part in parts for pack in part.packs}
    for part in parts:
        for run in part.runs:
            found[part.packs[run.pack]].append((run.at, run.at + run.length))
    return found


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        if not folder.exists():
            raise NotFound(f"there is no snapshot {folder.name}") from None
        raise damaged(folder.name, f"its {name} is missing") from None


def allocated_bytes(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())
