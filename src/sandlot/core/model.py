"""What a sandbox is, and what may be asked of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from sandlot.core.lifecycle import LIVE, State
from sandlot.errors import SandlotError
from sandlot.node import Tier
from sandlot.store import Quotas

T = TypeVar("T")

Ingress = Literal["public", "token", "off"]
"""Who reaches the web ports: whoever knows their host names, who shows the sandbox's token, nobody."""

OnTimeout = Literal["kill", "pause"]
"""What becomes of a sandbox whose time is up."""

Depth = Literal["frozen", "disk", "files"]
"""How a paused sandbox is kept: in memory, on disk with its memory, on disk without (it starts anew)."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Lines for the sandbox's shell, run as its user.

    ``on_create`` runs once, and ``on_resume`` each time that it comes back: from a pause, as a fork, from a
    snapshot. ``ready`` is tried until it exits with 0; only then does the creation return.
    """

    on_create: str | None = None
    on_resume: str | None = None
    ready: str | None = None


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """What the template says of its inside, kept with the sandbox: the template may be gone tomorrow."""

    user: str
    workdir: str
    env: Mapping[str, str]
    kernels: Mapping[str, list[str]]
    start: str | None = None
    """A line for the shell that runs for as long as the sandbox does, begun whenever it boots."""
    ready: str | None = None
    """A line that exits with 0 once what ``start`` began can be used."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    id: str
    tenant: str
    template: str
    template_id: str
    isolation: Tier
    state: State
    reason: str | None
    cpus: float
    memory_mib: int
    disk_mib: int
    pids: int
    internet: bool
    hostname: str
    env: Mapping[str, str]
    metadata: Mapping[str, str]
    guest: GuestConfig
    created_at: datetime
    started_at: datetime | None = None
    deadline: datetime | None = None
    ended_at: datetime | None = None
    ingress: Ingress = "public"
    secured: bool = True
    """Whether who talks to it without a key must show its token."""
    idempotency_key: str | None = None
    idempotency_digest: str | None = None
    """Of the request that came with the key."""
    timeout_s: float | None = None
    """As last asked for: what it gets again when a request wakes it."""
    on_timeout: OnTimeout = "kill"
    pause_memory: bool = True
    """Whether a pause that comes by itself keeps memory and processes, or files alone."""
    pause_idle_s: float | None = None
    """Paused after it had nothing to run for so long; None for never."""
    auto_resume: bool = True
    """Whether any request wakes it; otherwise only ``resume`` does."""
    keep_paused_s: float | None = None
    """How long it is kept once it is paused; None for no limit."""
    paused_at: datetime | None = None
    depth: Depth | None = None
    """While it is paused."""
    generation: int = 0
    """How often it became one of several: as a fork, from a snapshot, by going back to one."""
    snapshot_id: str | None = None
    """Of the snapshot that it was made from, or last went back to."""
    parent_id: str | None = None
    """Of the sandbox that it was forked from, or whose snapshot it was made from."""
    hooks: Hooks = Hooks()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A sandbox as it was at one moment. ``memory``: with its processes, or its files alone."""

    id: str
    tenant: str
    name: str | None
    """Unique among its tenant's."""
    sandbox_id: str
    memory: bool
    created_at: datetime
    expires_at: datetime | None
    size_bytes: int
    """Of memory and files as they are."""
    stored_bytes: int
    """What it has added to the disk: what it shares with others is not counted again."""
    template: str
    template_id: str
    isolation: Tier
    cpus: float
    memory_mib: int
    disk_mib: int
    pids: int
    internet: bool
    env: Mapping[str, str]
    guest: GuestConfig
    hooks: Hooks = Hooks()
    generation: int = 0
    """The sandbox's at that moment."""


@dataclass(frozen=True, slots=True)
class CreateSnapshot:
    """``memory`` None: where the tier can. ``expires_s`` None: kept until it is deleted."""

    name: str | None = None
    memory: bool | None = None
    expires_s: float | None = None
    take_name: bool = False
    """Whether a snapshot that has the name loses it once this one is whole; otherwise that is a conflict."""


@dataclass(frozen=True, slots=True)
class Fork:
    """One child of a fork: the sandbox, or why there is none."""

    sandbox: Sandbox | None
    error: SandlotError | None = None


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """A request. ``None`` means the server's default; ``timeout_s`` of ``None`` means no deadline."""

    template: str = "base"
    isolation: Tier | None = None
    cpus: float | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    pids: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = 300.0
    internet: bool | None = None
    """None: as the snapshot has it, and otherwise yes."""
    hostname: str | None = None
    ingress: Ingress = "public"
    secured: bool = True
    idempotency_key: str | None = None
    snapshot: str | None = None
    """Id or name; what the snapshot decides (template, tier, memory, disk, processes) must not be given."""
    on_timeout: OnTimeout = "kill"
    pause_memory: bool = True
    pause_idle_s: float | None = None
    auto_resume: bool = True
    keep_paused_s: float | None = None
    hooks: Hooks = Hooks()


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which sandboxes: in any of ``states``, with all of ``metadata``; ``cursor`` is a former page's.

    ``since`` is a moment: those that were created then or later.
    """

    states: frozenset[State] = LIVE
    metadata: Mapping[str, str] = field(default_factory=dict)
    limit: int = 100
    cursor: str | None = None
    template: str | None = None
    since: datetime | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """A tenant, and what its sandboxes have that did not end, by their limits; ``queued`` wait to be made.

    ``paused`` ones are not among the ``sandboxes``: they hold their disks, and the frozen ones their memory.
    """

    name: str
    quotas: Quotas
    sandboxes: int
    queued: int
    cpus: float
    memory_mib: int
    disk_mib: int
    paused: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a sandbox's log. Every transition has one, with a reason."""

    at: datetime
    kind: str
    from_state: State | None
    to_state: State | None
    reason: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Seconds of processor and bytes of network are totals since the start; the rest is as of ``at``."""

    at: datetime
    cpu_seconds: float
    memory_bytes: int
    memory_limit_bytes: int
    disk_used_bytes: int
    disk_limit_bytes: int
    rx_bytes: int
    tx_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class StartCommand:
    """A command for a sandbox: either ``command``, a line for its shell, or ``args``.

    ``timeout_s`` of ``None`` lets it run until the sandbox ends; at the timeout its whole process group ends.
    """

    command: str | None = None
    args: list[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    stdin: bool = False
    timeout_s: float | None = 60.0
    tag: str = ""
    terminal: tuple[int, int] | None = None
    """Rows and columns, where the command gets a terminal."""
