"""The interactive shell, in a real terminal of the test's own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.cli.terminal import Escape

from .conftest import Sandlot

PROMPT = "bash-"


class Screen:
    """A terminal with the command line tool in it."""

    def __init__(self, *words: str) -> None:
        self.shown = b""
        self.pid, self.keyboard = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "sandlot.cli.main", *words])
        self.before = termios.tcgetattr(self.keyboard)
        self.resize(24, 80)

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def expect(self, text: str, *, within: float = 60.0) -> None:
        """Read until ``text`` was shown; what comes after it stays for the next time."""
        deadline = time.monotonic() + within
        while text.encode() not in self.shown:
            assert self._read(deadline), f"{text!r} never came, but {self.shown!r}"
        self.shown = self.shown.split(text.encode(), 1)[1]

    def wait(self) -> int:
        deadline = time.monotonic() + 60
        while self._read(deadline):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.keyboard) == self.before

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.keyboard)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.keyboard], [], [], max(0, deadline - time.monotonic()))
        try:
            data = os.read(self.keyboard, 65536) if ready else b""
        except OSError:
            data = b""
        self.shown += data
        return bool(data)


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


def test_a_shell_resizes_passes_keys_and_its_exit_code(
    sandlot: Sandlot, sandbox: str, screens: list[Screen]
) -> None:
    screen = Screen("shell", sandbox)
    screens.append(screen)
    screen.expect(PROMPT)
    screen.type("stty size\r")
    screen.expect("24 80")
    screen.resize(33, 99)
    screen.type("until stty size | grep '33 99'; do :; done\r")
    screen.expect("33 99\r\n")
    screen.type("sh -c \"echo wai''ting; exec sleep 60\"\r")
    screen.expect("waiting")
    screen.type("\x03")
    screen.expect(PROMPT)
    screen.type("echo $((40 + 2))\r")
    screen.expect("42")
    screen.type("exit 5\r")
    assert screen.wait() == 5
    assert screen.is_as_before()


def test_a_shell_can_be_left_and_found_again(sandlot: Sandlot, sandbox: str, screens: list[Screen]) -> None:
    screen = Screen("shell", sandbox)
    screens.append(screen)
    screen.expect(PROMPT)
    screen.type("x=kept\r")
    screen.expect("x=kept")
    screen.type("\r~.")
    screen.expect(f"sandlot shell {sandbox} --attach ")
    assert screen.wait() == 0
    assert screen.is_as_before()
    [command] = json.loads(sandlot("ps", sandbox, "--json").stdout)
    assert command["running"]
    again = Screen("shell", sandbox, "--attach", str(command["id"]))
    screens.append(again)
    again.type("echo $x$x; exit\r")
    again.expect("keptkept")
    assert again.wait() == 0


def test_a_fresh_sandbox_ends_with_its_shell(sandlot: Sandlot, screens: list[Screen]) -> None:
    screen = Screen("shell")
    screens.append(screen)
    screen.expect("leave it running")
    screen.expect(PROMPT)
    screen.type("exit\r")
    assert screen.wait() == 0
    assert json.loads(sandlot("ls", "--json").stdout) == []


def test_a_signal_puts_the_terminal_back(sandlot: Sandlot, sandbox: str, screens: list[Screen]) -> None:
    screen = Screen("shell", sandbox)
    screens.append(screen)
    screen.expect(PROMPT)
    screen.type("echo rea''dy\r")
    screen.expect("ready")
    assert not screen.is_as_before()
    os.kill(screen.pid, signal.SIGTERM)
    assert screen.wait() == 128 + signal.SIGTERM
    assert screen.is_as_before()


def test_exec_with_a_terminal(sandbox: str, screens: list[Screen]) -> None:
    screen = Screen("exec", "-t", "-e", "A=it is", sandbox, "sh", "-c", "tty; echo $A; exit 6")
    screens.append(screen)
    screen.expect("/dev/pts/")
    screen.expect("it is")
    assert screen.wait() == 6


@pytest.mark.parametrize(
    ("typed", "passed", "leaves"),
    [
        ("~.", "", True),
        ("ls\r~.rest", "ls\r", True),
        ("a~.", "a~.", False),
        ("~~.", "~.", False),
        ("\r~x", "\r~x", False),
        ("\r~\r~.", "\r~\r", True),
        ("cd ~\r", "cd ~\r", False),
    ],
)
def test_the_way_out_is_only_at_the_start_of_a_line(typed: str, passed: str, leaves: bool) -> None:
    escape = Escape()
    assert escape.feed(typed.encode()) == (passed.encode(), leaves)


@given(st.binary().filter(lambda data: b"~" not in data), st.integers(1, 5))
def test_everything_else_passes_as_it_is(data: bytes, size: int) -> None:
    escape = Escape()
    pieces = [escape.feed(data[start : start + size]) for start in range(0, len(data), size)]
    assert b"".join(passed for passed, _ in pieces) == data
