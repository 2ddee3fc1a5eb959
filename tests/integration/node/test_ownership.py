"""A copy of a disk is owned by its own range of ids, whatever a guest has built in it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from sandlot.node import ownership
from sandlot.node.idmap import IdRange

OLD, NEW = IdRange(1), IdRange(2)
DEEP = 2000  # more folders in each other than a path is long, or a process may have open


def test_folders_without_end_and_the_bits_that_a_change_of_owner_takes_away(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=here)
        os.chown("d", OLD.base + 1, OLD.base + 2, dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    file = os.open("f", os.O_CREAT | os.O_RDWR, dir_fd=here)
    os.fchown(file, OLD.base + 1000, OLD.base)
    os.fchmod(file, 0o6751)
    os.symlink("/etc/passwd", "link", dir_fd=here)
    os.chown("link", OLD.base, OLD.base, dir_fd=here, follow_symlinks=False)
    host = os.stat("/etc/passwd")
    try:
        ownership.shift(top, OLD, NEW)
        assert (os.fstat(here).st_uid, os.fstat(here).st_gid) == (NEW.base + 1, NEW.base + 2)
        about = os.fstat(file)
        assert (about.st_uid, about.st_gid) == (NEW.base + 1000, NEW.base)
        assert stat.S_IMODE(about.st_mode) == 0o6751
        assert os.stat("link", dir_fd=here, follow_symlinks=False).st_uid == NEW.base
        assert os.stat("/etc/passwd") == host
        assert top.stat().st_uid == os.getuid()
    finally:
        os.close(file)
        os.close(here)
        subprocess.run(["rm", "-rf", str(top)], check=True)
