"""The one interface that every isolation tier implements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sandlot.node.cgroups import Cgroup, Limits
from sandlot.node.model import SandboxSpec


@dataclass(frozen=True)
class Started:
    """A runtime's process whose end is the sandbox's end, told apart from a later one with the same pid.

    ``start_ticks`` is its start since boot in clock ticks (field 22 of /proc/<pid>/stat).
    """

    pid: int
    start_ticks: int


@dataclass(frozen=True)
class Launch:
    """What a driver starts: a bundle folder, the group it belongs in, and how long it may take.

    ``netns`` None is a network namespace that the runtime makes.
    """

    id: str
    bundle: Path
    netns: Path | None
    cgroup: Cgroup
    spec: SandboxSpec
    timeout_s: float


class Driver(Protocol):
    """Starts sandboxes of one tier. Ending one needs no driver: it is the end of its control group."""

    def limits(self, spec: SandboxSpec) -> Limits:
        """What the host grants so that the guest really has what ``spec`` promises."""
        ...

    async def start(self, launch: Launch) -> Started:
        """Return once the guest agent listens.

        Raises Unavailable with the runtime's own words, DeadlineExceeded. On failure processes may be left in
        the control group; the caller ends them.
        """
        ...
