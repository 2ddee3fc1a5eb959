"""What running code gives back, in the order in which it happens; the last is Done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Context:
    """An interpreter with variables of its own."""

    id: str
    language: str
    cwd: str


@dataclass(frozen=True, slots=True)
class Stdout:
    text: str


@dataclass(frozen=True, slots=True)
class Stderr:
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """Something shown, in each format that it has. ``is_main``: it is the value of the last expression.

    ``png``, ``jpeg`` and ``pdf`` are base64. ``data`` holds a table's columns by name, ``chart`` what a
    figure was drawn from. ``extra`` has formats without a field of their own, by MIME type.
    """

    is_main: bool
    text: str | None = None
    html: str | None = None
    markdown: str | None = None
    svg: str | None = None
    png: str | None = None
    jpeg: str | None = None
    pdf: str | None = None
    latex: str | None = None
    json: Any = None
    javascript: str | None = None
    data: dict[str, Any] | None = None
    chart: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """What ended the run early: the exception of the code, or one of these names that the host gives:
    ``TimeoutError``, ``OutputLimitExceeded``, ``KernelDied``. ``traceback`` is plain text."""

    name: str
    value: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Done:
    execution_count: int
    duration_ms: float


CodeEvent = Stdout | Stderr | Result | ErrorEvent | Done
