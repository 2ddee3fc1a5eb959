"""Files that must be on disk, whole, and be found so again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import xxhash

from sandlot.node import syscalls

_STRETCH = 1 << 20
_PART = 16 << 20
_FLUSH_EVERY_S = 0.05


class Sum(msgspec.Struct, frozen=True):
    """What a file is known by: XXH3 of 128 bits, in hex, of those of its parts, one after the other.

    It finds damage; it proves nothing to an enemy.
    """

    size: int
    xxh3: str


async def written_out(folder: Path, writing: Awaitable[None]) -> None:
    """While somebody writes files into ``folder``, they go to disk already: `seal` has less to wait for."""
    done = threading.Event()
    flushing = asyncio.ensure_future(asyncio.to_thread(_flush, folder, done))
    try:
        await writing
    finally:
        done.set()
        await asyncio.shield(flushing)


def _flush(folder: Path, done: threading.Event) -> None:
    while not done.wait(_FLUSH_EVERY_S):
        for path in folder.iterdir():
            with contextlib.suppress(OSError), path.open("rb") as file:
                syscalls.begin_writing_out(file.fileno())


def seal(folder: Path) -> dict[str, Sum]:
    """The sums of its files, all of which are on disk when this returns. Raises OSError."""
    found = {}
    for path in folder.iterdir():
        with path.open("rb") as file:
            found[path.name] = _sum(file.fileno())
            os.fsync(file.fileno())
    sync_folder(folder)
    sync_folder(folder.parent)
    return found


def verify(folder: Path, sums: dict[str, Sum]) -> str | None:
    """What is wrong with the files; None where they are as they were."""
    for name, expected in sums.items():
        try:
            with (folder / name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size != expected.size:
                    return f"of {name} {size} bytes are left of {expected.size}"
                if _sum(file.fileno()) != expected:
                    return f"the content of {name} is not what was written"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def sync_folder(folder: Path) -> None:
    """What is in it, by name, is on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sum(descriptor: int) -> Sum:
    """By as many threads as there are processors: who resumes a sandbox waits for it."""
    size = os.fstat(descriptor).st_size
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        parts = list(threads.map(lambda start: _sum_part(descriptor, start), range(0, size, _PART)))
    return Sum(size, xxhash.xxh3_128_hexdigest(b"".join(parts)))


def _sum_part(descriptor: int, start: int) -> bytes:
    hash = xxhash.xxh3_128()
    buffer = memoryview(bytearray(_STRETCH))
    for at in range(start, start + _PART, _STRETCH):
        done = 0
        while done < _STRETCH and (count := os.preadv(descriptor, [buffer[done:]], at + done)):
            done += count
        hash.update(buffer[:done])
    return hash.digest()
