"""Processes of the host that are not our children, named so that a recycled pid is never mistaken for one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from pathlib import Path

from sandlot.node.drivers.base import Started


def identify(pid: int) -> Started | None:
    """The process that has this pid now; None when there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else Started(pid, int(fields[19]))


def is_alive(process: Started) -> bool:
    return identify(process.pid) == process


async def wait_ended(process: Started) -> None:
    """Return when it has ended, by the kernel's own notification."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(process):
            await readable(descriptor)
    finally:
        os.close(descriptor)


async def readable(descriptor: int) -> None:
    """Return once the descriptor has something to read, or has come to its end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def urgent(descriptor: int) -> None:
    """Return once the kernel flags the file as changed (POLLPRI), as it does for events files of v2
    groups.
    """
    watch = select.epoll()
    try:
        watch.register(descriptor, select.EPOLLPRI)
        await readable(watch.fileno())
    finally:
        watch.close()


def end(process: Started) -> None:
    """Kill it where it still is that process, wherever it has been moved to."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(process.pid)
        try:
            if is_alive(process):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def reap(pid: int) -> None:
    """Take the zombie where it happens to be ours: when the server is the init of a container."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
