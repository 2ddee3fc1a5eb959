"""What a request may ask for, and what it gets where it does not ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from sandlot.core.model import CreateSandbox, Hooks, Snapshot
from sandlot.errors import InvalidArgument
from sandlot.node import Tier

_UNSAID = CreateSandbox()
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENV_NAME = re.compile(r"[^=\0]+")


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's defaults and bounds. Units are in the names."""

    default_isolation: Tier = Tier.GVISOR
    default_cpus: float = 1.0
    default_memory_mib: int = 1024
    default_disk_mib: int = 10 * 1024
    default_pids: int = 512
    max_cpus: float = 64.0
    max_memory_mib: int = 256 * 1024
    max_disk_mib: int = 1024 * 1024
    max_pids: int = 32768
    max_timeout_s: float = 30 * 24 * 3600.0
    max_sandboxes: int = 1000
    max_concurrent_creates: int = 4
    create_timeout_s: float = 60.0
    create_queue_length: int = 500
    create_queue_timeout_s: float = 30.0
    host_reserve_memory_mib: int = 512
    history_s: float = 7 * 24 * 3600.0
    pause_to_disk_after_s: float = 300.0
    max_forks: int = 100


MIN_CPUS = 0.05
MIN_MEMORY_MIB = 64
MIN_DISK_MIB = 64
MIN_PIDS = 8
MAX_KEEP_PAUSED_S = 10 * 365 * 24 * 3600.0
MAX_PAIRS = 256
MAX_PAIRS_BYTES = 64 * 1024
MAX_HOOK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Settled:
    """A request with every default filled in, and every bound checked."""

    isolation: Tier
    cpus: float
    memory_mib: int
    disk_mib: int
    pids: int


def settle(request: CreateSandbox, limits: Limits, snapshot: Snapshot | None = None) -> Settled:
    """Fill in defaults, or what the snapshot decides that it begins from.

    Raises InvalidArgument naming the field, what was asked and what is allowed.
    """
    check_env(request.env)
    check_pairs("metadata", request.metadata)
    check_hooks(request.hooks)
    if request.timeout_s is not None:
        check_timeout(request.timeout_s, limits)
    if request.pause_idle_s is not None:
        check_range("pause_idle_s", request.pause_idle_s, 1, limits.max_timeout_s)
    if request.keep_paused_s is not None:
        check_range("keep_paused_s", request.keep_paused_s, 1, MAX_KEEP_PAUSED_S)
    if request.hostname is not None and not _HOSTNAME.fullmatch(request.hostname):
        raise InvalidArgument(
            "hostname must be 1 to 63 of a-z, 0-9 and '-', not beginning or ending with '-'"
        )
    if snapshot is not None:
        return _settle_again(request, limits, snapshot)
    settled = Settled(
        isolation=request.isolation or limits.default_isolation,
        cpus=limits.default_cpus if request.cpus is None else request.cpus,
        memory_mib=limits.default_memory_mib if request.memory_mib is None else request.memory_mib,
        disk_mib=limits.default_disk_mib if request.disk_mib is None else request.disk_mib,
        pids=limits.default_pids if request.pids is None else request.pids,
    )
    check_range("cpus", settled.cpus, MIN_CPUS, limits.max_cpus)
    check_range("memory_mib", settled.memory_mib, MIN_MEMORY_MIB, limits.max_memory_mib)
    check_range("disk_mib", settled.disk_mib, MIN_DISK_MIB, limits.max_disk_mib)
    check_range("pids", settled.pids, MIN_PIDS, limits.max_pids)
    return replace(settled, cpus=round(settled.cpus, 3))


def _settle_again(request: CreateSandbox, limits: Limits, snapshot: Snapshot) -> Settled:
    """Memory and files are as they are: only the processors may be others."""
    for field in ("isolation", "memory_mib", "disk_mib", "pids"):
        if getattr(request, field) is not None:
            raise _decided(field)
    if request.template not in (_UNSAID.template, snapshot.template):
        raise _decided("template")
    cpus = snapshot.cpus if request.cpus is None else request.cpus
    check_range("cpus", cpus, MIN_CPUS, limits.max_cpus)
    return Settled(
        isolation=snapshot.isolation,
        cpus=round(cpus, 3),
        memory_mib=snapshot.memory_mib,
        disk_mib=snapshot.disk_mib,
        pids=snapshot.pids,
    )


def _decided(field: str) -> InvalidArgument:
    return InvalidArgument(f"{field} cannot be chosen for what is made from a snapshot, which decides it")


def check_timeout(timeout_s: float, limits: Limits, *, least_s: float = 1) -> None:
    """Raises InvalidArgument."""
    check_range("timeout_s", timeout_s, least_s, limits.max_timeout_s)


def check_range(field: str, value: float, low: float, high: float) -> None:
    """Raises InvalidArgument where ``value`` is not a number from ``low`` to ``high``."""
    # Compared first: an integer may be too large for a float, NaN compares false.
    if not low <= value <= high:
        raise InvalidArgument(
            f"{field} must be from {_plainly(low)} to {_plainly(high)}, not {_plainly(value)}"
        )


def check_env(env: Mapping[str, str]) -> None:
    """Bounds for environment variables; odd bytes may come as lone surrogates. Raises InvalidArgument."""
    check_pairs("env", env, errors="surrogateescape")


def check_hooks(hooks: Hooks) -> None:
    """Raises InvalidArgument."""
    for hook, line in asdict(hooks).items():
        if line is None:
            continue
        try:
            size = len(line.encode())
        except UnicodeEncodeError:
            raise InvalidArgument(f"{hook} holds a lone surrogate; it must be Unicode text") from None
        if not line.strip() or "\0" in line or size > MAX_HOOK_BYTES:
            raise InvalidArgument(
                f"{hook} must be a line for the shell of 1 to {MAX_HOOK_BYTES} bytes, none of them NUL"
            )


def check_pairs(field: str, pairs: Mapping[str, str], *, errors: str = "strict") -> None:
    """Bounds for environment variables and metadata. Raises InvalidArgument."""
    if len(pairs) > MAX_PAIRS or sum(len(k) + len(v) for k, v in pairs.items()) > MAX_PAIRS_BYTES:
        raise InvalidArgument(
            f"{field} may hold at most {MAX_PAIRS} entries and {MAX_PAIRS_BYTES} characters"
        )
    for name, value in pairs.items():
        if not _ENV_NAME.fullmatch(name) or "\0" in value:
            raise InvalidArgument(
                f"{field}: the name {name!r} is empty or holds '=' or NUL, or its value NUL"
            )
        try:
            f"{name}={value}".encode(errors=errors)
        except UnicodeEncodeError:
            raise InvalidArgument(
                f"{field}: {name!r} or its value holds a lone surrogate; it must be Unicode text"
            ) from None


def _plainly(number: float) -> str:
    """Without an exponent where people would write none."""
    try:
        return f"{number:.15g}"
    except OverflowError:
        return "an integer that large"
