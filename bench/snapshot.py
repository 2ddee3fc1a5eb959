"""Snapshots: how long the original stands still, what the first and the next one take on the disk, and what
it takes to make one and to begin a sandbox from it.

Against `runsc checkpoint` and `runsc restore` of as much memory, without a disk and without a network. Ours
keeps the disk, too, and all of it is written out when it returns; of the checkpoint alone nothing may be
yet. A restore of ours ends when a program has run in the sandbox, theirs when the runtime returns. The
first one from a snapshot also verifies its files and puts them together; the next ones find them so.
"""

from __future__ import annotations

import shutil

from bench.cold import runtime_of
from bench.harness import Options, Row, Samples, finish, options, promise, ratio
from bench.pause import hold, holding
from bench.stage import BareRuntime, server
from sandlot import Sandbox, Snapshot

CHANGE = ["/usr/bin/perl", "-e", "open F, '>>', '/root/log'; print F 'x' x 1e5; $a = 'y' x 1e6"]
"""What a sandbox does between two snapshots: it starts a program, which takes memory and writes a file."""
MAKE_TIMES_BARE = 2.5
DOWN_TIMES_BARE = 1.5
FIRST_TIMES_BARE = 2.3
RESTORE_TIMES_BARE = 1.8
NEXT_SHARE = 0.1
MIB = 1 << 20


def measure(bare: BareRuntime, mib: int, runs: int) -> list[Row]:
    making, down = Samples(f"{mib} MiB: make"), Samples(f"{mib} MiB: stands still")
    first, again = Samples(f"{mib} MiB: first restore"), Samples(f"{mib} MiB: next restore")
    saving, back = Samples(f"{mib} MiB: bare checkpoint"), Samples(f"{mib} MiB: bare restore")
    kept: list[Snapshot] = []
    with (
        holding(mib) as sandbox,
        bare.checkpoints(hold(mib)) as checkpoint,
        bare.saved(hold(mib)) as saved,
    ):
        for _ in range(runs):
            sandbox.commands.run(CHANGE, check=True)
            making.time(sandbox.snapshot, after=kept.append)
            saving.time(checkpoint, after=shutil.rmtree)
            back.time(saved.restore, after=saved.end)
            first.time(lambda: begin(kept[-1]), after=Sandbox.kill)
            again.time(lambda: begin(kept[-1]), after=Sandbox.kill)
        down.ms += [
            1000 * event.details["downtime_s"] for event in sandbox.events() if event.kind == "snapshot"
        ]
    rows = [row for each in (making, down, saving, first, again, back) for row in each.rows()]
    rows += sizes(mib, kept)
    for snapshot in kept:
        snapshot.delete()
    return [
        *rows,
        ratio(f"{mib} MiB: make, ratio at p50", making, saving, limit=MAKE_TIMES_BARE),
        ratio(f"{mib} MiB: stands still, ratio at p50", down, saving, limit=DOWN_TIMES_BARE),
        ratio(f"{mib} MiB: first restore, ratio at p50", first, back, limit=FIRST_TIMES_BARE),
        ratio(f"{mib} MiB: next restore, ratio at p50", again, back, limit=RESTORE_TIMES_BARE),
    ]


def begin(snapshot: Snapshot) -> Sandbox:
    sandbox = Sandbox.create(snapshot=snapshot)
    sandbox.commands.run(["/bin/true"], check=True)
    return sandbox


def sizes(mib: int, kept: list[Snapshot]) -> list[Row]:
    first, rest = kept[0].stored_bytes, [snapshot.stored_bytes for snapshot in kept[1:]]
    following = sorted(rest)[len(rest) // 2]
    return [
        Row(f"{mib} MiB: first on disk", first / MIB, "MiB"),
        Row(f"{mib} MiB: next on disk, median", following / MIB, "MiB"),
        promise(f"{mib} MiB: next against first", following / first, "×", limit=NEXT_SHARE),
    ]


def main(given: Options) -> None:
    rows: list[Row] = []
    with server() as local, Sandbox.create(isolation="gvisor", timeout=None) as carrier:
        bare = BareRuntime(local, carrier, runtime_of("gvisor"))
        for mib in (128,) if given.quick else (128, 1024):
            rows += measure(bare, mib, 3 if given.quick else 20)
    finish("snapshot", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
