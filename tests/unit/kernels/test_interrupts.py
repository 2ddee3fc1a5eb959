"""Interrupts in a process of their own: signals are the whole process's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_KERNELS = Path(__file__).parents[3] / "guest" / "kernels" / "python"
_SCRIPT = """
import os, signal, sys
sys.path.insert(0, {kernels!r})
from sandlot_kernel.interrupts import Interrupts
interrupts = Interrupts()
interrupts.install()
user = {{"interrupt": lambda: os.kill(os.getpid(), signal.SIGINT), "n": 0}}
interrupts.user_globals = user
interrupts.begin()
try:
    exec(compile({code!r}, "user", "exec"), user)
    print("ended by itself")
except KeyboardInterrupt:
    print("interrupted")
interrupts.end()
interrupts._handle(signal.SIGINT, None)
print("alive")
"""


def _run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(kernels=str(_KERNELS), code=code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_first_is_raised_once_and_may_be_caught() -> None:
    code = "try: interrupt()\nexcept KeyboardInterrupt: print('caught')"
    assert _run(code) == ["caught", "ended by itself", "alive"]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_second_gets_through_whatever_catches(depth: int) -> None:
    lines = []
    for level in range(depth):
        lines += ["    " * (2 * level) + "while True:", "    " * (2 * level + 1) + "try:"]
    lines.append("    " * (2 * depth) + "interrupt()")
    for level in reversed(range(depth)):
        lines += ["    " * (2 * level + 1) + "except BaseException:", "    " * (2 * level + 2) + "n += 1"]
    assert _run("\n".join(lines)) == ["interrupted", "alive"]


def test_guarded_code_is_not_interrupted() -> None:
    script = (
        "import __main__\n"
        "def guarded():\n    interrupt()\n    print('whole')\n"
        "__main__.interrupts.guard(guarded)\n"
        "guarded()\n"
        "print(__main__.interrupts.deferred)\n"
        "__main__.interrupts.deliver()"
    )
    assert _run(script) == ["whole", "True", "interrupted", "alive"]
