"""Many idle gVisor sandboxes: their cost in processor and memory, the server's included, and that of a thaw.

The bare runtime beside them runs `sleep` in the bundle of one of ours.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.cold import runtime_of
from bench.harness import Options, Row, Samples, finish, options, promise
from bench.stage import BareRuntime, server
from sandlot import Sandbox
from sandlot.node import instance_of
from sandlot.node.cgroups import Cgroup, CgroupLayout, CgroupTree
from sandlot.server.local import LocalServer

MIB = 1 << 20
CPU_LIMIT_PERCENT = 5.0
THAW_LIMIT_MS = 2.0
MEMORY_LIMIT_RATIO = 1.4
SERVER_LIMIT_MIB = 200.0
CREATING_AT_ONCE = 4
FREEZE_DEADLINE_S = 120.0
PAUSE_S = 0.4
"""Before the call to a sandbox that is awake: less than it takes to be frozen again."""


@dataclass(frozen=True, slots=True)
class Size:
    sandboxes: int
    window_s: float
    calls: int
    bare: int


FULL = Size(sandboxes=300, window_s=60, calls=60, bare=8)
QUICK = Size(sandboxes=12, window_s=5, calls=8, bare=3)


class Crowd:
    """Idle sandboxes, their control groups, and their server."""

    def __init__(self, local: LocalServer, sandboxes: Sequence[Sandbox]) -> None:
        tree = CgroupTree(instance_of(local.folder / "data"), CgroupLayout.detect())
        self._server = local.process.pid
        self.sandboxes = sandboxes
        self.groups = [tree.group(sandbox.id) for sandbox in sandboxes]

    def wait_frozen(self) -> None:
        for group in self.groups:
            wait_frozen(group)

    def cpu_percent(self, window_s: float) -> tuple[float, float]:
        """Of one processor: all sandboxes together, and the server."""
        begun, sandboxes, server_s = time.monotonic(), self._sandboxes_s(), process_s(self._server)
        time.sleep(window_s)
        passed = time.monotonic() - begun
        guests = 100 * (self._sandboxes_s() - sandboxes) / passed
        return guests, 100 * (process_s(self._server) - server_s) / passed

    def server_mib(self) -> float:
        return pss_bytes([self._server]) / MIB

    def sandbox_bytes(self) -> float:
        return statistics.median(pss_bytes(group.processes()) for group in self.groups)

    def _sandboxes_s(self) -> float:
        return sum(group.cpu_seconds() for group in self.groups)


def wait_frozen(group: Cgroup) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + FREEZE_DEADLINE_S
    while not group.is_frozen():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{group.path} was not frozen in {FREEZE_DEADLINE_S:g} s")
        time.sleep(0.01)


def process_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_bytes(pids: Sequence[int]) -> int:
    """Proportional set size: of what processes share, each has its part."""
    return sum(_pss_of(pid) for pid in pids)


def _pss_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has no proportional set size")


def thaw_rows(crowd: Crowd, calls: int) -> list[Row]:
    """Calls to one sandbox, awake and frozen by turns."""
    sandbox, group = crowd.sandboxes[0], crowd.groups[0]
    awake, frozen = Samples("call, awake"), Samples("call, frozen before")
    for _ in range(calls):
        wait_frozen(group)
        frozen.time(lambda: call(sandbox))
        time.sleep(PAUSE_S)
        awake.time(lambda: call(sandbox))
    more = frozen.percentile(50) - awake.percentile(50)
    return [*awake.rows(), *frozen.rows(), promise("a thaw adds at p50", more, "ms", limit=THAW_LIMIT_MS)]


def call(sandbox: Sandbox) -> None:
    sandbox.files.exists("/etc/hostname")


def main(given: Options) -> None:
    size = QUICK if given.quick else FULL
    rows: list[Row] = []
    with server() as local, ExitStack() as bare:
        begun = time.perf_counter()
        with ThreadPoolExecutor(CREATING_AT_ONCE) as pool:
            made = list(
                pool.map(lambda _: Sandbox.create(isolation="gvisor", timeout=None), range(size.sandboxes))
            )
        each_ms = (time.perf_counter() - begun) / size.sandboxes * 1000
        rows.append(Row(f"creation, {CREATING_AT_ONCE} at a time", each_ms, "ms each"))
        crowd = Crowd(local, made)
        crowd.wait_frozen()
        guests, own = crowd.cpu_percent(size.window_s)
        count = f"{size.sandboxes} idle sandboxes"
        rows += [
            Row(f"{count}: processor", guests, "% of one"),
            Row(f"{count}: processor of the server", own, "% of one"),
            promise(f"{count}: processor in all", guests + own, "% of one", limit=CPU_LIMIT_PERCENT),
            promise(f"{count}: memory of the server", crowd.server_mib(), "MiB", limit=SERVER_LIMIT_MIB),
        ]
        rows += thaw_rows(crowd, size.calls)
        crowd.wait_frozen()
        runtime = BareRuntime(local, made[0], runtime_of("gvisor"))
        standing = [bare.enter_context(runtime.sleeping()) for _ in range(size.bare)]
        ours, alone = crowd.sandbox_bytes(), statistics.median(pss_bytes(pids) for pids in standing)
        rows += [
            Row("an idle sandbox: memory (PSS)", ours / MIB, "MiB"),
            Row("bare `runsc run sleep`: memory (PSS)", alone / MIB, "MiB"),
            promise("memory: ratio", ours / alone, "×", limit=MEMORY_LIMIT_RATIO),
        ]
    finish("density", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
