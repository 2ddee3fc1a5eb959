"""Disk slots: each sandbox writes to a file system of its own, in a sparse file, so that its quota is
real.

A slot is made ahead: making the file system, mounting it and opening a user namespace cost more than
all the rest of a sandbox's preparation. No journal: a slot is there for its sandbox, and what is put away is
unmounted first; a journal would cost every sandbox a kernel thread and every write a second one.

A slot that is *put away* is an image that nobody has mounted. Its name stays taken, and with it its ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from sandlot.errors import Conflict, NotEnoughSpace, SandlotError, Unavailable
from sandlot.node import ext4, loop, mounts, ownership, sparse, syscalls
from sandlot.node.idmap import RANGES, IdRange, UserNamespaces
from sandlot.tally import Stock

log = structlog.get_logger(__name__)

DETACH_DEADLINE_S = 3.0
RETRY_S = 5.0
REFILL_AFTER_S = 0.25  # by then the sandbox that took the slot has started and needs the processor less
_USER_NAMESPACES = 64
_REST = 16
"""So many other slots are released before a name, and its range of ids, is used again."""
_OPTIONS = "noinit_itable,discard"
_FLAGS = syscalls.MS_NODEV | syscalls.MS_NOSUID  # set-user-id files must not work for users of the host


@dataclass(frozen=True)
class DiskSlot:
    """``folder`` is where the file system is mounted; ``ids`` own what is in it."""

    name: str
    image: Path
    folder: Path
    size_bytes: int
    ids: IdRange

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def root(self) -> Path:
        """Where the sandbox's root file system is mounted."""
        return self.folder / "root"

    @property
    def agent(self) -> Path:
        """The guest agent: in the slot because /run and the data folder may be mounted noexec or closed."""
        return self.folder / "agent"

    def used_bytes(self) -> int:
        usage = os.statvfs(self.folder)
        return (usage.f_blocks - usage.f_bfree) * usage.f_frsize


