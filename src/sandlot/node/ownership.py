"""Giving a tree of files from one range of ids to another, as a copy of a sandbox's disk needs.

A change of owner takes away the set-user-id bits and the capabilities of a file, so they are put back; a
capability of a user namespace names that namespace's root (capabilities(7)), which is another one now.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from pathlib import Path

from sandlot.node.idmap import SIZE, IdRange

_CAPABILITY = "security.capability"
_OF_A_NAMESPACE = struct.Struct("<20sI")
_SPECIAL = stat.S_ISUID | stat.S_ISGID
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NONE = (errno.ENODATA, errno.EOPNOTSUPP)


def shift(folder: Path, old: IdRange, new: IdRange) -> None:
    """Everything in and below ``folder``, where nobody changes anything meanwhile. Links are not followed.

    A guest's folders may lie in each other without end, so one is open at a time, and no path is ever long.
    """
    if old == new:
        return
    here = os.open(folder, _FOLDER)
    try:
        _shift(here, ".", os.stat(here), old, new)
        ahead = [_shift_entries(here, old, new)]
        while ahead:
            if ahead[-1]:
                here = _step(here, ahead[-1].pop())
                ahead.append(_shift_entries(here, old, new))
            else:
                ahead.pop()
                if ahead:
                    here = _step(here, "..")
    finally:
        os.close(here)


def _step(here: int, name: str) -> int:
    there = os.open(name, _FOLDER, dir_fd=here)
    os.close(here)
    return there


def _shift_entries(folder: int, old: IdRange, new: IdRange) -> list[str]:
    """The names of the folders among them."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            _shift(folder, entry.name, entry.stat(follow_symlinks=False), old, new)
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
    return folders


def _shift(parent: int, name: str, about: os.stat_result, old: IdRange, new: IdRange) -> None:
    uid, gid = _moved(about.st_uid, old, new), _moved(about.st_gid, old, new)
    if (uid, gid) == (about.st_uid, about.st_gid):
        return  # a hard link to one that was met before
    if not stat.S_ISREG(about.st_mode):
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        return
    path = f"/proc/self/fd/{parent}/{name}"
    capability = _capability(path)
    os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
    if about.st_mode & _SPECIAL:
        os.chmod(name, stat.S_IMODE(about.st_mode), dir_fd=parent)
    if capability is not None:
        os.setxattr(path, _CAPABILITY, _renamed(capability, old, new), follow_symlinks=False)


def _moved(id: int, old: IdRange, new: IdRange) -> int:
    inside = id - old.base
    return new.base + inside if 0 <= inside < SIZE else id


def _capability(path: str) -> bytes | None:
    try:
        return os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NONE:
            raise
        return None


def _renamed(capability: bytes, old: IdRange, new: IdRange) -> bytes:
    with contextlib.suppress(struct.error):
        rest, root = _OF_A_NAMESPACE.unpack(capability)
        return _OF_A_NAMESPACE.pack(rest, _moved(root, old, new))
    return capability
