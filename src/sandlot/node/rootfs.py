"""A sandbox's root file system: an overlay of a template's read-only layers and the disk slot's upper
folder.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from sandlot.node import mounts, syscalls
from sandlot.node.disks import DiskSlot

# What is kept is written out as a whole, so `volatile`: fsync inside costs nothing. `redirect_dir`: folders
# of the template can be renamed, which npm and pip do.
_OPTIONS = "redirect_dir=on,metacopy=off,volatile"
_LARGEST = 1 << 16
_OUR_RESOLVERS = re.compile(r"(nameserver [\d.]+\n)?", re.ASCII)


def mount_root(layers: tuple[Path, ...], slot: DiskSlot, userns_fd: int, scratch: Path) -> None:
    """Mount the overlay at ``slot.root``. The layers appear under the slot's ids at no cost.

    Each layer is mounted in ``scratch`` for a moment; the overlay keeps its own private copy of it. Its name
    stays visible in the mount table, where a template builder looks before it removes a layer.
    """
    # A volatile overlay refuses to be mounted again: nobody could tell whether the last one was written out.
    # Here it was, or the disk is a copy of one that was.
    shutil.rmtree(slot.work / "work" / "incompat", ignore_errors=True)
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


@dataclass(frozen=True)
class Naming:
    """What a sandbox is called. ``former``: its disk is a copy of one that was called so."""

    hostname: str
    former: str | None = None


def write_guest_files(slot: DiskSlot, naming: Naming, dns: str | None) -> None:
    """Name the sandbox in /etc, in its own layer, so that its users may edit the files.

    Everything is opened below the root as the guest sees it: a template may hold hostile links.
    """
    root = os.open(slot.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        etc = _folder(root, "etc", slot.ids.base)
        try:
            hosts, resolvers = _hosts(naming.hostname), f"nameserver {dns}\n" if dns else ""
            if naming.former is not None:  # where users have edited the files, their lines stay
                hosts = _renamed(_read(etc, "hosts"), naming.former, naming.hostname) or hosts
                edited = _read(etc, "resolv.conf")
                resolvers = resolvers if _OUR_RESOLVERS.fullmatch(edited) else edited
            _write(etc, "hostname", f"{naming.hostname}\n", slot.ids.base)
            _write(etc, "hosts", hosts, slot.ids.base)
            _write(etc, "resolv.conf", resolvers, slot.ids.base)
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


def _renamed(hosts: str, former: str, hostname: str) -> str:
    return re.sub(rf"(?<![\w.-]){re.escape(former)}(?![\w.-])", hostname, hosts)


def _read(folder: int, name: str) -> str:
    """Of a file of the guest's; "" where it is none, or larger than such a file ever is."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return ""
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
            return ""
        return os.read(descriptor, _LARGEST).decode(errors="surrogateescape")
    finally:
        os.close(descriptor)


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
        os.write(descriptor, text.encode(errors="surrogateescape"))
    finally:
        os.close(descriptor)
