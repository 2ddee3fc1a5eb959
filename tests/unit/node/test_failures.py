"""What the host refuses becomes an error that the caller can act on; bugs stay bugs."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from sandlot.errors import NotEnoughSpace, SandlotError, Unavailable
from sandlot.node.failures import plainly
from sandlot.node.records import Records

from .test_records import RECORD


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), NotEnoughSpace),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), NotEnoughSpace),
        (OSError(errno.EIO, "Input/output error"), Unavailable),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), Unavailable),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), Unavailable),
        (RuntimeError("can't start new thread"), Unavailable),
        (MemoryError(), Unavailable),
        (subprocess.CalledProcessError(1, ["mkfs.ext4"], stderr=b"No space left on device"), NotEnoughSpace),
        (subprocess.CalledProcessError(1, ["mkfs.ext4"], stderr=b"bad luck"), Unavailable),
        (subprocess.TimeoutExpired(["mkfs.ext4"], 60), Unavailable),
    ],
)
def test_a_refusal_is_told_plainly(error: Exception, expected: type[SandlotError]) -> None:
    plain = plainly(error)
    assert type(plain) is expected
    assert plain.message


@pytest.mark.parametrize("error", [RuntimeError("?"), KeyError("x"), Unavailable("not now"), ValueError()])
def test_everything_else_stays_what_it_is(error: Exception) -> None:
    assert plainly(error) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full")
def test_a_record_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(RECORD)
    (tmp_path / "sb1" / "record.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        records.write(RECORD)
    assert records.read("sb1") == RECORD
