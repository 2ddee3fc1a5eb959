"""A command whose output, input and signals are this process's own."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from sandlot.cli.running import emit

if TYPE_CHECKING:
    from sandlot.sdk import Command, CommandExit

_CHUNK = 65536
_PATIENCE = 2


def follow(command: Command, *, stdin: bool) -> CommandExit:
    """Pass everything on until the command ends."""
    with _signals_forwarded(command):
        if stdin:
            threading.Thread(target=_pump, args=(command,), name="stdin", daemon=True).start()
        try:
            for output in command:
                emit(output)
        except BrokenPipeError:
            # As a shell's pipe does it: nobody reads any more, so nothing is to be written.
            command.kill()
            raise
    if command.exit is None:
        raise RuntimeError("the output of a command ends with the command")
    return command.exit


def _pump(command: Command) -> None:
    from sandlot.sdk import SandboxError

    try:
        while data := _read():
            command.write(data)
        command.close_stdin()
    except SandboxError:
        return  # The command has ended, or wants no more; how, the main thread tells.


def _read() -> bytes:
    try:
        # Not through sys.stdin: a thread that waits in its lock would break the interpreter's exit.
        return os.read(sys.stdin.fileno(), _CHUNK)
    except io.UnsupportedOperation:
        return sys.stdin.buffer.read(_CHUNK)


@contextmanager
def _signals_forwarded(command: Command) -> Iterator[None]:
    seen = 0

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        name = signal.Signals(number).name if seen <= _PATIENCE else "KILL"
        # In a thread: the handler interrupts this one anywhere, also where it holds the client's locks.
        threading.Thread(target=_send, args=(command, name), name="signal", daemon=True).start()

    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, forward) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _send(command: Command, name: str) -> None:
    from sandlot.sdk import SandboxError

    try:
        command.signal(name)
    except SandboxError as error:
        print(f"sandlot: the signal did not arrive: {error}", file=sys.stderr)
