"""The host's side: what must not change is compared, what may not grow is sampled all the while."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sandlot import AsyncSandbox

from .checks import Check

MIB = 1 << 20

# Where an escaped `rm -rf /` would be noticed first. Others may add files here meanwhile; none may vanish.
_SYSTEM = ("/etc", "/boot", "/usr/bin", "/usr/sbin", "/usr/lib/systemd")
_KERNEL = ("core_pattern", "modprobe", "randomize_va_space", "sysrq", "hostname")

_SAMPLE_EVERY = 0.25
# On top of a sandbox's own limits, for the runtime around it.
_SPARE_MIB = 256
_SPARE_PROCESSES = 200


@dataclass(frozen=True)
class Limits:
    """What an attacker's sandbox may use."""

    memory_mib: int = 512
    disk_mib: int = 512
    pids: int = 128


@dataclass(frozen=True)
class Standing:
    """What must be the same after an attack."""

    canaries: dict[str, str]
    system: frozenset[str]
    templates: str
    kernel: dict[str, str]
    mounts: frozenset[str]

    @classmethod
    def take(cls, canaries: Path, layers: Sequence[Path]) -> Self:
        return cls(
            canaries={str(path): _digest(path) for path in sorted(canaries.iterdir())},
            system=frozenset(name for folder in _SYSTEM for name in _names(Path(folder))),
            templates=_fingerprint(layers),
            kernel={name: _first_line(Path("/proc/sys/kernel", name)) for name in _KERNEL},
            mounts=frozenset(_mounts()),
        )


@dataclass(frozen=True)
class Sample:
    """One moment: what each sandbox takes by its id, what the host has free, how long a new process takes."""

    at: float
    memory_mib: dict[str, int]
    processes: dict[str, int]
    free_mib: int
    disk_mib: int
    spawn: float


@dataclass(frozen=True)
class Answer:
    """One answer of the neighbour, or (``ok`` false) the lack of one."""

    at: float
    seconds: float
    ok: bool


