"""What a kernel writes, which is a program of the guest: lines, events, what they hold, on to JSON."""

from __future__ import annotations

from sandlot.core.interpreter import protocol
from sandlot.core.interpreter.lines import Lines
from sandlot.core.interpreter.protocol import (
    ErrorFrame,
    Pong,
    ResultFrame,
    StderrFrame,
    StdoutFrame,
)
from sandlot.doors.encoding import to_json
from sandlot.errors import GuestError

_LIMIT = 4096


def _understand(line: bytes) -> None:
    try:
        frame = protocol.decode(line)
        if isinstance(frame, Pong):
            protocol.settings_of(frame)
        elif isinstance(frame, StdoutFrame | StderrFrame | ResultFrame | ErrorFrame):
            to_json(protocol.event_of(frame))
    except GuestError:
        pass


def one_input(data: bytes) -> None:
    """The first byte says in pieces of which size the rest comes."""
    if not data:
        return
    lines = Lines(_LIMIT)
    size = 1 + data[0] * 4
    for at in range(1, len(data), size):
        try:
            complete = lines.feed(data[at : at + size])
        except GuestError:
            continue
        assert len(lines._pending) <= _LIMIT
        for line in complete:
            _understand(line)
