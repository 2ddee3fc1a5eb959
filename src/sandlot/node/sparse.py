"""Copies of sparse files: shared blocks where the file system can, and otherwise what is not a hole."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

_FICLONE = 0x40049409  # linux/fs.h
_STRETCH = 64 << 20
_NOT_HERE = (errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV, errno.ENOTTY)


def copy(source: Path, target: Path) -> None:
    """Raises FileExistsError, OSError; then there is no ``target``."""
    with source.open("rb") as old, target.open("xb") as new:
        try:
            if not _share(old.fileno(), new.fileno()):
                _copy_data(old.fileno(), new.fileno())
        except BaseException:
            target.unlink()
            raise


def _share(old: int, new: int) -> bool:
    try:
        fcntl.ioctl(new, _FICLONE, old)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return False
    return True


def _copy_data(old: int, new: int) -> None:
    size = os.fstat(old).st_size
    os.ftruncate(new, size)
    offset = 0
    while offset < size:
        try:
            start = os.lseek(old, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # only a hole follows
        offset = os.lseek(old, start, os.SEEK_HOLE)
        while start < offset:
            start += os.copy_file_range(old, new, min(_STRETCH, offset - start), start, start)
