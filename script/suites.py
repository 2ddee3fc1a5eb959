"""Run every test, several suites beside each other: most of a test's time is waiting for something.

What fails is run once more when everything else is done, alone: two busy cores make some waits too short.
What fails twice is broken; what passes then is named, to be mended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
LOGS = ROOT / ".pytest_cache" / "suites"
AT_ONCE = int(os.environ.get("TEST_JOBS", (os.cpu_count() or 1) + 1))
LONGEST_FIRST = (
    "node", "sandbox", "compat", "hostile", "crash", "e2e", "tenants", "agent", "api", "interpreter",
    "unit", "tls", "pools",
)  # fmt: skip
FAILED = 1  # pytest's word for "tests ran, and some failed"


@dataclass
class Suite:
    """The tests of one folder, in a process of their own."""

    name: str
    paths: Sequence[Path]
    folder: Path
    """For its temporary files: pytest's common one is tidied by whichever run ends first."""
    took_s: float = 0.0
    status: int | None = None
    flaky: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _began: float = 0.0

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    def start(self) -> None:
        self._began = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command(), cwd=ROOT, stdout=log, stderr=log)

    def is_done(self) -> bool:
        if self._process is None or self._process.poll() is None:
            return False
        self.status = self._process.returncode
        self.took_s = time.monotonic() - self._began
        return True

    def wait(self) -> None:
        if self._process is not None:
            self._process.wait()

    def try_again(self) -> None:
        """Only what failed, and for all to see."""
        command = self._command("--last-failed", "--last-failed-no-failures", "none")
        self.status = subprocess.run(command, cwd=ROOT).returncode
        self.flaky = self.status == 0

    def _command(self, *options: str) -> list[str]:
        cache = ["-o", f"cache_dir={LOGS / self.name}"]
        own = [f"--basetemp={self.folder / self.name}", *cache, *options]
        return [sys.executable, "-m", "pytest", "--durations=5", *own, *map(str, self.paths)]

    def show(self) -> None:
        lines = self.log.read_text(errors="replace").splitlines()
        print(f"\n── {self.name}: {lines[-1].strip('= ') if lines else 'said nothing'}", flush=True)
        if self.status != 0:
            print("\n".join(lines), flush=True)


def suites(folder: Path) -> list[Suite]:
    """One for each folder of ``tests`` and of ``tests/integration`` that has tests."""
    folders = [path for path in TESTS.iterdir() if path.name != "integration"]
    folders += (TESTS / "integration").iterdir()
    found = [Suite(path.name, [path], folder) for path in folders if _has_tests(path)]
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    return sorted(found, key=lambda suite: (order.get(suite.name, len(order)), suite.name))


def _has_tests(folder: Path) -> bool:
    return folder.is_dir() and any(folder.rglob("test_*.py"))


def run(waiting: list[Suite]) -> Iterator[Suite]:
    """Each suite once it is done."""
    running: list[Suite] = []
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(waiting.pop(0))
                running[-1].start()
            for suite in [each for each in running if each.is_done()]:
                running.remove(suite)
                yield suite
            time.sleep(0.2)
    finally:  # Ctrl-C reaches the suites as well, and they clean up
        for suite in running:
            suite.wait()


def main() -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as folder:
        return run_all(suites(Path(folder)))


def run_all(everything: list[Suite]) -> int:
    began = time.monotonic()
    print(f"{len(everything)} suites, {AT_ONCE} at once: {', '.join(each.name for each in everything)}")
    for suite in run(list(everything)):
        suite.show()
    failed = [suite for suite in everything if suite.status == FAILED]
    if failed:
        print("\n── what failed, once more", flush=True)
    for suite in failed:
        suite.try_again()
    print("\n── how long they took")
    for suite in sorted(everything, key=lambda each: -each.took_s):
        verdict = "passed the second time" if suite.flaky else "passed" if suite.status == 0 else "FAILED"
        print(f"{suite.took_s:7.0f} s  {suite.name:12} {verdict}")
    print(f"{time.monotonic() - began:7.0f} s  in all")
    return max(suite.status or 0 for suite in everything)


if __name__ == "__main__":
    sys.exit(main())
