"""Files as pages: the parts that hold data, and a checksum of each page.

The checksum is XXH3 of 128 bits. It finds damage, and equal pages of two snapshots of one line; it would not
withstand somebody who makes two pages collide, and nobody gains by that: only what came out of one sandbox is
ever compared with each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import xxhash

PAGE = 4096
SUM_BYTES = 16
_STRETCH = 1 << 20


def sum_of(data: bytes | memoryview) -> bytes:
    return xxhash.xxh3_128_digest(data)


ZEROS = sum_of(bytes(PAGE))


def page_count(size: int) -> int:
    return -(-size // PAGE)


def sums_of(content: memoryview) -> list[bytes]:
    """One checksum a page; a short one, at the end of a file, counts as filled up with zeros."""
    digest = xxhash.xxh3_128_digest
    whole = len(content) // PAGE * PAGE
    sums = [digest(content[at : at + PAGE]) for at in range(0, whole, PAGE)]
    if whole < len(content):
        sums.append(digest(bytes(content[whole:]).ljust(PAGE, b"\0")))
    return sums


def stretches(descriptor: int, size: int) -> Iterator[tuple[int, memoryview]]:
    """Number of the first page and content, at most 1 MiB at a time, of all that is not a hole.

    The memory is used again for the next one.
    """
    buffer = memoryview(bytearray(_STRETCH))
    for start, end in _data(descriptor, size):
        for offset in range(start, end, _STRETCH):
            content = buffer[: min(_STRETCH, end - offset)]
            read(descriptor, content, offset)
            yield offset // PAGE, content


def read(descriptor: int, into: memoryview, offset: int) -> None:
    """What lies behind the end of the file is zeros."""
    done = 0
    while done < len(into):
        count = os.preadv(descriptor, [into[done:]], offset + done)
        if count == 0:
            into[done:] = bytes(len(into) - done)
            return
        done += count


def write(descriptor: int, content: memoryview, offset: int) -> None:
    done = 0
    while done < len(content):
        done += os.pwrite(descriptor, content[done:], offset + done)


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where there is data, in bytes, in whole pages; only the end of the file may lie within one."""
    offset = 0
    while offset < size:
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole follows
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        start = max(offset, start // PAGE * PAGE)
        offset = min(size, page_count(end) * PAGE)
        if start < offset:
            yield start, offset