class DiskPool:
    """Slots of one instance: image files in ``images``, mounted under ``points``. ``size`` stand ready."""

    def __init__(
        self, images: Path, points: Path, *, size: int, slot_bytes: int, reserve_bytes: int, agent: Path
    ) -> None:
        self._images = images
        self._points = points
        self._size = size
        self._slot_bytes = slot_bytes
        self._reserve_bytes = reserve_bytes
        self._agent = agent
        self._idle: deque[tuple[DiskSlot, int]] = deque()
        self._taken: set[str] = set()
        self._resting: deque[str] = deque()
        self._userns = UserNamespaces(_USER_NAMESPACES)
        self._blank: ext4.Blank | None = None
        self._made = self._missed = 0
        self._next = secrets.randbelow(RANGES)
        self._wake = asyncio.Event()
        self._filler: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._images.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._points.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._wake.set()
        self._filler = asyncio.create_task(self._fill(), name="fill disk slots")

    async def stop(self) -> None:
        """Remove the idle slots; claimed ones stay."""
        if self._filler is not None:
            self._filler.cancel()
            await asyncio.wait([self._filler])
            self._filler = None
        while self._idle:
            slot, userns = self._idle.pop()
            os.close(userns)
            try:
                await self.release(slot)
            except (OSError, SandlotError) as error:
                log.warning("a disk slot was not removed", slot=slot.name, reason=str(error))
        self._resting.clear()
        self._userns.close()
        with contextlib.suppress(OSError):
            self._points.rmdir()

    async def claim(self, size_bytes: int) -> tuple[DiskSlot, int]:
        """A slot of exactly that size, and a descriptor of its user namespace that the caller closes.

        Raises NotEnoughSpace when the host's own file system could not hold a full disk now.
        """
        self._check_space(size_bytes)
        if size_bytes == self._slot_bytes and self._idle:
            found = self._idle.popleft()
            asyncio.get_running_loop().call_later(REFILL_AFTER_S if self._idle else 0, self._wake.set)
            return found
        self._missed += 1
        return await self._make(size_bytes)

    async def claim_copy(
        self, image: Path, size_bytes: int, ids: IdRange, *, anew: bool
    ) -> tuple[DiskSlot, int]:
        """As ``claim``, a slot with a copy of ``image``, which is of a slot with ``ids``; see ``reopen``."""
        self._check_space(size_bytes)
        self._missed += 1
        return await self._make(size_bytes, lambda slot: self._build_copy(slot, image, ids, anew))

    async def put_away(self, slot: DiskSlot) -> None:
        """Unmount it, and keep its image; idempotent. Raises Unavailable where the kernel does not let go."""
        await asyncio.to_thread(self._unmount, slot)

    async def reopen(self, slot: DiskSlot, *, anew: bool) -> int:
        """Mount one that was put away; a descriptor of its user namespace, which the caller closes. ``anew``:
        for a sandbox that starts from its files alone, with the agent of today.

        Raises Conflict where the image is lost or damaged, and Unavailable where something holds it still.
        """
        opening = asyncio.ensure_future(asyncio.to_thread(self._reopen, slot, anew))
        try:
            return await asyncio.shield(opening)
        except BaseException:
            with contextlib.suppress(Exception):
                os.close(await opening)
            await asyncio.shield(self.put_away(slot))
            raise

    def stock(self) -> Stock:
        # Idle slots keep their names taken, too.
        ready = len(self._idle)
        return Stock(ready, max(0, len(self._taken) - ready), self._made, self._missed)

    async def release(self, slot: DiskSlot) -> None:
        """Unmount, detach, delete; idempotent. Raises Unavailable where the kernel does not let go of it."""
        await asyncio.to_thread(self._unmake, slot.name)
        if slot.name in self._taken:
            self._taken.discard(slot.name)
            if self._userns.keeps(slot.ids):
                self._resting.append(slot.name)

    def find(self, name: str, size_bytes: int) -> DiskSlot:
        """The slot of that name, as a record kept it; a claim on its name for the rest of this run."""
        self._taken.add(name)
        return self._slot(name, size_bytes)

    async def sweep(self, keep: set[str]) -> list[str]:
        """Remove every slot of this instance that is neither claimed in this run nor named in ``keep``."""
        names = await asyncio.to_thread(self._present)
        stray = sorted(names - keep - self._taken)
        for name in stray:
            await asyncio.to_thread(self._unmake, name)
        return stray

    def _check_space(self, size_bytes: int) -> None:
        usage = os.statvfs(self._images)
        free = usage.f_bavail * usage.f_frsize - self._reserve_bytes
        if free < size_bytes:
            raise NotEnoughSpace(
                f"a disk of {size_bytes >> 20} MiB was asked for, and the host has {max(0, free) >> 20} MiB"
                f" to give: the file system of {self._images}, less {self._reserve_bytes >> 20} MiB kept."
                " Ask for a smaller disk, or free space on the host"
            )

    async def _fill(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while len(self._idle) < self._size:
                try:
                    self._check_space(self._slot_bytes)
                    self._idle.append(await self._make(self._slot_bytes))
                except (OSError, SandlotError, subprocess.SubprocessError) as error:
                    log.warning("no disk slot made ahead", reason=str(error))
                    await asyncio.sleep(RETRY_S)

    async def _make(
        self, size_bytes: int, build: Callable[[DiskSlot], int] | None = None
    ) -> tuple[DiskSlot, int]:
        slot = self._slot(self._choose(), size_bytes)
        making = asyncio.ensure_future(asyncio.to_thread(build or self._build, slot))
        try:
            userns = await asyncio.shield(making)
            self._made += 1
            return slot, userns
        except BaseException:
            with contextlib.suppress(Exception):
                os.close(await making)
            await asyncio.shield(self.release(slot))
            raise

    def _choose(self) -> str:
        if len(self._resting) > _REST:
            name = self._resting.popleft()
            self._taken.add(name)
            return name
        for _ in range(RANGES):
            self._next = (self._next + 1) % RANGES
            name = f"{self._next:03x}"
            if (
                name not in self._taken
                and name not in self._resting
                and not self._slot(name, 0).image.exists()
            ):
                self._taken.add(name)
                return name
        raise Unavailable(f"all {RANGES} ranges of user ids are in use")

    def _slot(self, name: str, size_bytes: int) -> DiskSlot:
        return DiskSlot(
            name=name,
            image=self._images / f"{name}.img",
            folder=self._points / name,
            size_bytes=size_bytes,
            ids=IdRange(int(name, 16)),
        )

    def _build(self, slot: DiskSlot) -> int:
        self._format(slot)
        self._mount(slot)
        shutil.rmtree(slot.folder / "lost+found")
        self._place_agent(slot)
        base = slot.ids.base
        for folder, mode in ((slot.upper, 0o755), (slot.work, 0o700), (slot.root, 0o755)):
            folder.mkdir(mode)
            os.chown(folder, base, base)
        os.chown(slot.folder, base, base)
        slot.folder.chmod(0o700)
        return self._userns.open(slot.ids)

    def _build_copy(self, slot: DiskSlot, image: Path, ids: IdRange, anew: bool) -> int:
        sparse.copy(image, slot.image)
        self._mount(slot)
        if anew:
            self._place_agent(slot)
        ownership.shift(slot.folder, ids, slot.ids)
        return self._userns.open(slot.ids)

    def _reopen(self, slot: DiskSlot, anew: bool) -> int:
        self._unmount(slot)
        if not slot.image.is_file():
            raise Conflict(f"the disk {slot.image} is lost")
        ext4.mend(slot.image)
        self._mount(slot)
        if anew:
            self._place_agent(slot)
        return self._userns.open(slot.ids)

    def _place_agent(self, slot: DiskSlot) -> None:
        slot.agent.unlink(missing_ok=True)
        shutil.copyfile(self._agent, slot.agent)
        slot.agent.chmod(0o755)

    def _mount(self, slot: DiskSlot) -> None:
        slot.folder.mkdir(mode=0o711)
        with loop.attached(slot.image) as device:
            syscalls.mount(device, slot.folder, "ext4", _FLAGS, _OPTIONS)

    def _format(self, slot: DiskSlot) -> None:
        if slot.size_bytes != self._slot_bytes:
            ext4.make(slot.image, slot.size_bytes)
        elif self._blank is not None:
            self._blank.write(slot.image)
        else:
            ext4.make(slot.image, slot.size_bytes)
            self._blank = ext4.Blank.read(slot.image)

    def _unmake(self, name: str) -> None:
        slot = self._slot(name, 0)
        device = self._take_off(slot)
        slot.image.unlink(missing_ok=True)
        self._wait_let_go(slot, device)

    def _unmount(self, slot: DiskSlot) -> None:
        self._wait_let_go(slot, self._take_off(slot))

    def _take_off(self, slot: DiskSlot) -> str | None:
        """The loop device that its mount was of."""
        device = loop.device_at(slot.folder)
        for point in (slot.root, slot.folder):
            mounts.take_off(point)
        with contextlib.suppress(FileNotFoundError):
            slot.folder.rmdir()
        return device

    def _wait_let_go(self, slot: DiskSlot, device: str | None) -> None:
        # Where nothing was mounted (a crash came between), only a look at every device can tell.
        for one in [device] if device else loop.devices_of(self._images):
            self._wait_detached(slot, one)

    def _wait_detached(self, slot: DiskSlot, device: str) -> None:
        """The loop device goes with its last mount, and some other mount namespace may have copied that one.

        Such a copy ends only with its namespace; the image is deleted, and its space comes back, then.
        """
        deadline = time.monotonic() + DETACH_DEADLINE_S
        pause = 0.001
        while loop.backing_of(device) == slot.image:
            if time.monotonic() > deadline:
                holders = mounts.holders_of(slot.folder)
                raise Unavailable(f"/dev/{device} is held by the mount namespaces of processes {holders}")
            time.sleep(pause)
            pause = min(0.1, pause * 2)

    def _present(self) -> set[str]:
        names = {path.stem for path in self._images.glob("*.img")}
        names |= {path.name for path in self._points.glob("*")}
        names |= {file.stem for file in loop.devices_of(self._images).values()}
        return {name for name in names if len(name) == 3}
