"""Making a guest give way before the kernel has to choose what ends.

With gVisor the kernel's choice may be the sentry, which is the whole sandbox: files in memory, and memory
that no stub has mapped, are the sentry's on the host. So the group's hard limits lie above the user's
figures, and when what the group holds reaches those, something inside is ended through the guest agent.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sandlot.node.cgroups import Cgroup, MemoryUse
from sandlot.node.processes import readable, urgent

_FASTEST_GROWTH = 2 << 30  # bytes a second; what a guest was seen to touch at most, and some more
_PAUSES_S = (0.01, 0.25)
_ALARM_PART = 0.7
_V2_REACHED_PART = 0.97  # at memory.high the kernel already holds the group back, just short of it
_AFTER_KILL_S = 0.05
_COUNT_EVERY_S = 0.5

Wait = Callable[[], Awaitable[None]]


async def end_process_at(
    cgroup: Cgroup, limit_bytes: int, end: Callable[[MemoryUse], Awaitable[None]], awake: Wait
) -> None:
    """Call ``end`` whenever the group holds ``limit_bytes``; runs until the group is gone.

    It sleeps while the group is small and while it is not ``awake``, and otherwise looks as often as the
    group could grow to the limit.
    """
    limit = int(limit_bytes * _V2_REACHED_PART) if cgroup.is_v2 else limit_bytes
    try:
        with _alarm(cgroup, int(limit * _ALARM_PART)) as alarm:
            while True:
                await awake()
                if cgroup.usage_bytes() < limit * _ALARM_PART:
                    await alarm()
                    continue
                use = await asyncio.to_thread(cgroup.memory)
                if use.held_bytes >= limit:
                    await end(use)
                    await asyncio.sleep(_AFTER_KILL_S)
                elif use.held_bytes + use.cache_bytes < limit * _ALARM_PART:
                    await alarm()
                else:
                    await asyncio.sleep(_pause_s(limit - use.held_bytes))
    except FileNotFoundError:
        return


async def end_all_at(cgroup: Cgroup, tasks: int, end: Callable[[], Awaitable[None]], awake: Wait) -> None:
    """Call ``end`` whenever the group has that many tasks; runs until the group is gone. What is not
    ``awake`` makes none.

    One read of a few bytes that never waits for a disk, so it stays on the loop.
    """
    try:
        while True:
            await awake()
            if cgroup.tasks() >= tasks:
                await end()
            await asyncio.sleep(_COUNT_EVERY_S)
    except FileNotFoundError:
        return


async def count_kernel_kills(cgroup: Cgroup, seen: Callable[[int], None]) -> None:
    """Call ``seen`` with how many processes the kernel ended since the last call; runs until the group is
    gone.
    """
    try:
        known = cgroup.oom_kills()
        with _oom_notice(cgroup) as notice:
            while True:
                await notice()
                now = await asyncio.to_thread(cgroup.oom_kills)
                if now > known:
                    seen(now - known)
                known = now
    except FileNotFoundError:
        return


def _pause_s(free_bytes: int) -> float:
    shortest, longest = _PAUSES_S
    return min(longest, max(shortest, free_bytes / _FASTEST_GROWTH))


def _alarm(cgroup: Cgroup, bytes_used: int) -> AbstractContextManager[Wait]:
    return _events_v2(cgroup) if cgroup.is_v2 else _event_v1(cgroup, "memory.usage_in_bytes", str(bytes_used))


def _oom_notice(cgroup: Cgroup) -> AbstractContextManager[Wait]:
    return _events_v2(cgroup) if cgroup.is_v2 else _event_v1(cgroup, "memory.oom_control", "")


@contextmanager
def _events_v2(cgroup: Cgroup) -> Iterator[Wait]:
    descriptor = os.open(cgroup.folder("memory") / "memory.events", os.O_RDONLY | os.O_CLOEXEC)

    async def wait() -> None:
        os.pread(descriptor, 4096, 0)  # arms the next notification
        await urgent(descriptor)

    try:
        yield wait
    finally:
        os.close(descriptor)


@contextmanager
def _event_v1(cgroup: Cgroup, name: str, argument: str) -> Iterator[Wait]:
    folder = cgroup.folder("memory")
    watched = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    async def wait() -> None:
        await readable(event)
        os.eventfd_read(event)

    try:
        control = os.open(folder / "cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(control, f"{event} {watched} {argument}".strip().encode())
        finally:
            os.close(control)
        yield wait
    finally:
        os.close(event)
        os.close(watched)
