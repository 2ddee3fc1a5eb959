"""A hostile program: a file whose first comment says what it tries and what must come of it.

The comment holds lines ``key: value``; a value goes on in lines that are indented::

    tries: Mount the host's disk by its device number.
    user: root
    gvisor: denied: gVisor has no such device
    container: denied
    timeout: 10

``gvisor`` and ``container`` are an outcome, or several joined by "or", and after a second colon a remark;
or "not applicable" and why. What an outcome means is in ``OUTCOMES``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "programs"
TIERS = ("gvisor", "container")

OUTCOMES: Mapping[str, str] = {
    "denied": "refused with an error",
    "contained": "it works, on what belongs to this sandbox alone",
    "limited": "it gets some, then a limit stops it, with an error that it can read",
    "ended": "a limit ended the program, or its sandbox",
    "stopped": "it ran until its own deadline, and was stopped then",
    "seen": "it learns a harmless fact about the host, which docs/security.md admits",
}
"""What a program may be expected to come to."""

BAD: Mapping[str, str] = {
    "escaped": "it reached something outside of its sandbox",
    "broken": "it ended without saying what came of it",
}
"""What no program may come to."""

LANGUAGES: Mapping[str, str] = {
    ".awk": "AWK",
    ".c": "C",
    ".js": "JavaScript",
    ".pl": "Perl",
    ".py": "Python",
    ".sh": "Bash",
    ".sql": "SQL",
    ".zig": "Zig",
}

_KEYS = {
    "tries", "user", *TIERS, "timeout", "memory", "disk", "pids", "internet", "template", "partner"
}  # fmt: skip
_LEADER = re.compile(r"^(?:#|//|\*|/\*|--)+ ?")
_PAIR = re.compile(r"([a-z]+): (.*)")


@dataclass(frozen=True)
class Expectation:
    """What must come of a program on one tier; no outcomes where the tier has nothing to try."""

    outcomes: tuple[str, ...]
    remark: str

    @classmethod
    def parse(cls, text: str) -> Expectation:
        """Raises ValueError for a word that is no outcome."""
        words, _, remark = text.partition(":")
        if words.strip() == "not applicable":
            if not remark.strip():
                raise ValueError("not applicable, but it does not say why")
            return cls((), remark.strip())
        outcomes = tuple(words.strip().split(" or "))
        for word in outcomes:
            if word not in OUTCOMES:
                raise ValueError(f"there is no outcome {word!r}")
        return cls(outcomes, remark.strip())

    def __str__(self) -> str:
        return " or ".join(self.outcomes) or "not applicable"


@dataclass(frozen=True)
class Program:
    """One file under programs/<category>/. Sizes in MiB, ``timeout`` in seconds."""

    path: Path
    tries: str
    expected: Mapping[str, Expectation] = field(hash=False)
    user: str = "user"
    timeout: float = 15
    memory: int = 128
    disk: int = 96
    pids: int = 48
    internet: bool = True
    template: str = "base"
    partner: str | None = None

    @property
    def category(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return f"{self.category}/{self.path.stem}"

    @property
    def language(self) -> str:
        return LANGUAGES[self.path.suffix]

    @classmethod
    def read(cls, path: Path) -> Program:
        """Raises ValueError that names the file where its first comment is not as it must be."""
        try:
            pairs = _header(path.read_text())
            return cls(
                path=path,
                tries=pairs.pop("tries"),
                expected={tier: Expectation.parse(pairs.pop(tier)) for tier in TIERS},
                internet=pairs.pop("internet", "yes") == "yes",
                timeout=float(pairs.pop("timeout", cls.timeout)),
                **_by_language(path.suffix)
                | {key: int(pairs.pop(key)) for key in ("memory", "disk", "pids") if key in pairs}
                | pairs,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: its first comment is not as it must be: {error!r}") from None


def every_program() -> list[Program]:
    """All programs, by name."""
    paths = (path for path in PROGRAMS.glob("*/*") if path.suffix in LANGUAGES)
    return sorted(map(Program.read, paths), key=lambda program: program.name)


def _by_language(suffix: str) -> dict[str, Any]:
    return {"template": "code-interpreter", "memory": 384} if suffix == ".js" else {}


def _header(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("#!"):
            continue
        if not (leader := _LEADER.match(line.lstrip())):
            break
        rest = line.lstrip()[leader.end() :].removesuffix("*/")
        if pair := _PAIR.fullmatch(rest.rstrip()):
            key, value = pair.groups()
            if key not in _KEYS:
                raise ValueError(f"there is no key {key!r}")
            pairs[key] = value
        elif key and rest.startswith("  "):
            pairs[key] += " " + rest.strip()
    return pairs
