"""Control groups, v1 (also beside an empty v2, "hybrid") and v2, by plain file reads and writes.

Everything a sandbox is made of on the host stands in one group, `/sandlot-<instance>/<sandbox>`: the
runtime, and with gVisor its sentry, gofer and stub processes too. Kernel documents:
admin-guide/cgroup-v1, cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sandlot.errors import Unavailable

_PERIOD_US = 100_000
_WEIGHT = 25
"""Of all sandboxes together, where an ordinary group has 100: who goes first when processors are short. The
server must answer then, and the admin's shell; where nobody else wants them, sandboxes have all.
"""
_LEAST_WEIGHT = 1
_RECLAIM_BYTES = 64 << 20
_SWAP_ALL = 100
"""Swappiness (admin-guide/cgroup-v1/memory.rst): programs' memory as well as files'."""
_LOOK_AGAIN_S = 0.5
"""For what a dying process has started meanwhile, or one that is slow to die."""
_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "freezer")
REQUIRED = ("cpu", "memory", "pids")


@dataclass(frozen=True)
class Limits:
    """Where a "high" lies below its "max", the guest is made to give way there; the kernel keeps the max."""

    cpus: float
    memory_high_bytes: int
    memory_max_bytes: int
    tasks_high: int
    tasks_max: int


@dataclass(frozen=True)
class MemoryUse:
    """``held_bytes`` can only be freed by ending something; ``cache_bytes`` the kernel takes back by
    itself.
    """

    held_bytes: int
    cache_bytes: int


@dataclass(frozen=True)
class CgroupLayout:
    """Where the hierarchies are mounted. ``unified`` is the v2 one; ``v1`` maps controllers to theirs."""

    unified: Path | None
    v1: dict[str, Path]

    @classmethod
    def detect(cls, mountinfo: Path = Path("/proc/self/mountinfo")) -> CgroupLayout:
        unified: Path | None = None
        v1: dict[str, Path] = {}
        for line in mountinfo.read_text().splitlines():
            left, _, right = line.partition(" - ")
            point = Path(left.split(" ")[4])
            kind, _, options = right.split(" ", 2)
            if kind == "cgroup2":
                unified = unified or point
            elif kind == "cgroup":
                for option in options.split(","):
                    name = option.removeprefix("name=")
                    if name not in ("rw", "ro", "xattr", "clone_children"):
                        v1.setdefault(name, point)
        return cls(unified, v1)

    @property
    def is_v2(self) -> bool:
        return "memory" not in self.v1 and self.unified is not None

    @property
    def name(self) -> str:
        return "v2" if self.is_v2 else "v1 (hybrid)" if self.unified else "v1" if self.v1 else "none"

    def missing(self) -> list[str]:
        """Required controllers that this host does not offer."""
        if self.unified is not None and self.is_v2:
            have = (self.unified / "cgroup.controllers").read_text().split()
        else:
            have = list(self.v1)
        return [name for name in REQUIRED if name not in have]

    def hierarchy(self, controller: str) -> Path:
        """Where the controller's groups are. Raises Unavailable where the host has none."""
        root = self.unified if self.is_v2 else self.v1.get(controller)
        if root is None:
            raise Unavailable(f"this host has no {controller} control groups")
        return root

    def roots(self) -> list[Path]:
        """Each mounted hierarchy once: a runtime makes its folders in all of them."""
        points = dict.fromkeys(self.v1.values())
        if self.unified is not None:
            points[self.unified] = None
        return list(points)


class CgroupTree:
    """The groups of one instance."""

    def __init__(self, instance: str, layout: CgroupLayout) -> None:
        self.name = f"sandlot-{instance}"
        self.layout = layout

    def group(self, id: str) -> Cgroup:
        return Cgroup(self.layout, self.name, id)

    def ids(self) -> set[str]:
        """Names of all groups of the instance, in whichever hierarchy."""
        found = set()
        for root in self.layout.roots():
            with contextlib.suppress(FileNotFoundError):
                found |= {entry.name for entry in (root / self.name).iterdir() if entry.is_dir()}
        return found

    def exists(self) -> bool:
        return any((root / self.name).is_dir() for root in self.layout.roots())

    def remove(self) -> None:
        """Remove the instance's own groups, where nothing is left in them."""
        for root in self.layout.roots():
            with contextlib.suppress(OSError):
                (root / self.name).rmdir()


