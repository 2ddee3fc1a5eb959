"""What is written down of a sandbox must come back whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.node import Tier, instance_of
from sandlot.node.cgroups import Limits
from sandlot.node.drivers.base import Started
from sandlot.node.records import Record, Records, changed

LIMITS = Limits(1.0, 1 << 28, 1 << 29, 100, 200)
RECORD = Record("sb1", Tier.GVISOR, "secret", 1 << 28, LIMITS, 1 << 30, internet=True)


def test_a_record_comes_back(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(RECORD)
    later = changed(RECORD, disk="00a", network="sl-abcd-1", main=Started(12, 345))
    records.write(later)
    assert records.read("sb1") == later
    assert records.ids() == {"sb1"}
    assert (tmp_path / "sb1" / "record.json").stat().st_mode & 0o077 == 0
    records.remove("sb1")
    assert (records.read("sb1"), records.ids()) == (None, set())


def test_a_write_that_was_cut_off_leaves_the_record_before(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(RECORD)
    (tmp_path / "sb1" / "record.json.new").write_bytes(b'{"id": "sb')
    assert records.read("sb1") == RECORD


@given(st.binary(max_size=200))
def test_garbage_is_no_record(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("records")
    (folder / "sb1").mkdir()
    (folder / "sb1" / "record.json").write_bytes(content)
    assert Records(folder).read("sb1") is None


def test_an_instance_is_named_by_its_data_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert instance_of(tmp_path / "data") == instance_of(tmp_path / "link")
    assert instance_of(tmp_path / "data") != instance_of(tmp_path / "other")
    assert len(instance_of(tmp_path)) == 4
