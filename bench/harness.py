"""What every bench shares: alternating samples, percentiles, the table, the JSON, the exit code."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. With a ``limit`` it is a promise: kept where ``value`` does not exceed it."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    ok: bool = True


@dataclass(slots=True)
class Samples:
    """Durations of one thing, in milliseconds, and how often it failed."""

    name: str
    ms: list[float] = field(default_factory=list)
    failures: int = 0

    def percentile(self, share: float) -> float:
        """The smallest sample that at least ``share`` percent of all do not exceed."""
        ordered = sorted(self.ms)
        return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]

    def time(self, call: Callable[[], T], after: Callable[[T], object] = lambda _: None) -> None:
        """Time ``call``; what it made is given to ``after``, which is not timed."""
        begun = time.perf_counter()
        try:
            made = call()
            taken = time.perf_counter() - begun
            after(made)
        except Exception as error:
            self.failures += 1
            print(f"{self.name}: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            self.ms.append(taken * 1000)

    def rows(self) -> list[Row]:
        figures = [Row(f"{self.name} p{share}", self.percentile(share), "ms") for share in (50, 95, 99)]
        return [
            *figures,
            Row(f"{self.name} runs", len(self.ms) + self.failures, "runs"),
            promise(f"{self.name} failures", self.failures, "runs", limit=0),
        ]


@dataclass(frozen=True, slots=True)
class Options:
    json: bool
    quick: bool


def parser(description: str | None) -> argparse.ArgumentParser:
    """With the options that every bench has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    made.add_argument("--quick", action="store_true", help="fewer runs: done in under 40 s")
    return made


def options(description: str | None) -> Options:
    given = parser(description).parse_args()
    return Options(json=given.json, quick=given.quick)


def promise(name: str, value: float, unit: str, *, limit: float) -> Row:
    """A figure that must not exceed ``limit``."""
    return Row(name, value, unit, limit, value <= limit)


def floor(name: str, value: float, unit: str, *, limit: float) -> Row:
    """A figure that must not fall below ``limit``."""
    return Row(name, value, unit, limit, value >= limit)


def ratio(name: str, ours: Samples, bare: Samples, *, limit: float) -> Row:
    """How many times the bare thing ours takes, at the median."""
    return promise(name, ours.percentile(50) / bare.percentile(50), "×", limit=limit)


def finish(bench: str, rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the result and leave: with 1 where a promise is missed."""
    ok = all(row.ok for row in rows)
    if as_json:
        print(json.dumps({"bench": bench, "rows": [asdict(row) for row in rows], "ok": ok}))
    else:
        _print_table(bench, rows)
    sys.exit(0 if ok else 1)


def _print_table(bench: str, rows: Sequence[Row]) -> None:
    table = Table("what", "value", "unit", "limit", "", title=bench, title_justify="left")
    for column in table.columns[1:4]:
        column.justify = "right"
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:g}"
        mark = "" if row.limit is None else ("kept" if row.ok else "[bold red]missed[/]")
        table.add_row(row.name, f"{row.value:,.2f}", row.unit, limit, mark)
    Console().print(table)
