"""Extended attributes of a sandbox's files (xattr(7)), kept and read from outside.

gVisor's guests see a file system without any (drivers/attributes.py says why); the disk under it has them.
They go where the file goes, and end with it. Paths are looked up as the guest would: no link leads out. A
path that leads to a file system which only the guest has mounted leads to nothing here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sandlot.errors import InvalidArgument, NotEnoughSpace, NotFound
from sandlot.node import syscalls

MOST_BYTES: Final = 3072
"""Of names and values of one file together: ext4 keeps them in one block of 4 KiB, beside its own."""


def read(root: Path, paths: Iterable[str], prefix: str) -> dict[str, dict[str, str]]:
    """Of those that have some whose names begin with ``prefix``: the values by the rest of the name."""
    found = {}
    with _opened(root) as root_fd:
        for path in paths:
            with suppress(OSError), _file(root_fd, path) as file:
                if values := _values(file, prefix):
                    found[path] = values
    return found


def check(prefix: str, values: Mapping[str, str]) -> None:
    """Raises InvalidArgument where no file could keep these."""
    if (size := sum(len(f"{prefix}{name}{value}".encode()) for name, value in values.items())) > MOST_BYTES:
        raise InvalidArgument(f"a file's metadata may have at most {MOST_BYTES} bytes, and these have {size}")


def replace(root: Path, path: str, prefix: str, values: Mapping[str, str]) -> None:
    """These instead of whatever the file had under ``prefix``.

    Raises InvalidArgument (too many bytes, or a file that cannot have any), NotFound, NotEnoughSpace.
    """
    wanted = {prefix + name: value.encode() for name, value in values.items()}
    if (size := sum(len(name.encode()) + len(value) for name, value in wanted.items())) > MOST_BYTES:
        raise InvalidArgument(
            f"a file's metadata may have at most {MOST_BYTES} bytes in all, and this has {size}"
        )
    try:
        with _opened(root) as root_fd, _file(root_fd, path) as file:
            for name in _names(file, prefix):
                if name not in wanted:
                    os.removexattr(file, name)
            for name, value in wanted.items():
                os.setxattr(file, name, value)
    except OSError as error:
        if not wanted and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENOTSUP):
            return  # it has none
        raise _plainly(error, path) from error


def _plainly(error: OSError, path: str) -> Exception:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return NotFound(f"{path}: metadata are kept on the sandbox's own disk, and this is not there")
        case errno.ENOSPC | errno.EDQUOT:
            return NotEnoughSpace(f"{path}: the sandbox's disk has no room for its metadata")
        case errno.ENOTSUP | errno.EPERM | errno.ERANGE | errno.E2BIG | errno.EINVAL:
            return InvalidArgument(f"{path} cannot keep these metadata: {error.strerror}")
    return error


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _file(root_fd: int, path: str) -> Iterator[str]:
    """A name by which it can be asked, without opening it: a guest's pipe would be waited for."""
    descriptor = syscalls.open_in_root(root_fd, path, os.O_PATH)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _names(file: str, prefix: str) -> list[str]:
    return [name for name in os.listxattr(file) if name.startswith(prefix)]


def _values(file: str, prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): os.getxattr(file, name).decode(errors="replace")
        for name in _names(file, prefix)
        if name != prefix
    }
