"""The lines of this door's streams: one JSON object each, told apart by ``type``. Bytes are base64."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sandlot.doors.encoding import to_json
from sandlot.doors.native.errors import ErrorDetail


class Line(msgspec.Struct, tag_field="type"):
    """One line of a stream."""


class Started(Line, tag="started"):
    """The command runs. `id` names it in this API, `pid` inside the sandbox."""

    id: int
    pid: int


class Stdout(Line, tag="stdout"):
    """Output, base64. `offset` counts the bytes of this stream since the command began."""

    offset: int
    data: bytes


class Stderr(Line, tag="stderr"):
    """Error output, base64."""

    offset: int
    data: bytes


class Exit(Line, tag="exit"):
    """The command ended; the last line. `exit_code` is 128 + `signal` where a signal ended it."""

    exit_code: int
    signal: int | None
    timed_out: bool
    oom: bool


class Keepalive(Line, tag="keepalive"):
    """Nothing happened for a while; ignore it."""


class Failed(Line, tag="error"):
    """The stream cannot go on; the last line."""

    error: ErrorDetail


class CodeStdout(Line, tag="stdout"):
    """Text that the code printed."""

    text: str


class CodeStderr(Line, tag="stderr"):
    """Text that the code printed to its error output."""

    text: str


class CodeError(Line, tag="error"):
    """The code raised an exception."""

    name: str
    value: str
    traceback: str


class Done(Line, tag="done"):
    """The code has run; the last line."""

    execution_count: int | None
    duration_ms: float


class Watching(Line, tag="watching"):
    """Changes from now on are reported."""


class Change(Line, tag="event"):
    """Something changed. `kind` is create, write, remove, rename, chmod, or overflow: some were missed."""

    kind: str
    path: str
    is_dir: bool


class CodeResult(Line, tag="result", omit_defaults=True):
    """A value that the code showed, in every format it has. `is_main` marks that of the last expression."""

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
    data: Any = None
    chart: Any = None
    extra: dict[str, Any] | None = None


ALL_LINES: Final = (
    Started, Stdout, Stderr, Exit, Keepalive, Failed,
    CodeStdout, CodeStderr, CodeResult, CodeError, Done,
    Watching, Change,
)  # fmt: skip


def line(event: Line) -> bytes:
    return to_json(event) + b"\n"


KEEPALIVE_LINE: Final = line(Keepalive())
