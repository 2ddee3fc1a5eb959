"""What a build reads off its tools' output, and off the guest that it builds for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sandlot.errors import Unavailable
from sandlot.images.layers import _debootstrap_progress, tree_bytes
from sandlot.images.progress import Progress
from sandlot.images.runner import Runner
from sandlot.images.wheels import GuestPython, download


def test_progress_of_a_debootstrap_grows_to_one() -> None:
    said: list[Progress] = []
    on_line = _debootstrap_progress("base", said.append)
    for line in (
        "I: installing packages...",
        "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
        "Unpacking curl (7.88) ...",
        "Unpacking jq (1.6) ...",
        "Setting up jq (1.6) ...",
        "Setting up curl (7.88) ...",
        "Processing triggers for libc-bin (2.36) ...",
    ):
        on_line(line)
    assert [progress.fraction for progress in said] == [None, 0.25, 0.5, 0.75, 1.0]
    assert said[0].message == "installing packages"
    assert said[1].message == "installing curl"


def test_a_file_with_two_names_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 100_000)
    alone = tree_bytes(tmp_path)
    os.link(tmp_path / "one", tmp_path / "two")
    (tmp_path / "link").symlink_to("/")
    assert 100_000 <= alone < 200_000
    assert tree_bytes(tmp_path) == alone


def guest(tmp_path: Path, architecture: str = "amd64") -> GuestPython:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3").symlink_to("python3.12")
    return GuestPython.of_rootfs(tmp_path, architecture)


def test_wheels_are_asked_for_the_python_inside(tmp_path: Path) -> None:
    options = guest(tmp_path, "arm64").pip_options()
    assert "--python-version=3.12" in options
    platforms = [option.removeprefix("--platform=") for option in options if option.startswith("--platform")]
    assert platforms[0] == "manylinux_2_35_aarch64"
    assert "manylinux2014_aarch64" in platforms


def test_an_architecture_without_wheels_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="riscv64"):
        guest(tmp_path, "riscv64")


def test_a_python_without_pins_is_named_with_those_that_have_them(tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    pins.mkdir()
    (pins / "python3.11.txt").write_text("numpy==1\n")
    with pytest.raises(Unavailable, match=r"3\.12.*pinned for 3\.11"):
        guest(tmp_path).read_pins(pins)


async def test_progress_of_a_download_names_each_package_once(tmp_path: Path) -> None:
    class Pip(Runner):
        async def run(self, args: Sequence[str | Path], **options: Any) -> None:
            for line in (
                "Looking in indexes: an index",
                "Collecting numpy==2.4.6 (from -r requirements.txt (line 1))",
                "  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl (16.9 MB)",
                "Processing /cache/et_xmlfile-2.0.0-py3-none-any.whl (from -r requirements.txt (line 2))",
            ):
                options["on_line"](line)

    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy==2.4.6\net-xmlfile==2.0.0\n")
    said: list[tuple[str, float | None]] = []
    pip = Pip(tmp_path / "log", held=0)
    await download(requirements, tmp_path, guest(tmp_path), pip, lambda *what: said.append(what))
    assert said == [("fetching numpy", 0.5), ("fetching et_xmlfile", 1.0)]
