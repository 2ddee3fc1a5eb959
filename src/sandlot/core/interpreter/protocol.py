"""The kernels' protocol, as ``sandlot_kernel/wire.py`` in ``guest/kernels`` has it; nothing is trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from sandlot.core.interpreter.events import CodeEvent, ErrorEvent, Result, Stderr, Stdout
from sandlot.core.limits import check_env
from sandlot.errors import GuestError, InvalidArgument

PROTOCOL = 1
RESULT_LIMIT = 32 * 1024 * 1024  # as the kernel has it
LINE_LIMIT = RESULT_LIMIT + 1024 * 1024
STRUCTURE_LIMIT = 4 * 1024 * 1024 + 4096  # what is decoded takes many times its size

T = TypeVar("T")

_PATH_LIMIT = 4096
_Pid = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class ContextSettings(msgspec.Struct):
    """What a kernel keeps for us, so that a restarted server can start it anew as it was."""

    cwd: str
    env: dict[str, str]


# Not None: msgspec takes no Raw where it may be one of several types.
_NOTHING = msgspec.Raw(b"null")


class Frame(msgspec.Struct, tag_field="type"):
    pass


class Ready(Frame, tag="ready"):
    """``setenv``: a run may bring variables that stay. Kernels of older templates take none."""

    id: str
    protocol: int
    setenv: bool = False


class Pong(Frame, tag="pong"):
    id: str
    context: msgspec.Raw = _NOTHING
    setenv: bool = False


class Activity(Frame, tag="activity"):
    """``reasons`` say what user code has left behind that goes on by itself; none: it only waits for us, and
    so do the ``processes`` (pids) of its engine.
    """

    id: str
    reasons: list[str]
    processes: Annotated[list[_Pid], msgspec.Meta(max_length=4)] = []


class Invalid(Frame, tag="invalid"):
    message: str


class StdoutFrame(Frame, tag="stdout"):
    id: str
    text: str


class StderrFrame(Frame, tag="stderr"):
    id: str
    text: str


class ResultFrame(Frame, tag="result"):
    id: str
    is_main: bool
    text: str | None = None
    html: str | None = None
    markdown: str | None = None
    svg: str | None = None
    png: str | None = None
    jpeg: str | None = None
    pdf: str | None = None
    latex: str | None = None
    json: msgspec.Raw = _NOTHING
    javascript: str | None = None
    data: msgspec.Raw = _NOTHING
    chart: msgspec.Raw = _NOTHING
    extra: msgspec.Raw = _NOTHING


class ErrorFrame(Frame, tag="error"):
    id: str
    name: str
    value: str
    traceback: str


class DoneFrame(Frame, tag="done"):
    id: str
    execution_count: _Count


RunFrame = StdoutFrame | StderrFrame | ResultFrame | ErrorFrame | DoneFrame
AnyFrame = Ready | Pong | Activity | Invalid | RunFrame

_frames: msgspec.json.Decoder[AnyFrame] = msgspec.json.Decoder(AnyFrame)
_settings = msgspec.json.Decoder(ContextSettings)
_object = msgspec.json.Decoder(dict[str, Any])
_anything = msgspec.json.Decoder(Any)
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode(line: bytes) -> AnyFrame:
    """Raises GuestError."""
    try:
        return _frames.decode(line)
    except _MALFORMED as error:
        raise GuestError(f"the kernel sent a line that is none of its events: {error}") from None


def settings_of(pong: Pong) -> ContextSettings | None:
    """None where the kernel has lost or spoilt what was kept with it."""
    try:
        settings = _settings.decode(pong.context)
        check_env(settings.env)
    except (*_MALFORMED, InvalidArgument):
        return None
    return settings if len(settings.cwd) <= _PATH_LIMIT else None


def event_of(frame: StdoutFrame | StderrFrame | ResultFrame | ErrorFrame) -> CodeEvent:
    """Raises GuestError."""
    match frame:
        case StdoutFrame(text=text):
            return Stdout(text)
        case StderrFrame(text=text):
            return Stderr(text)
        case ErrorFrame(name=name, value=value, traceback=traceback):
            return ErrorEvent(name, value, traceback)
        case ResultFrame():
            return Result(
                is_main=frame.is_main,
                text=frame.text,
                html=frame.html,
                markdown=frame.markdown,
                svg=frame.svg,
                png=frame.png,
                jpeg=frame.jpeg,
                pdf=frame.pdf,
                latex=frame.latex,
                json=_structure(_anything, frame.json),
                javascript=frame.javascript,
                data=_structure(_object, frame.data),
                chart=_structure(_object, frame.chart),
                extra=_structure(_object, frame.extra),
            )


def hello(id: str, settings: ContextSettings) -> bytes:
    return _line({"op": "hello", "id": id, "context": settings})


def ping(id: str) -> bytes:
    return _line({"op": "ping", "id": id})


def activity(id: str) -> bytes:
    return _line({"op": "activity", "id": id})


def run(id: str, code: str, env: Mapping[str, str], lasting: Mapping[str, str]) -> bytes:
    """``env`` is for this run, ``lasting`` from now on."""
    request: dict[str, Any] = {"op": "run", "id": id, "code": code, "env": env}
    return _line({**request, "setenv": lasting} if lasting else request)


def _line(request: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(request) + b"\n"
    except UnicodeEncodeError:
        # An environment's odd bytes, as lone surrogates: they have no UTF-8, but JSON can escape them.
        return json.dumps(msgspec.to_builtins(request)).encode() + b"\n"


def _structure(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw) -> T | None:
    data = bytes(raw)
    if data == b"null":
        return None
    if len(data) > STRUCTURE_LIMIT:
        raise GuestError(f"the kernel sent a structure of {len(data)} bytes")
    try:
        return decoder.decode(data)
    except _MALFORMED as error:
        raise GuestError(f"the kernel sent a structure that cannot be read: {error}") from None
