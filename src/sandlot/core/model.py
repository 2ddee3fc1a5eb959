"""What a sandbox is, and what may be asked of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from sandlot.core.lifecycle import LIVE, State
from sandlot.node import Tier
from sandlot.store import Quotas

T = TypeVar("T")

Ingress = Literal["public", "token", "off"]
"""Who reaches the web ports: whoever knows their host names, who shows the sandbox's token, nobody."""


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """What the template says of its inside, kept with the sandbox: the template may be gone tomorrow."""

    user: str
    workdir: str
    env: Mapping[str, str]
    kernels: Mapping[str, list[str]]


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
    internet: bool = True
    hostname: str | None = None
    ingress: Ingress = "public"
    secured: bool = True
    idempotency_key: str | None = None


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
    """A tenant, and what its sandboxes have that did not end, by their limits; ``queued`` wait to be made."""

    name: str
    quotas: Quotas
    sandboxes: int
    queued: int
    cpus: float
    memory_mib: int
    disk_mib: int


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
