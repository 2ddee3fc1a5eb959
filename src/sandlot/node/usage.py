"""What sandboxes use, by the host's own books: nothing inside is asked, so none of them wakes for it."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from sandlot.network.rtnetlink import routes
from sandlot.node.sandbox import NodeSandbox

_DEVICES = Path("/proc/net/dev")
_FEW = 4


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one sandbox, or a sum. Seconds of processor, bytes of network (as the guest sees them) and
    ``thaws``, how often a call found it frozen, are totals; the rest is as of now.
    """

    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    cache_bytes: int = 0
    disk_bytes: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    frozen: int = 0
    thaws: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*map(operator.sub, astuple(self), astuple(other)))


def measure(sandboxes: Collection[NodeSandbox]) -> dict[str, Usage]:
    """By id; one that is just ending may be missing. Blocks: a few small files for each sandbox."""
    devices = [sandbox.parts.network.host_if for sandbox in sandboxes]
    traffic = _traffic() if len(devices) > _FEW else {device: _traffic_of(device) for device in devices}
    found = {}
    for sandbox in sandboxes:
        try:
            found[sandbox.id] = _measure(sandbox, traffic)
        except OSError:
            continue
    return found


def _measure(sandbox: NodeSandbox, traffic: Mapping[str, tuple[int, int]]) -> Usage:
    cgroup = sandbox.parts.cgroup
    memory = cgroup.memory()
    sent_by_host, received_by_host = traffic.get(sandbox.parts.network.host_if, (0, 0))
    return Usage(
        cpu_seconds=cgroup.cpu_seconds(),
        memory_bytes=memory.held_bytes,
        cache_bytes=memory.cache_bytes,
        disk_bytes=sandbox.parts.disk.used_bytes(),
        rx_bytes=sent_by_host,
        tx_bytes=received_by_host,
        frozen=int(sandbox.frozen),
        thaws=sandbox.thaws,
    )


def _traffic_of(device: str) -> tuple[int, int]:
    """Of one alone: the whole table takes the kernel longer, the more sandboxes there are."""
    try:
        with routes() as here:
            received, sent = here.traffic(device)
    except OSError:
        return 0, 0
    return sent, received


def _traffic() -> dict[str, tuple[int, int]]:
    """Bytes sent and received by each network device of the host, in one read: proc_pid_net(5)."""
    traffic = {}
    for line in _DEVICES.read_text().splitlines()[2:]:
        name, _, figures = line.partition(":")
        fields = figures.split()
        traffic[name.strip()] = int(fields[8]), int(fields[0])
    return traffic
