"""A quiet sandbox's `exec` beside eight hostile ones, against the same alone, by turns.

Each hostile sandbox may use one processor, 256 MiB, 128 processes and 512 MiB of disk, and runs one of the
programs below until it is killed. A command is processor time, of which the quiet sandbox has a whole
processor alone; with eight others that take all they can get, its fair share of two processors is 2/9. So
``TIMES_ALONE`` is what fairness costs and a little more: the promise is that nobody takes beyond his share.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.harness import Options, Row, Samples, finish, options, promise
from bench.stage import server
from sandlot import Sandbox, SandboxError

TIMES_ALONE = 5.0
SETTLE_S = 2.0
PACE_S = 0.05
"""Between two calls: a quiet sandbox is one that is asked for something now and then."""

PYTHON = {
    "spins": "while True: pass",
    "forks": """
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(0.01)
    except OSError:
        pass
""",
    "takes memory": """
import time
while True:
    held = []
    try:
        while len(held) < 400:
            held.append(bytearray(1 << 20))
    except MemoryError:
        pass
""",
    "calls the kernel": "import os\nwhile True: os.stat('/')",
    "floods the network": """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    while True:
        try:
            sender.sendto(b'x' * 1400, ('192.0.2.1', 9))
        except OSError:
            pass
""",
    "takes descriptors and threads": """
import os, threading, time
while True:
    held = []
    try:
        while True:
            held.append(os.pipe())
            threading.Thread(target=time.sleep, args=(0.05,), daemon=True).start()
    except (OSError, RuntimeError):
        pass
    for ends in held:
        for end in ends:
            os.close(end)
""",
}
SHELL = {
    "writes to disk": "while :; do head -c 400M /dev/zero > big; sync; rm -f big; done",
    "floods its output": "exec yes 'more than anyone reads'",
}


@contextmanager
def hostile() -> Iterator[None]:
    """All eight at work. One that dies of its own deeds (out of memory) is started anew by its shell."""
    with ExitStack() as stack:
        for name, program in {**PYTHON, **SHELL}.items():
            sandbox = stack.enter_context(
                Sandbox.create(cpus=1, memory_mib=256, pids=128, disk_mib=512, metadata={"does": name})
            )
            line = program
            if name in PYTHON:
                sandbox.files.write("hostile.py", program)
                line = "while :; do python3 hostile.py; done"
            sandbox.commands.start(line, timeout=None)
        time.sleep(SETTLE_S)
        yield


def ask(quiet: Sandbox, samples: Samples, calls: int) -> None:
    for _ in range(calls):
        samples.time(lambda: quiet.commands.run(["/bin/true"], check=True))
        time.sleep(PACE_S)


def measure(rounds: int, calls: int) -> list[Row]:
    alone, beside = Samples("exec alone"), Samples("exec beside eight hostile")
    with Sandbox.create(timeout=None) as quiet:
        quiet.commands.run(["/bin/true"], check=True)
        for _ in range(rounds):
            ask(quiet, alone, calls)
            with hostile():
                ask(quiet, beside, calls)
    return [
        *alone.rows(),
        *beside.rows(),
        Row("p50 beside over alone", beside.percentile(50) / alone.percentile(50), "×"),
        promise(
            "p99 beside over alone", beside.percentile(99) / alone.percentile(99), "×", limit=TIMES_ALONE
        ),
    ]


def main(given: Options) -> None:
    with server():
        try:
            rows = measure(*((1, 60) if given.quick else (5, 200)))
        except SandboxError as error:
            sys.exit(f"neighbours: {error}")
    finish("neighbours", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
