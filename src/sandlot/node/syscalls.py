"""Linux calls that Python has no function for. Each raises OSError with the path it was about.

Numbers and flags: linux/mount.h, linux/openat2.h, asm-generic/unistd.h. The numbers from 424 on are the same
on x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000

_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x00100000
_MOUNT_ATTR_RDONLY = 0x00000001
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_FALLOC_FL_KEEP_SIZE = 1
_SYNC_FILE_RANGE_WRITE = 2
_FALLOC_FL_PUNCH_HOLE = 2

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def _check(result: int, path: str | Path | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), None if path is None else str(path))
    return result


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            os.fsencode(data) or None,
        ),
        target,
    )


def umount(target: str | Path, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags | UMOUNT_NOFOLLOW), target)


def unshare(flags: int) -> None:
    """Acts on the calling thread alone, for the flags named in this module."""
    _check(_libc.unshare(flags))


def join_netns(path: str | Path) -> None:
    """Move the calling thread alone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(descriptor, CLONE_NEWNET), path)
    finally:
        os.close(descriptor)


def mount_idmapped(source: Path, target: Path, userns_fd: int) -> None:
    """Mount the folder ``source`` at ``target``, read-only, its owners shifted as the user namespace maps
    them.
    """
    tree = _check(
        _libc.syscall(
            _OPEN_TREE,
            _AT_FDCWD,
            os.fsencode(source),
            ctypes.c_uint(_OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC),
        ),
        source,
    )
    try:
        wanted = _MountAttr(_MOUNT_ATTR_IDMAP | _MOUNT_ATTR_RDONLY, 0, 0, userns_fd)
        _check(
            _libc.syscall(
                _MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), ctypes.sizeof(wanted)
            ),
            source,
        )
        _check(
            _libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH),
            target,
        )
    finally:
        os.close(tree)


def open_in_root(root_fd: int, path: str, flags: int) -> int:
    """Open ``path`` as a process whose root folder is ``root_fd`` would: no link and no ``..`` leads out."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    return _check(
        _libc.syscall(_OPENAT2, root_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)), path
    )


def syncfs(descriptor: int) -> None:
    """Write out the file system that the descriptor is of."""
    _check(_libc.syncfs(descriptor))


def begin_writing_out(descriptor: int) -> None:
    """Of what is in memory of a file: sync_file_range(2)."""
    zero = ctypes.c_int64(0)
    _check(_libc.sync_file_range(descriptor, zero, zero, _SYNC_FILE_RANGE_WRITE))


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """These bytes of a file become zeros and take no space; its size stays."""
    mode = _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE
    _check(_libc.fallocate64(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))
