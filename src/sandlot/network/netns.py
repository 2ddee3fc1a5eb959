"""Named network namespaces, the way ``ip netns`` names them.

A thread that has entered another namespace is never used again: each entry has a thread of its own that ends
there. So no failure can leave the event loop, or a worker, in a guest's network.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sandlot.network.addresses import NETNS_DIR

T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SHARED = 1 << 20
_MNT_DETACH = 2


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: Path, flags: int) -> None:
    _checked(
        _libc.mount(source.encode(), os.fsencode(target), None, ctypes.c_ulong(flags), None),
        f"mount {target}",
    )


def prepare() -> None:
    """Make /run/netns a shared mount, as ``ip netns`` does, so that names made later are seen everywhere."""
    NETNS_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _mount("", NETNS_DIR, _MS_SHARED | _MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _mount(str(NETNS_DIR), NETNS_DIR, _MS_BIND | _MS_REC)
        _mount("", NETNS_DIR, _MS_SHARED | _MS_REC)


@contextmanager
def host_lock() -> Iterator[None]:
    """One instance of this host at a time, while addresses are chosen."""
    descriptor = os.open(NETNS_DIR, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def create(path: Path, furnish: Callable[[], None]) -> None:
    """Make the namespace and run ``furnish`` inside. On failure the name may be left: ``remove`` takes it."""
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))

    def enter() -> None:
        _checked(_libc.unshare(_CLONE_NEWNET), "unshare")
        _mount("/proc/thread-self/ns/net", path, _MS_BIND)
        furnish()

    in_own_thread(enter)


def run_inside(path: Path, action: Callable[[], T]) -> T:
    """Run ``action`` in a thread inside the namespace."""

    def enter() -> T:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_libc.setns(descriptor, _CLONE_NEWNET), f"setns {path}")
        finally:
            os.close(descriptor)
        return action()

    return in_own_thread(enter)


def remove(path: Path) -> None:
    """Idempotent. The namespace itself ends when nothing uses it any more."""
    if _libc.umount2(os.fsencode(path), _MNT_DETACH) != 0 and ctypes.get_errno() not in (
        errno.EINVAL,
        errno.ENOENT,
    ):
        _checked(-1, f"umount {path}")
    path.unlink(missing_ok=True)


def hold(path: Path) -> int | None:
    """A descriptor that keeps the namespace from ending; None where there is none of that name."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def names() -> list[str]:
    try:
        return os.listdir(NETNS_DIR)
    except FileNotFoundError:
        return []


def in_own_thread(action: Callable[[], T]) -> T:
    """Run ``action`` in a thread that ends with it, so that what it does to itself touches nobody else."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="netns", daemon=True)
    thread.start()
    thread.join()
    return outcome.result()
