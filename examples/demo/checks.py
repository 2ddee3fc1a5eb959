"""A claim and whether it held. Everything the demo says at its end is one of these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Check:
    """``detail`` is what was measured; it is what the tables show, whether the check passed or not."""

    claim: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Verdict:
    """One row of the last table: an attack, and what it did to its sandbox and to the host."""

    attack: str
    isolation: str
    sandbox: tuple[Check, ...]
    host: tuple[Check, ...]


@dataclass
class Ledger:
    """Every check of this run, under what it belongs to."""

    entries: list[tuple[str, Check]] = field(default_factory=list)

    def add(self, subject: str, *checks: Check) -> None:
        self.entries += [(subject, check) for check in checks]

    def failures(self) -> Iterator[tuple[str, Check]]:
        return ((subject, check) for subject, check in self.entries if not check.passed)
