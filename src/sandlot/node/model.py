"""What a node is asked for and what it tells: plain values, no behaviour."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sandlot.network import NetworkPolicy

GIB = 1024**3


class Tier(StrEnum):
    """How a sandbox is walled off. Chosen by threat, never by accident, never changed silently."""

    GVISOR = "gvisor"
    CONTAINER = "container"

    @property
    def keeps_memory(self) -> bool:
        """Whether its sandboxes can be saved with their memory and processes, or their files alone."""
        return self is Tier.GVISOR


@dataclass(frozen=True)
class RootFs:
    """Read-only folders, top first, that a sandbox's writable layer lies over."""

    layers: tuple[Path, ...]


@dataclass(frozen=True)
class SandboxSpec:
    """One sandbox to make. ``cpus`` may be a fraction; ``pids`` counts processes and threads inside.

    ``generation`` is told to a guest that comes back: how often it became one of several.
    """

    id: str
    rootfs: RootFs
    tier: Tier
    cpus: float
    memory_bytes: int
    disk_bytes: int
    pids: int
    network: NetworkPolicy
    hostname: str
    generation: int = 0


def instance_of(data_dir: Path) -> str:
    """The name that everything of one server carries: 4 hex digits, decided by its data folder."""
    return hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:4]


@dataclass(frozen=True)
class NodeSettings:
    """``network_slots`` and ``disk_slots`` stand ready; only disks of ``default_disk_bytes`` are made ahead.

    ``network_allow`` are private networks (CIDR) that sandboxes with internet may reach all the same.
    ``host_reserve_bytes`` of the data folder's file system are never promised to a sandbox.
    ``runsc_platform`` is gVisor's: ``systrap``, ``ptrace`` or ``kvm``. A sandbox that has had nothing to run
    for ``freeze_idle_after_s`` seconds is frozen until the next call; 0 is never.
    """

    data_dir: Path
    network_slots: int = 4
    network_allow: tuple[str, ...] = ()
    disk_slots: int = 4
    max_sandboxes: int = 1000
    default_disk_bytes: int = 10 * GIB
    host_reserve_bytes: int = GIB
    runsc_platform: str = "systrap"
    start_timeout_s: float = 30.0
    freeze_idle_after_s: float = 1.0

    @property
    def instance(self) -> str:
        return instance_of(self.data_dir)


@dataclass(frozen=True)
class Stats:
    """What a sandbox uses now. ``memory_bytes`` leaves out cache that the host may take back."""

    cpu_seconds: float
    memory_bytes: int
    memory_limit_bytes: int
    disk_used_bytes: int
    disk_limit_bytes: int
    rx_bytes: int
    tx_bytes: int
    processes: int


class Presence(StrEnum):
    """What there is of a sandbox after a restart of the server, or of the machine."""

    RUNNING = "running"
    FROZEN = "frozen"
    """It was paused, and its processes are there."""
    SUSPENDED = "suspended"
    """All of it is on disk, and nothing of it runs."""
    GONE = "gone"


@dataclass(frozen=True)
class SnapshotFacts:
    """``size_bytes`` is what a restored sandbox has; ``stored_bytes`` what the snapshot added to the disk.

    ``downtime_s`` is how long the original stood still.
    """

    memory: bool
    size_bytes: int
    stored_bytes: int
    downtime_s: float


@dataclass(frozen=True)
class OomEvent:
    """A sandbox reached its memory limit and something inside was ended for it."""

    reason: str
    memory_bytes: int
    limit_bytes: int


@dataclass(frozen=True)
class Leftover:
    """Something of this instance that belonged to no sandbox, and was removed."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Remains:
    """Of a sandbox that has ended: why something of it is still there. It is tried again."""

    id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class TierStatus:
    """Whether this host can run a tier; each line of ``missing`` says what is missing and how to get it."""

    tier: Tier
    available: bool
    runtime: str | None = None
    version: str | None = None
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Finding:
    """One thing tried on the host. ``fix`` says what to do where ``ok`` is false."""

    name: str
    ok: bool
    detail: str
    fix: str | None = None


@dataclass(frozen=True)
class HostReport:
    """What `sandlot doctor` prints."""

    tiers: list[TierStatus]
    findings: list[Finding]
    kernel: str
    cgroup: str
    runsc_platform: str

    def tier(self, tier: Tier) -> TierStatus:
        return next(status for status in self.tiers if status.tier is tier)
