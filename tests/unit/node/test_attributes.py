from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandlot.errors import InvalidArgument, NotFound
from sandlot.node import attributes

PREFIX = "user.test."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").touch()
    return tmp_path / "root"


def test_what_was_kept_is_replaced_and_others_attributes_stay(root: Path) -> None:
    os.setxattr(root / "file", "user.other", b"1")
    attributes.replace(root, "/file", PREFIX, {"a": "1", "b": "zwei"})
    attributes.replace(root, "/file", PREFIX, {"b": "", "c": "ü"})
    assert attributes.read(root, ["/file", "/none"], PREFIX) == {"/file": {"b": "", "c": "ü"}}
    assert os.getxattr(root / "file", "user.other") == b"1"
    attributes.replace(root, "/file", PREFIX, {})
    assert attributes.read(root, ["/file"], PREFIX) == {}


def test_no_link_leads_out(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    os.setxattr(outside, PREFIX + "secret", b"1")
    (root / "absolute").symlink_to(outside)
    (root / "relative").symlink_to("../outside")
    for link in ("/absolute", "/relative", "/../outside"):
        assert attributes.read(root, [link], PREFIX) == {}
        with pytest.raises(NotFound):
            attributes.replace(root, link, PREFIX, {"planted": "1"})
    assert os.listxattr(outside) == [PREFIX + "secret"]


def test_a_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert attributes.read(root, ["/pipe"], PREFIX) == {}
    with pytest.raises(InvalidArgument, match="cannot keep"):
        attributes.replace(root, "/pipe", PREFIX, {"a": "1"})


def test_more_than_fits_is_refused_before_anything_is_changed(root: Path) -> None:
    attributes.replace(root, "/file", PREFIX, {"a": "1"})
    with pytest.raises(InvalidArgument, match="at most"):
        attributes.replace(root, "/file", PREFIX, {"a": "x" * 4000})
    assert attributes.read(root, ["/file"], PREFIX) == {"/file": {"a": "1"}}
