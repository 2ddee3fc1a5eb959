"""A sandbox's root file system: an overlay of a template's read-only layers and the disk slot's upper
folder.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sandlot.node import mounts, syscalls
from sandlot.node.disks import DiskSlot

# A sandbox ends with its disk, so `volatile`: fsync inside costs nothing. `redirect_dir`: folders of the
# template can be renamed, which npm and pip do.
_OPTIONS = "redirect_dir=on,metacopy=off,volatile"


def mount_root(layers: tuple[Path, ...], slot: DiskSlot, userns_fd: int, scratch: Path) -> None:
    """Mount the overlay at ``slot.root``. The layers appear under the slot's ids at no cost.

    Each layer is mounted in ``scratch`` for a moment; the overlay keeps its own private copy of it. Its name
    stays visible in the mount table, where a template builder looks before it removes a layer.
    """
    lower = []
    try:
        for number, layer in enumerate(layers):
            point = scratch / f"{number}-{layer.parent.name}"
            point.mkdir(mode=0o700)
            syscalls.mount_idmapped(layer, point, userns_fd)
            lower.append(point)
        data = f"lowerdir={':'.join(map(str, lower))},upperdir={slot.upper},workdir={slot.work},{_OPTIONS}"
        syscalls.mount("overlay", slot.root, "overlay", syscalls.MS_NODEV | syscalls.MS_NOSUID, data)
    finally:
        mounts.remove(reversed(lower))
        for point in lower:
            point.rmdir()


def write_guest_files(slot: DiskSlot, hostname: str, dns: str | None) -> None:
    """Name the sandbox in /etc, in its own layer, so that its users may edit the files.

    Everything is opened below the root as the guest sees it: a template may hold hostile links.
    """
    root = os.open(slot.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        etc = _folder(root, "etc", slot.ids.base)
        try:
            _write(etc, "hostname", f"{hostname}\n", slot.ids.base)
            _write(etc, "hosts", _hosts(hostname), slot.ids.base)
            _write(etc, "resolv.conf", f"nameserver {dns}\n" if dns else "", slot.ids.base)
        finally:
            os.close(etc)
        # gVisor mounts a tmpfs, which is memory, over an empty /tmp; /tmp belongs to the disk.
        tmp = _folder(root, "tmp", slot.ids.base, 0o1777)
        try:
            _make_folder(tmp, ".X11-unix", slot.ids.base, 0o1777)
        finally:
            os.close(tmp)
    finally:
        os.close(root)


def _hosts(hostname: str) -> str:
    return f"127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def _folder(root: int, name: str, owner: int, mode: int = 0o755) -> int:
    _make_folder(root, name, owner, mode)
    return syscalls.open_in_root(root, name, os.O_RDONLY | os.O_DIRECTORY)


def _make_folder(parent: int, name: str, owner: int, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        return
    os.chown(name, owner, owner, dir_fd=parent, follow_symlinks=False)
    os.chmod(name, mode, dir_fd=parent)


def _write(folder: int, name: str, text: str, owner: int) -> None:
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o644, dir_fd=folder)
    try:
        os.fchown(descriptor, owner, owner)
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
