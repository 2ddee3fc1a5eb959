"""The lines that answer a run, one JSON object each, told apart by ``type``.

Their names and keys are those that the clients' own classes take (``models.py`` of the PyPI package
e2b-code-interpreter); a line of another type is nothing to them.
"""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from sandlot.core.interpreter import CodeEvent, Done, ErrorEvent, Result, Stderr, Stdout
from sandlot.doors.encoding import to_json
from sandlot.errors import SandlotError


class Line(msgspec.Struct, tag_field="type"):
    """One line."""


class Keepalive(Line, tag="keepalive"):
    """Nothing happened for a while."""


class StdoutLine(Line, tag="stdout"):
    """``timestamp`` is nanoseconds since 1970."""

    text: str
    timestamp: int


class StderrLine(Line, tag="stderr"):
    text: str
    timestamp: int


class ErrorLine(Line, tag="error"):
    name: str
    value: str
    traceback: str


class ResultLine(Line, tag="result", omit_defaults=True):
    """``extra`` is always there: clients iterate over it."""

    is_main_result: bool
    extra: dict[str, Any]
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


class Count(Line, tag="number_of_executions"):
    execution_count: int


class End(Line, tag="end_of_execution"):
    """The last line."""


_FORMATS: Final = (
    "html", "markdown", "svg", "png", "jpeg", "pdf", "latex", "json", "javascript", "data", "chart",
)  # fmt: skip
_QUOTES: Final = ("'", '"')


def encoded(event: CodeEvent) -> bytes:
    """What one event is told in."""
    match event:
        case Stdout(text=text):
            return line(StdoutLine(text, time.time_ns()))
        case Stderr(text=text):
            return line(StderrLine(text, time.time_ns()))
        case Result():
            return line(_result(event))
        case ErrorEvent(name=name, value=value, traceback=traceback):
            return line(ErrorLine(name, value, traceback))
        case Done(execution_count=count):
            return line(Count(count)) + line(End())


def broken_off(error: SandlotError) -> bytes:
    """The last words of a run whose end nobody will see."""
    return line(ErrorLine("UnexpectedEndOfExecution", error.message, "")) + line(End())


def line(each: Line) -> bytes:
    return to_json(each) + b"\n"


KEEPALIVE: Final = line(Keepalive())


def _result(result: Result) -> ResultLine:
    formats = {name: getattr(result, name) for name in _FORMATS}
    text = None if result.text is None else _unquoted(result.text)
    return ResultLine(result.is_main, result.extra or {}, text, **formats)


def _unquoted(text: str) -> str:
    """These clients' users see a string as it is, not as it would be written in code."""
    if len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]:
        return text[1:-1]
    return text
