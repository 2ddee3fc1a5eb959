"""By hand: python -m tests.hostile [--tier TIER] [--only PATTERN] [--out DIR] [--list]"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import signal
import sys
from pathlib import Path

from tests.hostile.program import TIERS, every_program
from tests.hostile.runner import Result, failures
from tests.hostile.suite import OUT, run_suite


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.hostile", description="Run hostile programs in sandboxes."
    )
    parser.add_argument("--tier", choices=TIERS, help="one tier only; both if not given")
    parser.add_argument("--only", default="*", metavar="PATTERN", help='names, such as "network/*"')
    parser.add_argument("--out", type=Path, default=OUT, help="where the report goes")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    asked = parser.parse_args()
    programs = [one for one in every_program() if fnmatch.fnmatchcase(one.name, asked.only)]
    if not programs:
        parser.error(f"no program's name is like {asked.only!r}; --list shows all")
    if asked.list:
        for program in programs:
            print(f"{program.name:<34} {program.language:<11} {program.tries}")
        return 0
    tiers = (asked.tier,) if asked.tier else TIERS
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that its server and sandboxes end with it
    work = [(program, tier) for program in programs for tier in tiers]
    ran = asyncio.run(run_suite(work, asked.out, show))
    failed = failures(ran.results)
    for result in failed:
        print(f"\n{result.explained}", file=sys.stderr)
    print(f"\n{len(ran.results)} runs in {ran.seconds:.0f} s, {len(failed)} not as expected")
    print(asked.out / "report.html")
    return 1 if failed else 0


def show(result: Result) -> None:
    mark = "  " if result.as_expected else "✗ "
    line = f"{mark}{result.program:<34} {result.tier:<10} {result.outcome:<10} {result.said[:110]}"
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
