"""Pause and resume: how soon a frozen sandbox is awake, what the way to the disk and back takes, and whether
anything is lost on it.

Coming back from disk is measured against `runsc restore` alone, of as much memory and without a network. Ours
ends when the sandbox's agent answers, theirs when the runtime returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.cold import runtime_of
from bench.harness import Options, Row, Samples, finish, options, promise, ratio
from bench.stage import BareRuntime, run_folders, server
from sandlot import Sandbox
from sandlot.server.local import LocalServer

HOLD = "import os, time; held = os.urandom(1 << 20) * {mib}; print('up', flush=True); time.sleep(1e6)"
"""So many MiB, and no more, held by a process that says when it has them."""
WRITE = "exec 3>>written; while :; do i=$((i+1)); echo $i >&3; done"
WAKE_MS = 5.0
TIMES_BARE = 1.3
SECONDS_PER_GIB = 1.0
TO_DISK_S = 0.25
"""What it may take besides, however little there is: of the disk, and until it is seen."""
PATIENCE_S = 120.0


def hold(mib: int) -> list[str]:
    return ["/usr/bin/python3", "-c", HOLD.format(mib=mib)]


def wait(true: Callable[[], bool]) -> None:
    """Looks every five milliseconds, which is in what is timed with it."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("the sandbox is not where it should be")
        time.sleep(0.005)


def on_disk(sandbox: Sandbox) -> bool:
    return sandbox.info().depth == "disk"


def put_on_disk(sandbox: Sandbox) -> None:
    sandbox.pause()
    wait(lambda: on_disk(sandbox))


def at_rest(local: LocalServer, sandbox: Sandbox) -> None:
    """What ran of it is gone, which the kernel takes a moment for once all is on disk."""
    run = run_folders(local) / sandbox.id
    wait(lambda: not run.exists())


def holding(mib: int) -> Sandbox:
    sandbox = Sandbox.create(isolation="gvisor", memory_mib=mib + 512, timeout=None)
    process = sandbox.commands.start(hold(mib), timeout=None, attach=True)
    next(process)
    process.detach()
    return sandbox


def frozen(runs: int) -> list[Row]:
    wake, pause = Samples("frozen: wake"), Samples("frozen: pause")
    with Sandbox.create(isolation="gvisor", timeout=None) as sandbox:
        for _ in range(runs):
            pause.time(sandbox.pause)
            wake.time(sandbox.resume)
    median = promise("frozen: wake at p50", wake.percentile(50), "ms", limit=WAKE_MS)
    return [*wake.rows(), *pause.rows(), median]


def disk(local: LocalServer, bare: BareRuntime, mib: int, runs: int) -> list[Row]:
    """There and back, with so many MiB."""
    there, back = Samples(f"{mib} MiB: to disk"), Samples(f"{mib} MiB: from disk")
    alone = Samples(f"{mib} MiB: bare restore")
    with bare.saved(hold(mib)) as saved, holding(mib) as sandbox:
        for _ in range(runs):
            there.time(lambda: put_on_disk(sandbox))
            at_rest(local, sandbox)
            back.time(sandbox.resume)
            alone.time(saved.restore, after=saved.end)
    allowed_s = TO_DISK_S + SECONDS_PER_GIB * mib / 1024
    return [
        *there.rows(),
        *back.rows(),
        *alone.rows(),
        ratio(f"{mib} MiB: from disk, ratio at p50", back, alone, limit=TIMES_BARE),
        promise(f"{mib} MiB: to disk, at p50", there.percentile(50) / 1000, "s", limit=allowed_s),
    ]


def lost(cycles: int) -> list[Row]:
    """Of what it writes without rest while it is paused and resumed, half of the times on disk."""
    with Sandbox.create(isolation="gvisor", timeout=None) as sandbox:
        writer = sandbox.commands.start(WRITE, timeout=None)
        for cycle in range(cycles):
            sandbox.pause()
            if cycle % 2:
                wait(lambda: on_disk(sandbox))
            sandbox.resume()
        writer.kill()
        written = sandbox.files.read_bytes("written")
        lines = written.count(b"\n")
        expected = b"".join(b"%d\n" % number for number in range(1, lines + 1))
        wrong = sum(one != other for one, other in zip(written, expected, strict=False))
        wrong += abs(len(written) - len(expected))
    return [
        Row(f"{cycles} cycles: lines written", lines, "lines"),
        promise(f"{cycles} cycles: bytes lost or wrong", wrong, "bytes", limit=0),
    ]


def main(given: Options) -> None:
    with server():
        rows = frozen(20 if given.quick else 200)
    with server(SANDLOT_PAUSE_TO_DISK_AFTER_S="0") as local:
        rows += lost(10 if given.quick else 100)
        with Sandbox.create(isolation="gvisor", timeout=None) as carrier:
            bare = BareRuntime(local, carrier, runtime_of("gvisor"))
            for mib in (128,) if given.quick else (128, 1024):
                rows += disk(local, bare, mib, 4 if given.quick else 20)
    finish("pause", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
