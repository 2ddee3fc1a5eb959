"""This terminal, in raw mode, as the terminal of a program in a sandbox."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from sandlot.cli.failures import FAILED, fail

if TYPE_CHECKING:
    from sandlot.sdk import AsyncSandbox, AsyncTerminal

LEASE_S = 900.0
_RENEW_S = 300.0
_CHUNK = 65536

# A program that is left behind cannot tidy up: a cursor, no mouse, no bracketed paste, no colour.
_TIDY = b"\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[0m\r\n"
_OTHER_SCREEN, _MAIN_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


@dataclass(frozen=True)
class Session:
    """What to open. ``renew`` keeps the sandbox from ending while the session lasts."""

    sandbox_id: str
    command: str | None = None
    cwd: str | None = None
    user: str | None = None
    command_id: int | None = None
    renew: bool = False


@dataclass(frozen=True)
class End:
    """``terminal_id`` is the terminal that was left running, where it was."""

    exit_code: int
    terminal_id: int | None = None


class Escape:
    """Recognises ``~.`` at the beginning of a line, as ssh does. ``~~`` there is one ``~``."""

    def __init__(self) -> None:
        self._at_line_start = True
        self._held = False

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether to leave."""
        passed = bytearray()
        for byte in typed:
            if self._held:
                self._held = False
                if byte == ord("."):
                    return bytes(passed), True
                if byte != ord("~"):
                    passed.append(ord("~"))
            elif self._at_line_start and byte == ord("~"):
                self._held = True
                continue
            passed.append(byte)
            self._at_line_start = byte in b"\r\n"
        return bytes(passed), False


def require_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail("this needs a terminal, and standard input or output is none; `sandlot exec` works without")


def converse(session: Session) -> End:
    """Be the program's terminal until it ends or is left. The terminal is put back in every case."""
    from sandlot.sdk import SandboxError

    require_terminal()
    screen = Screen()
    try:
        with _raw():
            end = asyncio.run(_converse(session, screen))
    except SandboxError as error:
        screen.tidy()
        fail(str(error), FAILED)
    if end.terminal_id is not None:
        screen.tidy()
        come_back = f"sandlot shell {session.sandbox_id} --attach {end.terminal_id}"
        typer.echo(f"left running; come back with: {come_back}", err=True)
    return end


class Screen:
    """This terminal's screen, and whether the program has switched to the other one that terminals have."""

    def __init__(self) -> None:
        self._descriptor = sys.stdout.fileno()
        self._on_other = False

    def show(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        if _OTHER_SCREEN in data or _MAIN_SCREEN in data:
            self._on_other = data.rfind(_OTHER_SCREEN) > data.rfind(_MAIN_SCREEN)

    def tidy(self) -> None:
        self.show((_MAIN_SCREEN if self._on_other else b"") + _TIDY)


async def _converse(session: Session, screen: Screen) -> End:
    from sandlot.sdk import AsyncSandbox

    sandbox = await AsyncSandbox.connect(session.sandbox_id)
    rows, cols = _size()
    opened = sandbox.terminal(
        rows,
        cols,
        command=session.command,
        cwd=session.cwd,
        user=session.user,
        command_id=session.command_id,
    )
    async with opened as terminal:
        return await _until_end(sandbox, terminal, screen, renew=session.renew)


async def _until_end(sandbox: AsyncSandbox, terminal: AsyncTerminal, screen: Screen, *, renew: bool) -> End:
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()
    resized = asyncio.Event()
    loop.add_signal_handler(signal.SIGWINCH, resized.set)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, _settle, stopped, number)
    output = asyncio.create_task(_show(terminal, screen))
    typing = asyncio.create_task(_type(terminal))
    helpers = [asyncio.create_task(_resize(terminal, resized))]
    if renew:
        helpers.append(asyncio.create_task(_renew(sandbox)))
    try:
        waiting: set[asyncio.Future[Any]] = {output, typing, stopped}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            return End(128 + stopped.result())
        if output.done():
            return End(output.result())
        typing.result()
        await terminal.detach()
        return End(0, terminal.id)
    finally:
        for task in (output, typing, *helpers):
            task.cancel()
        await asyncio.gather(output, typing, *helpers, return_exceptions=True)


def _settle(future: asyncio.Future[int], value: int) -> None:
    if not future.done():
        future.set_result(value)


async def _show(terminal: AsyncTerminal, screen: Screen) -> int:
    async for data in terminal:
        screen.show(data)
    return await terminal.wait()


async def _type(terminal: AsyncTerminal) -> None:
    """Pass on what is typed; returns when the way out is typed, or nothing can be any more."""
    keyboard, escape = sys.stdin.fileno(), Escape()
    while True:
        await _readable(keyboard)
        typed = os.read(keyboard, _CHUNK)
        passed, leave = escape.feed(typed)
        if passed:
            await terminal.write(passed)
        if leave or not typed:
            return


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[int] = loop.create_future()
    loop.add_reader(descriptor, _settle, ready, 0)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def _resize(terminal: AsyncTerminal, resized: asyncio.Event) -> None:
    while True:
        await resized.wait()
        resized.clear()
        await terminal.resize(*_size())


async def _renew(sandbox: AsyncSandbox) -> None:
    from sandlot.sdk import SandboxError

    while True:
        await asyncio.sleep(_RENEW_S)
        with suppress(SandboxError):
            await sandbox.set_timeout(LEASE_S)


def _size() -> tuple[int, int]:
    size = os.get_terminal_size(sys.stdout.fileno())
    return min(size.lines, 1000), min(size.columns, 1000)


@contextmanager
def _raw() -> Iterator[None]:
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        # DRAIN, not the default FLUSH: what was typed already is for the program, too.
        tty.setraw(keyboard, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
