"""Reading the mount table, and telling processes apart."""

from __future__ import annotations

import asyncio
import os
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from sandlot.node.drivers.base import Started
from sandlot.node.mounts import unescape
from sandlot.node.processes import identify, is_alive, wait_ended


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=40))
def test_a_mount_point_reads_as_it_was_named(name: str) -> None:
    escaped = name.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")
    assert unescape(escaped) == name


async def test_the_end_of_a_process_that_is_not_awaited_is_noticed() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:  # noqa: ASYNC220
        found = identify(process.pid)
        assert found is not None
        assert is_alive(found)
        waiting = asyncio.create_task(wait_ended(found))
        process.kill()
        await asyncio.wait_for(waiting, 10)
        assert not is_alive(found), "a zombie is dead"
    await asyncio.wait_for(wait_ended(found), 10)


def test_another_process_with_the_same_pid_is_not_the_same() -> None:
    own = identify(os.getpid())
    assert own is not None
    assert not is_alive(Started(own.pid, own.start_ticks - 1))
