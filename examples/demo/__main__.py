"""The demo: an agent's real job in a sandbox, then the attacks that people fear, then the bill."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sandlot import AsyncSandbox, AsyncServer, SandboxError
from sandlot.images import Templates

from . import dataset
from .analyst import Analyst
from .attacks import ATTACKS, CANARY_FILE, Attacks, Host
from .checks import Check, Ledger
from .clock import Clock
from .lives import Lives
from .report import Report
from .server import DemoServer
from .watch import Watch

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "demo"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sandlot" / "demo"
TEMPLATES = Path(os.environ.get("SANDLOT_TEMPLATES_DIR", "/var/lib/sandlot/templates"))

NEXT = """\
from sandlot import Sandbox

with Sandbox.create("code-interpreter") as sandbox:
    print(sandbox.run_code("sum(range(10))").text)
"""
# The first start makes a key, which the SDK and the CLI of this machine find by themselves.
SERVE = ".venv/bin/sandlot serve    # in another terminal"


class Demo:
    """One run, from the server's start to its last trace."""

    def __init__(self, *, quick: bool) -> None:
        self._tiers = ("gvisor",) if quick else ("gvisor", "container")
        self._report = Report()
        self._ledger = Ledger()
        self._clock = Clock()
        self._planted = secrets.token_hex(16)
        settings = {"SANDLOT_POOLS": "base=1", "DEMO_SECRET": self._planted}
        self._server = DemoServer(OUT / "server", TEMPLATES, settings)

    def run(self) -> int:
        """The exit status: 0 when every check passed."""
        started = time.monotonic()
        self._report.title("A server for this demo")
        try:
            files = dataset.fetch(CACHE)
            with self._clock.time("start of the server"):
                self._server.start()
            os.environ |= self._server.local.environment
            self._report.say(f"{self._server.local.url}, data in {self._server.folder}")
            asyncio.run(self._perform(files))
        finally:
            self._clean()
        return self._close(time.monotonic() - started)

    async def _perform(self, files: dict[str, Path]) -> None:
        task = asyncio.current_task()
        if task is not None:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        self._report.host(await AsyncServer().host())
        self._report.title("An agent's job: code that nobody reviewed, on real data")
        await Analyst(self._report, self._ledger, self._clock, OUT).work(files)
        self._report.title("Its lives: paused, kept, gone back, and several at once")
        await Lives(self._report, self._ledger, self._clock).show()
        self._report.title(
            "Attacks, each in a sandbox of its own, while a neighbour works and the host is watched"
        )
        async with self._watched() as attacks:
            verdicts = [
                await attacks.run(attack, tier, show=tier == self._tiers[0])
                for attack in ATTACKS
                for tier in self._tiers
            ]
        self._report.title("What became of it")
        self._report.verdicts(verdicts)

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[Attacks]:
        server = self._server
        layers = Templates(TEMPLATES).resolve("base").layers
        canaries = server.canaries
        (canaries / CANARY_FILE).write_text(canary := secrets.token_hex(16))
        known = (canary, self._planted, server.local.key)
        async with (
            await AsyncSandbox.create("base", timeout=900) as neighbour,
            Watch(neighbour, canaries, layers, server.folder / "data", server.cgroup) as watch,
            Host(canaries, server.local.port, server.local.process.pid, known) as host,
        ):
            yield Attacks(self._report, self._ledger, self._clock, watch, host)

    def _clean(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._report.title("Leaving")
        with self._clock.time("stop of the server, and all that it made"):
            left = self._server.end()
        detail = (
            "; ".join(left)
            or "no sandbox, process, mount, loop device, namespace, link, firewall rule or file"
        )
        check = Check("nothing is left on the machine", not left, detail)
        self._ledger.add("leaving", check)
        self._report.check("left behind: ", check)

    def _close(self, seconds: float) -> int:
        self._report.title("How long things took")
        self._report.times(self._clock)
        self._report.title("Now you")
        self._report.code(SERVE, "bash")
        self._report.say("")
        self._report.code(NEXT, "python")
        failed = list(self._ledger.failures())
        self._report.say("")
        self._report.failures(failed)
        passed = len(self._ledger.entries) - len(failed)
        self._report.say(
            f"{passed} checks passed, {len(failed)} failed, in {seconds:.0f} s. Charts and table are in {OUT}"
        )
        return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="attack the default tier only")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return Demo(quick=options.quick).run()
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except (dataset.DatasetError, SandboxError, RuntimeError) as error:
        print(f"script/demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
