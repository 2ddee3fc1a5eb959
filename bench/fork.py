"""Forks: children of a process that holds memory, until all of them have answered; and what each costs.

Against as many `runsc restore` of as much memory, as many at once as the node makes. Theirs have no network
and no disk of their own, their checkpoint is made before, and each ends when the runtime returns. Ours is all
of it: the parent is saved, its disk copied, and a command has run in each child.

Sandboxes share the processors as one group, the bare runtime does as any program: on a machine that has other
work to do the comparison is in theirs.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.cold import runtime_of
from bench.density import MIB, pss_bytes
from bench.harness import Options, Row, Samples, finish, options, ratio
from bench.pause import hold, holding
from bench.stage import BareRuntime, Saved, server
from sandlot import Sandbox
from sandlot.node import instance_of
from sandlot.node.cgroups import CgroupLayout, CgroupTree
from sandlot.server.local import LocalServer

CHILDREN = 10
HELD_MIB = 100
AT_ONCE = 4
"""What the node restores side by side."""
TIMES_BARE = 1.2


class Family:
    """The children of one fork."""

    def __init__(self, local: LocalServer, parent: Sandbox) -> None:
        self._local = local
        self._parent = parent
        self._tree = CgroupTree(instance_of(local.folder / "data"), CgroupLayout.detect())
        self.memory_mib: list[float] = []
        self.disk_mib: list[float] = []

    def fork(self) -> Sequence[Sandbox]:
        children = self._parent.fork(CHILDREN, timeout=None)
        with ThreadPoolExecutor(CHILDREN) as pool:
            list(pool.map(lambda child: child.commands.run(["/bin/true"], check=True), children))
        return children

    def weigh_and_end(self, children: Sequence[Sandbox]) -> None:
        held = [pss_bytes(self._tree.group(child.id).processes()) for child in children]
        self.memory_mib.append(statistics.median(held) / MIB)
        disks = _allocated(self._local.folder / "data" / "node" / "disks")
        with ThreadPoolExecutor(CHILDREN) as pool:
            list(pool.map(Sandbox.kill, children))
        self.disk_mib.append(statistics.median(sorted(disks)[-CHILDREN:]) / MIB)


def _allocated(folder: Path) -> list[int]:
    """Bytes on the disk of each disk of a sandbox."""
    return [image.stat().st_blocks * 512 for image in folder.glob("*.img")]


def restore_all(saved: Saved) -> Sequence[str]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda _: saved.restore(), range(CHILDREN)))


def end_all(saved: Saved, names: Sequence[str]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(saved.end, names))


def measure(local: LocalServer, bare: BareRuntime, runs: int) -> list[Row]:
    what = f"{CHILDREN} children of {HELD_MIB} MiB"
    ours, alone = Samples(f"{what}: all have answered"), Samples(f"{CHILDREN} bare restores")
    with bare.saved(hold(HELD_MIB)) as saved, holding(HELD_MIB) as parent:
        family = Family(local, parent)
        for _ in range(runs):
            ours.time(family.fork, after=family.weigh_and_end)
            alone.time(lambda: restore_all(saved), after=lambda names: end_all(saved, names))
    return [
        *ours.rows(),
        *alone.rows(),
        Row("a child: memory (PSS)", statistics.median(family.memory_mib), "MiB"),
        Row("a child: disk", statistics.median(family.disk_mib), "MiB"),
        ratio(f"{what}: ratio at p50", ours, alone, limit=TIMES_BARE),
    ]


def main(given: Options) -> None:
    with server() as local, Sandbox.create(isolation="gvisor", timeout=None) as carrier:
        bare = BareRuntime(local, carrier, runtime_of("gvisor"))
        rows = measure(local, bare, 2 if given.quick else 20)
    finish("fork", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
