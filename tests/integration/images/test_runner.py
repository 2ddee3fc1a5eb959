"""A build step leaves nothing behind: when it fails, when it hangs, and when the builder is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandlot.errors import DeadlineExceeded
from sandlot.images import BuildFailed
from sandlot.images.runner import Runner


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    file = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield file
    os.close(file)


async def test_a_failure_tells_the_end_of_the_output_and_where_the_rest_is(tmp_path: Path, lock: int) -> None:
    runner = Runner(tmp_path / "log", held=lock)
    with pytest.raises(BuildFailed) as caught:
        await runner.run(["bash", "-c", "seq 1000; echo the reason >&2; exit 3"], deadline_s=30)
    assert "status 3" in caught.value.message
    assert "the reason" in caught.value.message
    assert str(tmp_path / "log") in caught.value.message
    assert len(caught.value.message.splitlines()) < 40
    assert "\n1\n" in (tmp_path / "log").read_text()


async def test_a_step_sees_neither_the_network_nor_the_hosts_processes(tmp_path: Path, lock: int) -> None:
    said: list[str] = []
    script = "ls /sys/class/net >/dev/null; ip -brief link | wc -l; echo $$"
    await Runner(tmp_path / "log", held=lock).run(
        ["bash", "-c", script], deadline_s=30, offline=True, on_line=said.append
    )
    assert said == ["1", "1"]


async def test_a_step_that_hangs_is_ended_with_all_its_children(tmp_path: Path, lock: int) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(DeadlineExceeded, match="within 1 s"):
        await Runner(tmp_path / "log", held=lock).run(
            ["bash", "-c", f"setsid bash -c 'exec 9<>{pipe}; sleep infinity' & wait"], deadline_s=1
        )
    with pytest.raises(OSError, match="No such device"):  # nobody reads the pipe any more
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)


BUILDER = """
import asyncio, fcntl, os, sys
from pathlib import Path
from sandlot.images.runner import Runner
folder = Path(sys.argv[1])
lock = os.open(folder / "lock", os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
mounted = folder / "mounted"
step = f"mount -t tmpfs tmpfs {mounted}; touch {mounted}/file; echo mounted; setsid sleep infinity & wait"
asyncio.run(Runner(folder / "log", held=lock).run(
    ["bash", "-c", step], deadline_s=60, on_line=lambda line: print(line, flush=True)))
"""


def test_killing_the_builder_ends_its_step_and_frees_the_lock(tmp_path: Path, lock: int) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert builder.stdout is not None
    with builder.stdout:
        assert builder.stdout.readline() == "mounted\n"
        assert not any(mounted.iterdir())  # the mount is the step's own
        builder.kill()
        builder.wait()
    # The lock is free once the last process of the step is gone.
    subprocess.run(["flock", "--timeout", "30", str(tmp_path / "lock"), "true"], check=True)
    assert str(mounted) not in Path("/proc/self/mountinfo").read_text()
