from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandlot.node import ext4

SIZE = 300 << 20  # three block groups, so that there are copies of the superblock


def test_a_copy_is_the_file_system_that_mkfs_made(tmp_path: Path) -> None:
    made, copy = tmp_path / "made", tmp_path / "copy"
    ext4.make(made, SIZE)
    ext4.Blank.read(made).write(copy)
    subprocess.run(["cmp", made, copy], check=True)
    checked = subprocess.run(["e2fsck", "-f", "-n", copy], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_a_copy_takes_no_more_of_the_host_than_the_original(tmp_path: Path) -> None:
    made, copy = tmp_path / "made", tmp_path / "copy"
    ext4.make(made, SIZE)
    ext4.Blank.read(made).write(copy)
    assert copy.stat().st_blocks <= made.stat().st_blocks


def test_a_copy_never_goes_over_an_older_disk(tmp_path: Path) -> None:
    image = tmp_path / "image"
    ext4.make(image, SIZE)
    blank = ext4.Blank.read(image)
    image.write_bytes(b"a former tenant's")
    with pytest.raises(FileExistsError):
        blank.write(image)
    assert image.read_bytes() == b"a former tenant's"
