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
    """Starts sandboxes of one tier. Ending one needs no driver: it is the end of its control group.

    A sandbox is named by its id and its bundle. Where a tier keeps no memory, all that has to do with that
    raises Conflict.
    """

    def limits(self, spec: SandboxSpec) -> Limits:
        """What the host grants so that the guest really has what ``spec`` promises."""
        ...

    async def start(self, launch: Launch) -> Started:
        """Return once the guest agent listens.

        Raises Unavailable with the runtime's own words, DeadlineExceeded. On failure processes may be left in
        the control group; the caller ends them.
        """
        ...

    async def pause(self, id: str, bundle: Path) -> None:
        """Let nothing inside run any more. It must not be frozen. Raises Unavailable, DeadlineExceeded."""
        ...

    async def resume(self, id: str, bundle: Path) -> None:
        """After ``pause``. Raises Unavailable, also where it was not paused, and DeadlineExceeded."""
        ...

    async def checkpoint(self, id: str, bundle: Path, into: Path, timeout_s: float) -> None:
        """Write the memory of one that is paused, and stays so, into an empty folder. Its connections are
        lost.

        Raises Conflict where something in it cannot be saved, NotEnoughSpace, Unavailable, DeadlineExceeded.
        """
        ...

    def is_whole(self, cgroup: Cgroup, main: Started) -> bool:
        """Whether all of its runtime is alive: what is saved of a part of it never answers again. Blocks."""
        ...

    async def restore(self, launch: Launch, image: Path) -> Started:
        """As ``start``, from what ``checkpoint`` wrote. Its disk must be as it was then."""
        ...
