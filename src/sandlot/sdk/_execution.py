"""What running code gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_MIME_TYPES = {
    "text": "text/plain",
    "html": "text/html",
    "markdown": "text/markdown",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "pdf": "application/pdf",
    "latex": "text/latex",
    "json": "application/json",
    "javascript": "application/javascript",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One value that the code showed, in every form it has.

    ``is_main`` marks the value of the last expression; the others were displayed. ``png``, ``jpeg`` and
    ``pdf`` are base64 text. ``data`` and ``chart`` are JSON values for tables and charts, ``extra`` holds
    further MIME types.
    """

    is_main: bool = False
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
    data: Any = None
    chart: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def formats(self) -> list[str]:
        """The names of the forms this result has, such as ``["text", "png"]``."""
        names = [*_MIME_TYPES, "data", "chart"]
        return [name for name in names if getattr(self, name) is not None] + sorted(self.extra)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = {mime: getattr(self, name) for name, mime in _MIME_TYPES.items()}
        bundle.update(self.extra)
        return {mime: value for mime, value in bundle.items() if value is not None}

    @classmethod
    def _of(cls, event: Mapping[str, Any]) -> Result:
        known = {name: event.get(name) for name in (*_MIME_TYPES, "data", "chart")}
        return cls(is_main=bool(event.get("is_main")), extra=dict(event.get("extra") or {}), **known)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionError:
    """The exception that the code raised, as the interpreter tells it."""

    name: str
    value: str
    traceback: str

    @classmethod
    def _of(cls, event: Mapping[str, Any]) -> ExecutionError:
        traceback = event.get("traceback") or ""
        if isinstance(traceback, list):
            traceback = "\n".join(traceback)
        return cls(name=event["name"], value=event.get("value") or "", traceback=traceback)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


@dataclass(slots=True)
class Logs:
    """What the code printed, in the pieces in which it came."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Execution:
    """What one run of code did.

    Printed text is bounded by ``max_output``; ``logs_truncated`` tells when some is missing.
    """

    results: list[Result] = field(default_factory=list)
    logs: Logs = field(default_factory=Logs)
    error: ExecutionError | None = None
    execution_count: int | None = None
    duration_ms: float | None = None
    logs_truncated: bool = False

    @property
    def text(self) -> str | None:
        """The text form of the value of the last expression, if there is one."""
        return next((result.text for result in self.results if result.is_main), None)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        main = next((result for result in self.results if result.is_main), None)
        return main._repr_mimebundle_() if main else {"text/plain": repr(self)}
