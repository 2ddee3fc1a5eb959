"""Has imported all that a server needs, so that a start of one is a fork: a run here starts hundreds.

Reads lines: `known`, where the report of a host that was probed before may be used again, or `probe`. Answers
each with the process id of the server that it began.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from pathlib import Path

from sandlot.node import HostReport, NodeSettings, node
from sandlot.server.run import serve
from sandlot.server.settings import load


def main(folder: Path) -> None:
    # The kernel reaps: nobody here waits for a server, which mostly ends by SIGKILL from elsewhere.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = 0
    try:
        for line in sys.stdin:
            pid = os.fork()
            if pid == 0:
                _become_server(folder, known=line.strip() == "known")
            print(pid, flush=True)
    finally:
        if pid and Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def _become_server(folder: Path, *, known: bool) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    log = os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    _remember_report(folder / "report", known=known)
    status = 1
    try:
        status = serve(load())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _remember_report(path: Path, *, known: bool) -> None:
    probe = node.probe_host

    async def remembered(settings: NodeSettings) -> HostReport:
        if known and path.exists():
            return pickle.loads(path.read_bytes())  # type: ignore[no-any-return]
        report = await probe(settings)
        aside = path.with_suffix(".new")
        aside.write_bytes(pickle.dumps(report))
        aside.rename(path)
        return report

    node.probe_host = remembered  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
