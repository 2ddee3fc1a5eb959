"""What a call costs in a sandbox that runs: a command, a line of code, a hundred megabytes of output.

A command is held against the same spawn measured inside the guest, by turns.
"""

from __future__ import annotations

from pathlib import Path

from bench.harness import Options, Row, Samples, finish, options, promise
from bench.stage import TIERS, server
from sandlot import Sandbox
from sandlot.server.local import LocalServer

SPAWN_INSIDE = """
import os, sys, time
for _ in sys.stdin:
    begun = time.perf_counter()
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    print((time.perf_counter() - begun) * 1000, flush=True)
"""
OUTPUT_MIB = 100


class Inside:
    """A program in the guest that spawns `true` each time it is asked to, and says how long that took.

    It is asked by turns with our own calls, so that both find the guest equally warm.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        program = ["python3", "-c", SPAWN_INSIDE]
        self._command = sandbox.commands.start(program, stdin=True, timeout=None, attach=True)

    def spawn_ms(self) -> float:
        self._command.write(b"\n")
        return float(next(self._command).text)


def commands(tier: str, runs: int) -> list[Row]:
    ours, inside = Samples(f"{tier}: command true"), Samples(f"{tier}: spawn true inside")
    with Sandbox.create(isolation=tier) as sandbox:
        bare = Inside(sandbox)
        for _ in range(runs):
            ours.time(lambda: sandbox.commands.run(["/bin/true"], check=True))
            inside.ms.append(bare.spawn_ms())
    over = ours.percentile(50) - inside.percentile(50)
    return [*ours.rows(), *inside.rows(), promise(f"{tier}: command over spawn, p50", over, "ms", limit=2.0)]


def code(tier: str, runs: int) -> list[Row]:
    ours = Samples(f"{tier}: run_code 1+1")
    with Sandbox.create("code-interpreter", isolation=tier) as sandbox:
        sandbox.run_code("1+1")
        for _ in range(runs):
            ours.time(lambda: sandbox.run_code("1+1"))
    return [*ours.rows(), promise(f"{tier}: run_code warm, p50", ours.percentile(50), "ms", limit=10.0)]


def output(tier: str, local: LocalServer) -> Row:
    with Sandbox.create(isolation=tier) as sandbox:
        sandbox.commands.run("true")
        before = resident_mib(local, "VmRSS")
        Path(f"/proc/{local.process.pid}/clear_refs").write_text("5")
        command = sandbox.commands.start(f"head -c {OUTPUT_MIB}M /dev/zero", timeout=300, attach=True)
        received = sum(len(chunk.data) for chunk in command)
        if received != OUTPUT_MIB * 1024 * 1024:
            raise RuntimeError(f"{received} bytes of output arrived")
        growth = resident_mib(local, "VmHWM") - before
    return promise(f"{tier}: server's growth over {OUTPUT_MIB} MiB of output", growth, "MiB", limit=32.0)


def resident_mib(local: LocalServer, field: str) -> float:
    """``VmRSS``, resident now, or ``VmHWM``, its peak since it was reset (proc(5))."""
    for line in Path(f"/proc/{local.process.pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel tells no {field}")


def main(given: Options) -> None:
    rows: list[Row] = []
    with server() as local:
        for tier in TIERS:
            rows += commands(tier, 100 if given.quick else 500)
            rows += code(tier, 50 if given.quick else 500)
            rows.append(output(tier, local))
    finish("exec", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
