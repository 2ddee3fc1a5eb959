"""The messages of process.Process. Which fields a message has says which of its kinds it is."""

from __future__ import annotations

from collections.abc import Mapping

from sandlot.doors.e2b.envd.connect import Message


class Selector(Message):
    """Of a command: by the number that the guest shows, or by what its starter called it."""

    pid: int | None = None
    tag: str | None = None


class Config(Message):
    cmd: str = ""
    args: list[str] | None = None
    envs: Mapping[str, str] | None = None
    cwd: str | None = None


class Size(Message):
    cols: int = 0
    rows: int = 0


class Pty(Message):
    size: Size | None = None


class Info(Message):
    config: Config
    pid: int
    tag: str | None = None


class ListRequest(Message):
    pass


class ListResponse(Message):
    processes: list[Info]


class StartRequest(Message):
    """``stdin`` is open where nothing is said: older clients know of no choice."""

    process: Config
    pty: Pty | None = None
    tag: str | None = None
    stdin: bool | None = None


class ConnectRequest(Message):
    process: Selector


class Started(Message):
    pid: int


class Data(Message):
    stdout: bytes | None = None
    stderr: bytes | None = None
    pty: bytes | None = None


class Ended(Message):
    """``exit_code`` is -1 where a signal ended it."""

    exit_code: int
    exited: bool
    status: str
    error: str | None = None


class Nothing(Message):
    """Also the answer to what has none."""


class Event(Message):
    start: Started | None = None
    data: Data | None = None
    end: Ended | None = None
    keepalive: Nothing | None = None


class Happened(Message):
    """The answer to Start and to Connect."""

    event: Event


class UpdateRequest(Message):
    process: Selector
    pty: Pty | None = None


class Input(Message):
    stdin: bytes | None = None
    pty: bytes | None = None


class SendInputRequest(Message):
    process: Selector
    input: Input


class InputStart(Message):
    process: Selector


class InputData(Message):
    input: Input


class StreamInputRequest(Message):
    start: InputStart | None = None
    data: InputData | None = None
    keepalive: Nothing | None = None


class SendSignalRequest(Message):
    process: Selector
    signal: int | str = 0


class CloseStdinRequest(Message):
    process: Selector