class Watch:
    """Watches the host and a neighbour sandbox from entry to exit."""

    def __init__(
        self, neighbour: AsyncSandbox, canaries: Path, layers: Sequence[Path], data: Path, cgroup: str
    ) -> None:
        self._neighbour = neighbour
        self._canaries = canaries
        self._layers = layers
        self._data = data
        self._cgroup = cgroup
        self._samples: list[Sample] = []
        self._answers: list[Answer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._standing: Standing

    async def __aenter__(self) -> Self:
        _plant(self._canaries)
        self._standing = await self._take()
        self._samples.append(await asyncio.to_thread(self._measure, await _spawn_time()))
        self._tasks = [asyncio.create_task(self._sample()), asyncio.create_task(self._talk())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def since(self, start: float, sandbox: str, limits: Limits) -> dict[str, Check]:
        """What happened to the host since ``start`` (monotonic): one check for each thing that could have."""
        now = await self._take()
        was = self._standing
        samples = self._samples_since(start)
        answers = [answer for answer in self._answers if answer.at >= start] or self._answers[-1:]
        return {
            "canaries": _same("canary files are as they were", was.canaries, now.canaries, "canaries"),
            "system": self._system(was, now),
            "templates": Check(
                "the templates are as they were",
                was.templates == now.templates,
                "templates untouched" if was.templates == now.templates else "a template CHANGED",
            ),
            "kernel": _same("kernel settings are as they were", was.kernel, now.kernel, "kernel settings"),
            "mounts": self._mounts(was, now),
            "listeners": self._listeners(),
            "memory": self._memory(samples, sandbox, limits),
            "processes": self._processes(samples, sandbox, limits),
            "disk": self._disk(samples, limits),
            "neighbour": self._answered(answers),
        }

    def most_processes(self, start: float, sandbox: str) -> int:
        """How many processes of the host the sandbox had at its most since ``start``."""
        return max(sample.processes.get(sandbox, 0) for sample in self._samples_since(start))

    def _samples_since(self, start: float) -> list[Sample]:
        """Those since, and the last one before."""
        later = [sample for sample in self._samples if sample.at >= start]
        return [*self._samples[: -len(later) or None][-1:], *later]

    def _system(self, was: Standing, now: Standing) -> Check:
        gone = sorted(was.system - now.system)
        text = (
            f"{len(gone)} system files GONE, such as {gone[0]}"
            if gone
            else f"{len(was.system):,} files all there"
        )
        return Check("no system file vanished", not gone, text)

    def _mounts(self, was: Standing, now: Standing) -> Check:
        changed = sorted(was.mounts ^ now.mounts)
        text = (
            f"mounts CHANGED: {', '.join(changed[:3])}" if changed else f"{len(was.mounts)} mounts the same"
        )
        return Check("the host's mounts are the same", not changed, text)

    def _listeners(self) -> Check:
        found = sorted(_listening(set().union(*_members(self._cgroup).values())))
        text = f"a sandbox LISTENS on {', '.join(found[:3])}" if found else "no listener"
        return Check("no sandbox listens on the host", not found, text)

    def _memory(self, samples: list[Sample], sandbox: str, limits: Limits) -> Check:
        most = max(sample.memory_mib.get(sandbox, 0) for sample in samples)
        free = min(sample.free_mib for sample in samples)
        allowed = int(1.25 * limits.memory_mib) + _SPARE_MIB
        return Check(
            f"it took less than {allowed} MiB of memory, and some stayed free",
            most < allowed and free > 0,
            f"took {most} MiB at most, {free:,} MiB stayed free",
        )

    def _processes(self, samples: list[Sample], sandbox: str, limits: Limits) -> Check:
        most = max(sample.processes.get(sandbox, 0) for sample in samples)
        allowed = 2 * limits.pids + _SPARE_PROCESSES
        slowest = max(sample.spawn for sample in samples)
        return Check(
            f"it took fewer than {allowed} processes, and others can start",
            most < allowed and slowest < float("inf"),
            f"took {most} of its processes at most, others start in {1000 * slowest:.0f} ms",
        )

    def _disk(self, samples: list[Sample], limits: Limits) -> Check:
        allowed = limits.disk_mib + 64
        grown = max(sample.disk_mib for sample in samples) - samples[0].disk_mib
        return Check(f"its disk took less than {allowed} MiB", grown < allowed, f"disk +{grown} MiB at most")

    def _answered(self, answers: list[Answer]) -> Check:
        good = sum(answer.ok for answer in answers)
        slowest = max(answer.seconds for answer in answers)
        return Check(
            "the neighbour kept answering",
            good == len(answers) > 0,
            f"neighbour answered {good} of {len(answers)}, in {1000 * slowest:.0f} ms at most",
        )

    async def _take(self) -> Standing:
        return await asyncio.to_thread(Standing.take, self._canaries, self._layers)

    async def _sample(self) -> None:
        while True:
            spawn = await _spawn_time()
            self._samples.append(await asyncio.to_thread(self._measure, spawn))
            await asyncio.sleep(_SAMPLE_EVERY)

    def _measure(self, spawn: float) -> Sample:
        return Sample(
            time.monotonic(),
            _memory_mib(self._cgroup),
            {sandbox: len(processes) for sandbox, processes in _members(self._cgroup).items()},
            _available_mib(),
            _allocated(self._data) // MIB,
            spawn,
        )

    async def _talk(self) -> None:
        while True:
            started = time.monotonic()
            ok = False
            with suppress(Exception):
                result = await asyncio.wait_for(self._neighbour.commands.run("echo still here"), 10)
                ok = result.stdout == "still here\n"
            now = time.monotonic()
            self._answers.append(Answer(now, now - started, ok))
            await asyncio.sleep(_SAMPLE_EVERY)


def _plant(folder: Path) -> None:
    for number in range(20):
        (folder / f"canary-{number:02}").write_bytes(os.urandom(4096))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _same(claim: str, was: dict[str, str], now: dict[str, str], what: str) -> Check:
    changed = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    detail = (
        f"{len(changed)} {what} CHANGED: {', '.join(changed[:3])}" if changed else f"{len(was)} {what} intact"
    )
    return Check(claim, not changed, detail)


def _names(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        yield from (f"{parent}/{name}" for name in (*folders, *files) if ".dpkg-" not in name)


def _fingerprint(folders: Sequence[Path]) -> str:
    """Digest over names, kinds, owners, sizes and times of everything below the folders."""
    digest = hashlib.sha256()
    stack = [str(folder) for folder in folders]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                stat = entry.stat(follow_symlinks=False)
                facts = (entry.path, stat.st_mode, stat.st_uid, stat.st_gid, stat.st_size, stat.st_mtime_ns)
                digest.update(repr(facts).encode())
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
    return digest.hexdigest()


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        return str(error.strerror)


def _mounts() -> Iterator[str]:
    """Mount points of the host itself: those of sandboxes and of temporary work come and go."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if "sandlot" not in point and not point.startswith(("/run/netns", "/tmp/", "/var/tmp/")):  # noqa: S108
            yield point


def _control_groups(name: str) -> Iterator[Path]:
    """The sandboxes' control groups below ``name``, each called as its sandbox."""
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"):
        with suppress(FileNotFoundError):
            yield from (path for path in Path(root, name).iterdir() if path.is_dir())


def _members(cgroup: str) -> defaultdict[str, set[str]]:
    """The processes of each sandbox."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for group in _control_groups(cgroup):
        for path in group.rglob("cgroup.procs"):
            with suppress(OSError):
                found[group.name] |= set(path.read_text().split())
    return found


def _memory_mib(cgroup: str) -> dict[str, int]:
    """What each sandbox had of the host's memory at its most, or has now where the kernel keeps no record."""
    found = {}
    for group in _control_groups(cgroup):
        for file in ("memory.current", "memory.peak", "memory.max_usage_in_bytes"):
            with suppress(OSError):
                found[group.name] = int((group / file).read_text()) // MIB
    return found


def _listening(processes: set[str]) -> Iterator[str]:
    """Addresses on which these processes listen in the host's own network namespace."""
    command = ["ss", "--listening", "--tcp", "--udp", "--numeric", "--processes", "--no-header"]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        owners = {part.split(",")[0] for part in line.split("pid=")[1:]}
        if owners & processes:
            yield line.split()[4]


def _available_mib() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise RuntimeError("/proc/meminfo has no MemAvailable")


def _allocated(folder: Path) -> int:
    total = 0
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not os.path.ismount(os.path.join(parent, name))]
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total


async def _spawn_time() -> float:
    """Seconds until a new process of the host had come and gone; infinite when none could be started."""
    started = time.monotonic()
    try:
        process = await asyncio.create_subprocess_exec("/bin/true")
        await asyncio.wait_for(process.wait(), 10)
    except (OSError, TimeoutError):
        return float("inf")
    return time.monotonic() - started
