"""Runs one build command so that nothing of it can be left behind, however the builder ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sandlot.errors import DeadlineExceeded, SandlotError

_TAIL_LINES = 25
_LINE_LIMIT = 4096


class BuildFailed(SandlotError):
    """A step of a template's build failed; the message has the end of its output and where the rest is."""

    code = "template_build_failed"


class Runner:
    """Runs commands, one after the other, with their output in one log file.

    ``held`` is a file descriptor of the builders' lock: every process of a build keeps it open, so the next
    builder waits for the last of them even when this process was killed.
    """

    def __init__(self, log: Path, *, held: int) -> None:
        self._log = log
        self._held = held

    async def run(
        self,
        args: Sequence[str | Path],
        *,
        deadline_s: float,
        isolated: bool = True,
        offline: bool = False,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Runs ``args``. ``isolated`` gives it mount and process namespaces that die with this process.

        Raises BuildFailed on a non-zero exit status, DeadlineExceeded after ``deadline_s`` seconds.
        """
        command = [str(a) for a in args]
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        process = await asyncio.create_subprocess_exec(
            *(_isolation(offline) if isolated else _BOUND_TO_PARENT),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **(env or {})},
            pass_fds=(self._held,),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(deadline_s):
                await self._read(process, command, tail, on_line)
                status = await process.wait()
        except TimeoutError:
            raise DeadlineExceeded(
                f"{command[0]} did not finish within {deadline_s:.0f} s; its output is in {self._log}"
            ) from None
        finally:
            await _end(process)
        if status != 0:
            said = "\n".join(f"  {line}" for line in tail)
            raise BuildFailed(
                f"{Path(command[0]).name} failed with status {status}:\n{said}\nThe whole log: {self._log}"
            )

    async def _read(
        self,
        process: asyncio.subprocess.Process,
        command: list[str],
        tail: deque[str],
        on_line: Callable[[str], None],
    ) -> None:
        assert process.stdout is not None  # noqa: S101 - asked for above
        rest = b""
        with self._log.open("ab", buffering=0) as log:
            log.write(f"\n$ {' '.join(command)}\n".encode(errors="surrogateescape"))
            while chunk := await process.stdout.read(65536):
                log.write(chunk)
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                rest = rest[-_LINE_LIMIT:]
                for line in lines:
                    text = line[:_LINE_LIMIT].decode(errors="replace").rstrip()
                    if text:
                        tail.append(text)
                        on_line(text)


_BOUND_TO_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


def _isolation(offline: bool) -> tuple[str, ...]:
    namespaces = (
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child=KILL",
        "--mount-proc",
    )
    return (*_BOUND_TO_PARENT, "unshare", *namespaces, *(("--net",) if offline else ()), "--")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills what is left and waits until the output is closed, which is when the last descendant is gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.stdout is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while await process.stdout.read(65536):
                    pass
