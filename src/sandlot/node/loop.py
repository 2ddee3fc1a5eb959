"""Loop devices through their ioctls (linux/loop.h; LOOP_CONFIGURE is Linux 5.8)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CLR_FD = 0x4C01
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16
_ATTEMPTS = 64
_MAJOR = 7  # Documentation/admin-guide/devices.txt


class _LoopInfo(ctypes.Structure):
    _fields_ = [
        ("device", ctypes.c_uint64),
        ("inode", ctypes.c_uint64),
        ("rdevice", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("sizelimit", ctypes.c_uint64),
        ("number", ctypes.c_uint32),
        ("encrypt_type", ctypes.c_uint32),
        ("encrypt_key_size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("file_name", ctypes.c_char * 64),
        ("crypt_name", ctypes.c_char * 64),
        ("encrypt_key", ctypes.c_ubyte * 32),
        ("init", ctypes.c_uint64 * 2),
    ]


class _LoopConfig(ctypes.Structure):
    _fields_ = [
        ("fd", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("info", _LoopInfo),
        ("reserved", ctypes.c_uint64 * 8),
    ]


@contextmanager
def attached(image: Path) -> Iterator[Path]:
    """A loop device over ``image``. It goes by itself once nothing holds it open, so mount it meanwhile."""
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        device, descriptor = _attach(backing, image)
    finally:
        os.close(backing)
    try:
        yield device
    finally:
        os.close(descriptor)


def _attach(backing: int, image: Path) -> tuple[Path, int]:
    info = _LoopInfo(flags=_LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO, file_name=os.fsencode(image)[-63:])
    config = _LoopConfig(fd=backing, block_size=0, info=info)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            device = Path(f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}")
            descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(descriptor, _LOOP_CONFIGURE, bytes(config))
                return device, descriptor
            except OSError as error:
                os.close(descriptor)
                if error.errno != errno.EBUSY:
                    raise
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "every free loop device was taken by another process first", str(image))


def device_at(folder: Path) -> str | None:
    """The loop device that is mounted at ``folder``; None where none is."""
    with contextlib.suppress(OSError):
        number = os.stat(folder).st_dev
        if os.major(number) == _MAJOR:
            return f"loop{os.minor(number)}"
    return None


def backing_of(device: str) -> Path | None:
    """The file of a loop device, wherever it lay when it was unlinked; None where it has none any more."""
    try:
        text = Path(f"/sys/block/{device}/loop/backing_file").read_text()
    except OSError:
        return None
    return Path(text.strip().removesuffix(" (deleted)"))


def images() -> list[Path]:
    """The files of all loop devices of this host."""
    names = [name for name in os.listdir("/sys/block") if name.startswith("loop")]
    return [backing for name in names if (backing := backing_of(name)) is not None]


def detach(device: str, file: Path) -> None:
    """Take the device off this file; where it is open or mounted still, once that ends. Idempotent."""
    if backing_of(device) != file:
        return  # it went with its mount, and may serve somebody else by now
    descriptor = os.open(f"/dev/{device}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _LOOP_CLR_FD)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
    finally:
        os.close(descriptor)


def devices_of(folder: Path) -> dict[str, Path]:
    """Loop devices whose files lie (or lay, when unlinked) in ``folder``: device name to file."""
    devices = [name for name in os.listdir("/sys/block") if name.startswith("loop")]
    found = {name: backing_of(name) for name in devices}
    return {name: backing for name, backing in found.items() if backing and backing.parent == folder}
