"""The whole of it: a server of its own, the witness, the programs, the report."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandlot.server.local import LocalServer
from tests.hostile import report
from tests.hostile.building import compile_all
from tests.hostile.program import TIERS, Program
from tests.hostile.runner import Result, run_all, write_json
from tests.hostile.witness import Witness

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "out" / "hostile"
TEMPLATES_DIR = Path(os.environ.get("SANDLOT_TEMPLATES_DIR", "/var/lib/sandlot/templates"))


@dataclass(frozen=True)
class Ran:
    """All results, and the seconds that they took."""

    results: list[Result]
    seconds: float


async def run_suite(
    work: Iterable[tuple[Program, str]], out: Path, told: Callable[[Result], None] = lambda result: None
) -> Ran:
    """Programs with their tiers; writes report.html and results.json into ``out``."""
    chosen = list(work)
    programs = list(dict.fromkeys(program for program, _ in chosen))
    binaries = compile_all(programs, out / "bin")
    started = time.monotonic()
    with _server() as server:
        tiers = tuple(tier for tier in TIERS if any(tier == each for _, each in chosen))
        async with Witness(server, tiers) as witness:
            results = await run_all(chosen, binaries, witness, told)
    ran = Ran(results, time.monotonic() - started)
    write_json(results, out / "results.json")
    (out / "report.html").write_text(report.html(programs, results, ran.seconds))
    return ran


@contextmanager
def _server() -> Iterator[LocalServer]:
    """One for the suite alone, found by the SDK through the environment."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="sandlot-hostile-") as folder:
        server = LocalServer(Path(folder), TEMPLATES_DIR, SANDLOT_DEFAULT_DISK_MIB="96")
        server.start()
        os.environ.update(server.environment)
        try:
            yield server
        finally:
            for name in server.environment:
                os.environ.pop(name, None)
            os.environ.update(before)
            server.end()
