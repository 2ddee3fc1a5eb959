"""An ext4 in an image file: made empty by mkfs.ext4 or copied from one that was, and mended by e2fsck.

Of a disk's gigabytes mkfs writes some 20 blocks. To write the same again costs a fraction of its process
and of the flush that ends it. Copies share their UUID, which ext4 does not mind; nothing here mounts by it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import structlog

from sandlot.errors import Conflict
from sandlot.node import syscalls

log = structlog.get_logger(__name__)

MKFS_DEADLINE_S = 60.0
_MKFS = (
    "mkfs.ext4",
    *("-F", "-q", "-m", "0", "-b", "4096", "-I", "256", "-i", "8192"),
    *("-O", "^has_journal,^resize_inode"),
    *("-E", "lazy_itable_init=1,nodiscard"),  # a sparse file reads as zeros already
)
_BLOCK = 4096
_SAID = 300
CHECK_DEADLINE_S = 300.0
_CHECK = ("e2fsck", "-f", "-y")
_MENDED = 2  # exit codes up to here: e2fsck(8)
_STATE_OFFSET = 1024 + 58  # s_state of the superblock: Documentation/filesystems/ext4/super.rst
_CLEANLY_UNMOUNTED = 1
_FITRIM = 0xC0185879


@dataclass(frozen=True)
class Blank:
    """All of an unused file system that is not zeros: blocks by their offset in bytes."""

    image_bytes: int
    blocks: dict[int, bytes]

    @classmethod
    def read(cls, image: Path) -> Blank:
        """From an image that was never mounted."""
        with image.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            blocks = {}
            offset = _next_data(file.fileno(), 0, size)
            while offset < size:
                block = os.pread(file.fileno(), _BLOCK, offset)
                if any(block):
                    blocks[offset] = block
                offset = _next_data(file.fileno(), offset + _BLOCK, size)
        return cls(size, blocks)

    def write(self, image: Path) -> None:
        """Raises FileExistsError: an old file's content would show through."""
        with image.open("xb", buffering=0) as file:
            file.truncate(self.image_bytes)
            for offset, block in self.blocks.items():
                os.pwrite(file.fileno(), block, offset)


def make(image: Path, user_bytes: int) -> None:
    """A new image whose user gets so many bytes. Raises FileExistsError, subprocess.SubprocessError."""
    with image.open("xb") as file:
        file.truncate(_image_bytes(user_bytes))
    subprocess.run([*_MKFS, str(image)], check=True, capture_output=True, timeout=MKFS_DEADLINE_S)


def settle(folder: Path) -> None:
    """All that was written to the file system mounted there is in its image, and what is free takes no space.

    Nobody writes to it meanwhile. Raises OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syscalls.syncfs(descriptor)
        with contextlib.suppress(OSError):  # a host whose file systems know no holes
            fcntl.ioctl(descriptor, _FITRIM, struct.pack("=QQQ", 0, (1 << 64) - 1, 0))
    finally:
        os.close(descriptor)


def mend(image: Path) -> None:
    """Repair it, where it was not unmounted before the machine went down: there is no journal to replay.

    Raises Conflict where it cannot be repaired, subprocess.TimeoutExpired.
    """
    with image.open("rb") as file:
        state = os.pread(file.fileno(), 2, _STATE_OFFSET)
    if state and state[0] & _CLEANLY_UNMOUNTED:
        return
    done = subprocess.run([*_CHECK, str(image)], capture_output=True, text=True, timeout=CHECK_DEADLINE_S)
    log.warning("a disk was not unmounted, and is checked", image=str(image), status=done.returncode)
    if done.returncode > _MENDED:
        raise Conflict(f"the disk {image} is damaged beyond repair: {done.stdout.strip()[-_SAID:]}")


def _next_data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA) // _BLOCK * _BLOCK
    except OSError:  # ENXIO: only a hole follows
        return size


def _image_bytes(user_bytes: int) -> int:
    """What ext4 keeps for itself comes on top, so that the user gets what was asked for.

    Inode tables take 256 bytes of every 8192; the reserve against delayed allocation is 2 %, at most 16 MiB.
    """
    reserve = min(user_bytes // 49, 16 << 20)
    return (user_bytes + reserve + user_bytes // 28 + (3 << 20)) // _BLOCK * _BLOCK