class Cgroup:
    """The group of one sandbox."""

    def __init__(self, layout: CgroupLayout, parent: str, id: str) -> None:
        self._layout = layout
        self.path = f"/{parent}/{id}"
        self._parent = parent
        self._id = id
        self._known: dict[str, Path] = {}

    def folder(self, controller: str) -> Path:
        if (known := self._known.get(controller)) is None:
            known = self._known[controller] = self._layout.hierarchy(controller) / self._parent / self._id
        return known

    def create(self, limits: Limits) -> None:
        """Raises Unavailable where the host does not let us limit what a sandbox uses."""
        try:
            if self._layout.is_v2:
                self._create_v2(limits)
            else:
                self._create_v1(limits)
        except OSError as error:
            raise Unavailable(f"cannot make the control group {self.path}: {error}") from error

    def entry_files(self) -> list[Path]:
        """A process that writes its pid into each of these has joined the group."""
        if self._layout.is_v2:
            return [self.folder("memory") / "cgroup.procs"]
        # `tasks`, not `cgroup.procs`: one thread moves without the wait for a grace period, ~5 ms each.
        return [folder / "tasks" for folder in self._v1_folders()]

    def processes(self) -> list[int]:
        """Pids in the group; none when it is gone. Raises OSError when it cannot be read."""
        found: dict[int, None] = {}
        for folder in self._folders():
            with contextlib.suppress(FileNotFoundError):
                for line in (folder / "cgroup.procs").read_text().split():
                    found[int(line)] = None
        found.pop(0, None)  # a process that this pid namespace does not know
        return list(found)

    def members(self) -> list[int]:
        """Pids of what has joined the group as a whole: one read. Raises OSError when it is gone."""
        return [int(line) for line in (self.folder("memory") / "cgroup.procs").read_text().split()]

    def kill(self, deadline_s: float = 10.0) -> None:
        """End everything in the group and see it end. Raises Unavailable when something does not."""
        deadline = time.monotonic() + deadline_s
        alive = self.processes()
        while alive:
            self._kill_all(alive)
            _wait_ended(alive, _LOOK_AGAIN_S)
            alive = self._alive()
            if alive and time.monotonic() > deadline:
                raise Unavailable(f"processes of {self.path} do not end: {alive}")

    @property
    def can_freeze(self) -> bool:
        return self._layout.is_v2 or "freezer" in self._layout.v1

    def freeze(self) -> None:
        """Begin to stop everything in the group; the kernel does it within milliseconds. Raises OSError."""
        if self._layout.is_v2:
            _write(self.folder("memory") / "cgroup.freeze", 1)
        else:
            _write(self.folder("freezer") / "freezer.state", "FROZEN")

    def thaw(self) -> None:
        """Let it run on. What is not frozen stays as it is. Raises OSError."""
        if self._layout.is_v2:
            _write(self.folder("memory") / "cgroup.freeze", 0)
        else:
            _write(self.folder("freezer") / "freezer.state", "THAWED")

    def is_frozen(self) -> bool:
        """Whether all of it stands still by now. Raises OSError."""
        if self._layout.is_v2:
            return _keyed(self.folder("memory") / "cgroup.events")["frozen"] == 1
        return (self.folder("freezer") / "freezer.state").read_text() == "FROZEN\n"

    def yield_processors(self, on: bool) -> None:
        """Whether anybody else's task may interrupt the group's at once. Raises OSError."""
        folder = self.folder("cpu")
        try:
            _write(folder / "cpu.idle", int(on))
        except FileNotFoundError:  # Linux before 5.15
            weight = _LEAST_WEIGHT if on else 100
            if self._layout.is_v2:
                _write(folder / "cpu.weight", weight)
            else:
                _write(folder / "cpu.shares", 1024 * weight // 100)

    def wants_to_run(self) -> bool:
        """Whether one of its threads runs, waits for a processor or for a disk. Raises OSError."""
        name = "cgroup.threads" if self._layout.is_v2 else "tasks"
        threads = (self.folder("cpu") / name).read_text().split()
        return any(_state(thread) in "RD" for thread in threads)

    def remove(self, deadline_s: float = 10.0) -> None:
        """Remove the group from every hierarchy; idempotent. Raises Unavailable when it is still in use."""
        deadline = time.monotonic() + deadline_s
        for root in self._layout.roots():
            folder = root / self._parent / self._id
            while not _rmdir(folder):
                if time.monotonic() > deadline:
                    raise Unavailable(f"the control group {folder} stays busy")
                time.sleep(0.005)

    def cpu_seconds(self) -> float:
        if self._layout.is_v2:
            return _keyed(self.folder("cpu") / "cpu.stat")["usage_usec"] / 1e6
        return int((self.folder("cpuacct") / "cpuacct.usage").read_text()) / 1e9

    def memory(self) -> MemoryUse:
        stat = _keyed(self.folder("memory") / "memory.stat")
        if self._layout.is_v2:
            kernel = sum(stat.get(name, 0) for name in ("kernel_stack", "pagetables", "slab_unreclaimable"))
            cache = max(0, stat["file"] - stat["shmem"]) + stat.get("slab_reclaimable", 0)
            return MemoryUse(stat["anon"] + stat["shmem"] + kernel, cache)
        shmem = stat.get("total_shmem", 0)
        held = stat["total_rss"] + shmem + self._kernel_bytes_v1()
        return MemoryUse(held, max(0, stat["total_cache"] - shmem))

    def swap_out(self, stop: Callable[[], bool]) -> None:
        """Move what it holds to the host's swap, as far as that goes, or until ``stop``. For one that stands
        still; blocks for as long as the swap takes. Raises OSError.

        On v1 the kernel does it in one go, which ``stop`` does not interrupt.
        """
        memory = self.folder("memory")
        if self._layout.is_v2:
            _write_if_there(memory / "memory.swap.max", "max")
            while not stop() and _reclaim(memory):
                pass
        else:
            _write_if_there(memory / "memory.memsw.limit_in_bytes", -1)
            _write_if_there(memory / "memory.swappiness", _SWAP_ALL)
            if not stop():
                _write(memory / "memory.force_empty", 0)

    def stay_in_memory(self) -> None:
        """From now on nothing more of it goes to swap; what is there comes back by use. Raises OSError."""
        memory = self.folder("memory")
        if self._layout.is_v2:
            _write_if_there(memory / "memory.swap.max", 0)
        else:
            _write_if_there(memory / "memory.swappiness", 0)
            limit = (memory / "memory.limit_in_bytes").read_text().strip()
            _write_if_there(memory / "memory.memsw.limit_in_bytes", limit)

    def usage_bytes(self) -> int:
        """What the group holds and caches, together: one small read."""
        name = "memory.current" if self._layout.is_v2 else "memory.usage_in_bytes"
        return int((self.folder("memory") / name).read_text())

    def tasks(self) -> int:
        """Processes and threads in the group."""
        return int((self.folder("pids") / "pids.current").read_text())

    def oom_kills(self) -> int:
        """How many processes the kernel has ended here for want of memory."""
        if self._layout.is_v2:
            return _keyed(self.folder("memory") / "memory.events").get("oom_kill", 0)
        return _keyed(self.folder("memory") / "memory.oom_control").get("oom_kill", 0)

    @property
    def is_v2(self) -> bool:
        return self._layout.is_v2

    def _kernel_bytes_v1(self) -> int:
        """v1 does not tell the kernel's caches, which it takes back, from what tasks cost: 64 KiB at most."""
        try:
            kernel = int((self.folder("memory") / "memory.kmem.usage_in_bytes").read_text())
        except FileNotFoundError:
            return 0
        return min(kernel, 65536 * self.tasks())

    def _create_v2(self, limits: Limits) -> None:
        root = self._layout.hierarchy("memory")
        parent = root / self._parent
        parent.mkdir(exist_ok=True)
        for folder in (root, parent):
            enabled = (folder / "cgroup.subtree_control").read_text().split()
            if missing := [name for name in REQUIRED if name not in enabled]:
                _write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in missing))
        _write(parent / "cpu.weight", _WEIGHT)
        own = parent / self._id
        own.mkdir(exist_ok=True)
        _write(own / "cpu.max", f"{_quota_us(limits.cpus)} {_PERIOD_US}")
        _write(own / "memory.max", limits.memory_max_bytes)
        if limits.memory_high_bytes < limits.memory_max_bytes:
            _write(own / "memory.high", limits.memory_high_bytes)
        _write_if_there(own / "memory.swap.max", 0)
        _write(own / "pids.max", limits.tasks_max)

    def _create_v1(self, limits: Limits) -> None:
        for folder in self._v1_folders():
            try:
                folder.mkdir(exist_ok=True)
            except FileNotFoundError:
                folder.mkdir(parents=True)
                _write_if_there(folder.parent / "cpu.shares", 1024 * _WEIGHT // 100)
        _write(self.folder("cpu") / "cpu.cfs_period_us", _PERIOD_US)
        _write(self.folder("cpu") / "cpu.cfs_quota_us", _quota_us(limits.cpus))
        memory = self.folder("memory")
        _write(memory / "memory.limit_in_bytes", limits.memory_max_bytes)
        _write_if_there(memory / "memory.memsw.limit_in_bytes", limits.memory_max_bytes)
        _write_if_there(memory / "memory.swappiness", 0)
        _write(self.folder("pids") / "pids.max", limits.tasks_max)

    def _v1_folders(self) -> list[Path]:
        have = [name for name in _CONTROLLERS if name in self._layout.v1]
        return list(dict.fromkeys(self.folder(name) for name in have))

    def _folders(self) -> list[Path]:
        return [root / self._parent / self._id for root in self._layout.roots()]

    def _alive(self) -> list[int]:
        return [pid for pid in self.processes() if not _is_dead(pid)]

    def _kill_all(self, pids: Iterable[int]) -> None:
        if self._layout.is_v2:
            with contextlib.suppress(FileNotFoundError):
                _write(self.folder("memory") / "cgroup.kill", 1)
                return
        elif self.can_freeze:
            with contextlib.suppress(FileNotFoundError):
                self.thaw()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _wait_ended(pids: Iterable[int], longest_s: float) -> None:
    """Until all have ended, or so long. The kernel tells: nobody asks again and again."""
    deadline = time.monotonic() + longest_s
    with contextlib.ExitStack() as stack:
        waiting = select.poll()
        left = 0
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                stack.callback(os.close, descriptor)
                waiting.register(descriptor, select.POLLIN)
                left += 1
        while left and (rest_s := deadline - time.monotonic()) > 0:
            for descriptor, _ in waiting.poll(rest_s * 1000):
                waiting.unregister(descriptor)
                left -= 1


def _is_dead(pid: int) -> bool:
    """Gone, or a zombie: the host's init may take seconds to reap what a runtime left to it."""
    return _state(pid) in "ZX"


def _state(thread: int | str) -> str:
    """By the letters of proc_pid_stat(5); one that is gone is dead."""
    try:
        return Path(f"/proc/{thread}/stat").read_text().rpartition(")")[2].split(None, 1)[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def _quota_us(cpus: float) -> int:
    return max(1000, round(cpus * _PERIOD_US))


def _keyed(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _write(path: Path, value: int | str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # no O_CREAT: a missing file must say so
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _reclaim(memory: Path) -> bool:
    """Whether there may be more."""
    try:
        _write(memory / "memory.reclaim", _RECLAIM_BYTES)
    except FileNotFoundError:  # Linux before 5.19
        return False
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise
        return False
    return True


def _write_if_there(path: Path, value: int | str) -> None:
    with contextlib.suppress(FileNotFoundError):
        _write(path, value)


def _rmdir(folder: Path) -> bool:
    """With the groups below it; False where it is still in use."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        for child in _children(folder):
            _rmdir(child)
        return not folder.exists()
    return True


def _children(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
