"""Which interpreter and template a program wants, by its name and its first line."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from sandlot.cli.failures import fail


@dataclass(frozen=True)
class Program:
    interpreter: tuple[str, ...]
    template: str


_BY_SUFFIX = {
    ".py": Program(("python3", "-u"), "code-interpreter"),
    ".js": Program(("node",), "code-interpreter"),
    ".mjs": Program(("node",), "code-interpreter"),
    ".cjs": Program(("node",), "code-interpreter"),
    ".sh": Program(("bash",), "base"),
    ".bash": Program(("bash",), "base"),
}
_FIRST_LINE = 256


def program_for(file: Path) -> Program:
    """How to run ``file``; fails where its name ends in none of the known ways and no ``#!`` says how."""
    known = _BY_SUFFIX.get(file.suffix.lower())
    if known is not None:
        return known
    with file.open("rb") as opened:
        line = opened.readline(_FIRST_LINE).decode(errors="replace").strip()
    if not line.startswith("#!"):
        known_ones = ", ".join(_BY_SUFFIX)
        fail(f"how to run {file} is not clear: it is none of {known_ones}, and does not begin with #!")
    words = shlex.split(line.removeprefix("#!"))
    language = "code-interpreter" if any(name in line for name in ("python", "node")) else "base"
    return Program(tuple(words), language)
