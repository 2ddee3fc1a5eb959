"""Starting an OCI runtime: what `runsc`, `runc` and `crun` have in common.

A runtime is only asked to start sandboxes, and for what has to do with their memory. Each sandbox has a
state folder of its own, so that ending one is ending its control group and removing that folder: no
`delete`, which takes up to two seconds, and nothing to parse.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandlot.errors import DeadlineExceeded, NotEnoughSpace, Unavailable
from sandlot.node.drivers.base import Launch, Started
from sandlot.node.processes import identify, readable

READY = b"ready\n"
_LOG_TAIL = 2000
_EXIT_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Command:
    """A process to start. ``before`` runs in a thread of its own that ends afterwards, so that what it
    changes of itself (its mount namespace, its processors) is inherited by the process and by nothing
    else.
    """

    args: Sequence[str]
    before: Callable[[], None] | None = None
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


async def run_detached(command: Command, launch: Launch) -> Started:
    """Run the runtime until the guest agent in the sandbox has said that it listens.

    Raises Unavailable with the end of the runtime's log, DeadlineExceeded.
    """
    log = launch.bundle / "runtime.log"
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            process = await _spawn(command, writing, log)
        finally:
            os.close(writing)
        try:
            async with asyncio.timeout(launch.timeout_s):
                said = await _first_bytes(reading)
                status = await _exit_status(process)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the sandbox did not start within {launch.timeout_s:g} s; its runtime says: {_tail(log)}"
            ) from error
        finally:
            await _end(process)
    finally:
        os.close(reading)
    if said != READY or status != 0:
        raise Unavailable(f"the sandbox did not start; its runtime says: {_tail(log)}", status=status)
    return _started(launch)


async def restore_detached(command: Command, launch: Launch) -> Started:
    """As ``run_detached``, but that a guest agent which goes on where it was has nothing to say."""
    await run_to_end(command, launch.bundle / "runtime.log", launch.timeout_s)
    return _started(launch)


async def run_to_end(command: Command, log: Path, timeout_s: float) -> None:
    """Raises NotEnoughSpace, Unavailable with the end of what it said into ``log``, DeadlineExceeded."""
    process = await _spawn(command, subprocess.DEVNULL, log)
    try:
        async with asyncio.timeout(timeout_s):
            status = await _exit_status(process)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"the runtime did not end within {timeout_s:g} s; it says: {_tail(log)}"
        ) from error
    finally:
        await _end(process)
    if status != 0:
        said = _tail(log)
        full = os.strerror(errno.ENOSPC).lower() in said
        raise (NotEnoughSpace if full else Unavailable)(f"the runtime failed: {said}", status=status)


def _started(launch: Launch) -> Started:
    started = identify(int((launch.bundle / "pid").read_text()))
    if started is None:
        said = _tail(launch.bundle / "runtime.log")
        raise Unavailable(f"the sandbox ended as soon as it had started; its runtime says: {said}")
    return started


async def _spawn(command: Command, stdout: int, log: Path) -> subprocess.Popen[bytes]:
    """Popen in a thread: it uses vfork, so the server's size does not matter, but it does wait for the
    exec.
    """
    loop = asyncio.get_running_loop()
    spawned: asyncio.Future[subprocess.Popen[bytes]] = loop.create_future()

    def body() -> None:
        try:
            if command.before is not None:
                command.before()
            with log.open("wb") as stderr:
                process = subprocess.Popen(
                    command.args,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    env=command.environment,
                    cwd="/",
                    start_new_session=True,  # an interrupt at the server's terminal is not for sandboxes
                )
        except BaseException as error:
            loop.call_soon_threadsafe(spawned.set_exception, error)
        else:
            loop.call_soon_threadsafe(spawned.set_result, process)

    threading.Thread(target=body, name="start a runtime").start()
    try:
        return await asyncio.shield(spawned)
    except asyncio.CancelledError:
        await _end(await spawned)
        raise


async def _first_bytes(pipe: int) -> bytes:
    await readable(pipe)
    return os.read(pipe, len(READY))


async def _exit_status(process: subprocess.Popen[bytes]) -> int:
    descriptor = os.pidfd_open(process.pid)
    try:
        await readable(descriptor)
    finally:
        os.close(descriptor)
    return process.wait()


async def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        await asyncio.shield(asyncio.to_thread(process.wait, _EXIT_DEADLINE_S))


def _tail(log: Path) -> str:
    try:
        text = log.read_bytes()[-_LOG_TAIL:].decode(errors="replace").strip()
    except FileNotFoundError:
        text = ""
    return text or "nothing"
