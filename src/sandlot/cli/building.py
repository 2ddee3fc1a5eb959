"""The progress of a build: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self

import typer


class Step(Protocol):
    @property
    def stage(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def fraction(self) -> float | None: ...


class Shown:
    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[stage]}"),
            BarColumn(bar_width=30),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._on_terminal = sys.stderr.isatty()
        self._task = self._bar.add_task("", total=None, stage=name)
        self._stage = name
        self._last = ""

    def __enter__(self) -> Self:
        if self._on_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._on_terminal:
            self._bar.stop()

    def report(self, step: Step) -> None:
        from sandlot.cli.output import shown

        message = shown(step.message)
        if not self._on_terminal:
            line = f"{step.stage}: {message}"
            if line != self._last:
                typer.echo(line, err=True)
            self._last = line
            return
        total, done = (None, 0.0) if step.fraction is None else (1.0, step.fraction)
        self._bar.update(self._task, description=message, total=total, completed=done, stage=step.stage)
