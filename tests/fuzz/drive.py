"""One Python target under atheris: ``python -m tests.fuzz.drive TARGET [libFuzzer's arguments]``."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    target = sys.argv.pop(1)
    with atheris.instrument_imports(include=["sandlot", "dns"], enable_loader_override=False):
        module = importlib.import_module(f"tests.fuzz.python.{target}")
    atheris.Setup(sys.argv, module.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
