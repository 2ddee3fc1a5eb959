"""Keeps what a command writes, within a bound, and hands it on as text."""

from __future__ import annotations

import codecs
from collections.abc import Mapping

from ._models import CommandExit, CommandResult, Output


class Head:
    """One stream: the first ``limit`` bytes, whether any are missing, and a decoder for callbacks."""

    def __init__(self, limit: int, start: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._next = start
        self.truncated = False

    def add(self, output: Output) -> str:
        """Take a chunk; returns it as text, with characters cut at its edges put together again."""
        if output.offset > self._next:
            self.truncated = True
        self._next = output.offset + len(output.data)
        room = self._limit - len(self._kept)
        if len(output.data) > room:
            self.truncated = True
        self._kept += output.data[: max(room, 0)]
        return self._decoder.decode(output.data)

    def finish(self) -> str:
        """Text for a character that was cut by the end of the stream."""
        return self._decoder.decode(b"", final=True)

    def bytes(self) -> bytes:
        return bytes(self._kept)


class Collector:
    """Both streams of one command."""

    def __init__(self, limit: int, start: Mapping[str, int]) -> None:
        self.streams = {name: Head(limit, start[name]) for name in ("stdout", "stderr")}

    def result(self, end: CommandExit) -> CommandResult:
        stdout, stderr = self.streams["stdout"], self.streams["stderr"]
        return CommandResult(
            exit_code=end.exit_code,
            stdout_bytes=stdout.bytes(),
            stderr_bytes=stderr.bytes(),
            signal=end.signal,
            timed_out=end.timed_out,
            oom=end.oom,
            stdout_truncated=stdout.truncated,
            stderr_truncated=stderr.truncated,
        )


def failure(shown: str, result: CommandResult, timeout: float | None) -> str:
    """One line on how a command failed, with the end of what it said."""
    if result.timed_out:
        how = f"was killed after its timeout of {timeout:g} s" if timeout else "was killed after its timeout"
    elif result.oom:
        how = "was killed because the sandbox ran out of memory"
    elif result.signal:
        how = f"was ended by signal {result.signal}"
    else:
        how = f"exited with {result.exit_code}"
    said = (result.stderr.strip() or result.stdout.strip())[-500:]
    return f"command {shown!r} {how}" + (f": {said}" if said else "")
