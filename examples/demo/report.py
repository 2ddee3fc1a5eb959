"""What the demo says on the terminal."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from .checks import Check, Verdict
from .clock import Clock
from .transcript import Step

_WIDTH = 110
_MOST_LINES = 9


class Report:
    """Plain text where there is no terminal, colours where there is one and nobody objects."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=False)
        if not self._console.is_terminal or self._console.width > _WIDTH:
            self._console.width = _WIDTH

    def title(self, text: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{text}", align="left", style="dim")
        self._console.print()

    def say(self, text: str) -> None:
        self._console.print(text)

    def host(self, report: Mapping[str, Any]) -> None:
        tiers = [
            f"{tier['tier']}: {Path(tier['runtime']).name} {tier['version']}"
            for tier in report["tiers"]
            if tier["available"]
        ]
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
        machine = f"{os.cpu_count()} processors, {memory:.0f} GiB, Linux {platform.release()}"
        self.say("; ".join([machine, *tiers]))

    def task(self, task: str) -> None:
        self._console.print(Text.assemble(("The task  ", "bold"), task))

    def files_in(self, files: Mapping[str, Path]) -> None:
        sizes = ", ".join(f"{name} {_size(path)}" for name, path in files.items())
        self._console.print(Text(f"→ sandbox  {sizes}", style="cyan"))

    def file_out(self, path: Path) -> None:
        self._console.print(Text(f"← {path}  {_size(path)}", style="cyan"))

    def step(self, number: int, of: int, step: Step) -> None:
        self._console.print()
        self._console.print(Text.assemble((f"{number}/{of}  ", "bold"), (step.thought, "italic")))
        self._console.print(_code(step.code, "bash" if step.shell else "python"))

    def outcome(self, text: str, error: str | None, seconds: float) -> None:
        if text.strip():
            self._console.print(_bounded(text), no_wrap=True, overflow="ellipsis")
        if error:
            shown = _bounded(error, style="red", lines=7)
            self._console.print(shown, no_wrap=True, overflow="ellipsis")
        self._console.print(Text(f"   │ {seconds:.2f} s", style="dim"))

    def answer(self, answer: Mapping[str, Any], expected: Mapping[str, Any], check: Check) -> None:
        table = Table(
            "figure", "the agent, in the sandbox", "the host, without pandas", box=None, pad_edge=False
        )
        for key, value in expected.items():
            table.add_row(key.replace("_", " "), _figure(answer.get(key)), _figure(value))
        self._console.print()
        self._console.print(table)
        self._console.print(_verdict(check))

    def attack(self, name: str, fear: str, program: Path) -> None:
        self._console.print()
        self._console.print(Text.assemble((name, "bold red"), ("  " + fear, "italic")))
        self._console.print(Text(f"     {program.relative_to(Path.cwd())}", style="dim"))
        self._console.print(_code(program.read_text(), "bash" if program.suffix == ".sh" else "python"))

    def attacked(self, verdict: Verdict, seconds: float) -> None:
        self._console.print(
            Text(f"     {verdict.attack} in {verdict.isolation}, {seconds:.1f} s", style="dim")
        )
        for check in (*verdict.sandbox, *verdict.host):
            self._console.print(Padding(_verdict(check), (0, 0, 0, 5)))

    def verdicts(self, verdicts: Iterable[Verdict]) -> None:
        table = Table(show_lines=True, expand=True)
        for header in ("attack", "what happened to the sandbox", "what happened to the host"):
            table.add_column(header)
        for verdict in verdicts:
            label = Text.assemble((verdict.attack, "bold"), f"\nin {verdict.isolation}")
            table.add_row(label, Group(*map(_verdict, verdict.sandbox)), _harm(verdict.host))
        self._console.print(table)

    def times(self, clock: Clock) -> None:
        table = Table("milliseconds", "times", "fastest", "median", "slowest", box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for name, seconds in clock.times.items():
            numbers = (min(seconds), statistics.median(seconds), max(seconds))
            table.add_row(name, str(len(seconds)), *(f"{1000 * value:,.0f}" for value in numbers))
        self._console.print(table)

    def check(self, label: str, check: Check) -> None:
        self._console.print(Text.assemble(label, _verdict(check)))

    def failures(self, failed: Iterable[tuple[str, Check]]) -> None:
        for subject, check in failed:
            self._console.print(Text(f"✗ {subject}: {check.claim}: {check.detail}", style="bold red"))

    def code(self, code: str, language: str) -> None:
        self._console.print(_code(code, language))


def printable(text: str) -> str:
    """Hostile output without anything that a terminal would obey."""
    return "".join(letter if letter == "\n" or letter.isprintable() else "·" for letter in text.expandtabs())


def _code(code: str, language: str) -> Padding:
    syntax = Syntax(code.rstrip(), language, theme="ansi_dark", background_color="default", word_wrap=True)
    return Padding(syntax, (0, 0, 0, 5))


def _bounded(text: str, *, style: str = "", lines: int = _MOST_LINES) -> Text:
    """The first lines of what came back, behind a bar that tells it from code."""
    kept = printable(text[:20_000]).strip("\n").split("\n")
    shown = kept[:lines]
    if len(kept) > lines:
        shown.append(f"… {len(kept) - lines} lines more")
    body = Text()
    for number, line in enumerate(shown):
        body.append("\n" * bool(number))
        body.append("   │ ", style="dim")
        body.append(line, style=style)
    return body


def _verdict(check: Check) -> Text:
    if check.passed:
        return Text.assemble(("✓ ", "green"), printable(check.detail))
    return Text(f"✗ {check.claim}: {printable(check.detail)}", style="bold red")


def _harm(checks: tuple[Check, ...]) -> Group:
    unharmed = all(check.passed for check in checks)
    summary = Text("✓ nothing", style="green") if unharmed else Text("✗ something", style="bold red")
    return Group(summary, *map(_detail, checks))


def _detail(check: Check) -> Text:
    return Text(printable(check.detail), style="dim") if check.passed else _verdict(check)


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{printable(str(key))}: {_figure(one)}" for key, one in value.items())
    return f"{value:,}" if isinstance(value, int | float) else printable(str(value))


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
