"""What is fuzzed, and how one target is run: all that its corpus keeps, and for a while on from there."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz import native

HERE: Final = Path(__file__).resolve().parent
CORPUS: Final = HERE / "corpus"
PYTHON: Final = ("agent_link", "agent_payloads", "kernel_lines", "tar_stream", "dns_queries")
ALL: Final = (*native.TARGETS, *PYTHON)

_OPTIONS: Final = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1")
_RUNS: Final = re.compile(r"(?:number_of_executed_units: +|Done |Executed )(\d+)")


@dataclass(frozen=True)
class Outcome:
    """``crash`` is the input that broke it, or what was said where there is none."""

    runs: int
    crash: bytes | str | None
    log: str


def command(target: str) -> list[str]:
    if target in PYTHON:
        return [sys.executable, "-m", "tests.fuzz.drive", target]
    return [str(native.build(target))]


def fuzz(target: str, seconds: int, grown: Path | None = None) -> Outcome:
    """Every input that is kept, then others; ``grown`` gathers those that reach something new."""
    with tempfile.TemporaryDirectory() as aside:
        folders = [grown or Path(aside), CORPUS / target]
        return _run(target, [f"-max_total_time={seconds}"], folders, timeout=seconds + 120)


def keep(target: str, grown: Path) -> None:
    """Adds to the corpus what of ``grown`` reaches more, in the fewest inputs that reach all of it.

    libFuzzer finds these by running itself again, which under Python it cannot: there all are kept.
    """
    folder = CORPUS / target
    if target in PYTHON:
        kept = [path.read_bytes() for path in grown.iterdir()]
    else:
        with tempfile.TemporaryDirectory() as fewest:
            outcome = _run(target, ["-merge=1"], [Path(fewest), folder, grown], timeout=1800)
            kept = [path.read_bytes() for path in Path(fewest).iterdir()]
            if outcome.crash is not None or not kept:
                raise RuntimeError(outcome.log)
        for old in folder.iterdir():
            old.unlink()
    for content in kept:
        (folder / hashlib.sha1(content, usedforsecurity=False).hexdigest()[:16]).write_bytes(content)


def _run(target: str, options: Sequence[str], folders: Sequence[Path], *, timeout: float) -> Outcome:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        last = Path(scratch) / "input"
        words = [*command(target), *_OPTIONS, *options, f"-artifact_prefix={scratch}/", *map(str, folders)]
        environment = os.environ | {"SANDLOT_FUZZ_INPUT": str(last), "ASAN_OPTIONS": "symbolize=0"}
        done = subprocess.run(
            words, env=environment, cwd=HERE.parents[1], capture_output=True, timeout=timeout, check=False
        )
        log = (done.stdout + done.stderr).decode(errors="replace")
        found = _RUNS.findall(log)
        runs = int(found[-1]) if found else 0
        if done.returncode == 0:
            return Outcome(runs, None, log)
        saved = [path for path in Path(scratch).iterdir() if path != last]
        crash = next(iter(saved or ([last] if last.exists() else [])), None)
        return Outcome(runs, crash.read_bytes() if crash else log[-4000:], log)
