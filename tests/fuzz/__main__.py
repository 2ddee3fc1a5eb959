"""Fuzzes for as long as you like::

    python -m tests.fuzz [--seconds N] [--target NAME ...] [--keep]

``--keep`` adds what reached something new to the corpus, in the fewest inputs. What breaks a target is
written to ``crash-TARGET`` here: mend the cause, and put it into the corpus under a telling name.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz import targets


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--target", action="append", choices=targets.ALL, help="default: all")
    parser.add_argument("--keep", action="store_true", help="grow the corpus")
    options = parser.parse_args()
    broken = 0
    for target in options.target or targets.ALL:
        with tempfile.TemporaryDirectory() as grown:
            outcome = targets.fuzz(target, options.seconds, Path(grown))
            if outcome.crash is None and options.keep:
                targets.keep(target, Path(grown))
        print(
            f"{target:16} {outcome.runs:>12,} runs  {'broken' if outcome.crash is not None else 'fine'}",
            flush=True,
        )
        if outcome.crash is not None:
            broken += 1
            crash = Path(f"crash-{target}")
            crash.write_bytes(outcome.crash.encode() if isinstance(outcome.crash, str) else outcome.crash)
            print(outcome.log[-3000:])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
