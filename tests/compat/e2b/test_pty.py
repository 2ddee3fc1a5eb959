"""``sandbox.pty`` of E2B's Python client."""

from __future__ import annotations

import asyncio
import re

import pytest
from e2b import (
    AsyncCommandHandle,
    AsyncSandbox,
    AuthenticationException,
    CommandExitException,
    CommandHandle,
    InvalidArgumentException,
    NotFoundException,
    Sandbox,
    SandboxException,
    TimeoutException,
)
from e2b.sandbox.commands.command_handle import PtySize

from .conftest import Make

SIZE = PtySize(rows=30, cols=100)
PATIENCE_S = 60


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    return shared


@pytest.fixture
def async_sandbox(async_shared: AsyncSandbox) -> AsyncSandbox:
    return async_shared


def shown(terminal: CommandHandle) -> str:
    """All that it shows until its shell ends without an error."""
    pieces: list[bytes] = []
    assert terminal.wait(on_pty=pieces.append).exit_code == 0
    return plain(pieces)


def read_until(terminal: CommandHandle, text: str) -> None:
    """Returns when this was shown."""
    pieces: list[bytes] = []
    for _, _, data in terminal:
        pieces.append(data or b"")
        if text in plain(pieces):
            return
    raise AssertionError(plain(pieces))


def plain(pieces: list[bytes]) -> str:
    """Without colours and the like, and with a newline's own ends of lines."""
    return re.sub("\\x1b\\[[?0-9;]*[A-Za-z]|\r", "", b"".join(pieces).decode())


@pytest.mark.e2b("pty.create", "pty.send_stdin")
def test_a_terminal_is_one(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(SIZE, cwd="/tmp", envs={"A": "given"})
    typed = b"tty; stty size; pwd; echo $A $TERM; exit\n"
    sandbox.pty.send_stdin(terminal.pid, typed)
    text = shown(terminal)
    for word in ("/dev/pts/", "\n30 100", "\n/tmp", "\ngiven xterm-256color"):
        assert word in text


def test_the_shell_is_the_users(sandbox: Sandbox) -> None:
    for user in ("user", "root"):
        terminal = sandbox.pty.create(SIZE, user=user)
        sandbox.pty.send_stdin(terminal.pid, b"echo I am $(id -un)\nexit\n")
        assert f"\nI am {user}" in shown(terminal)


@pytest.mark.e2b("pty.resize")
def test_a_new_size(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(SIZE)
    sandbox.pty.resize(terminal.pid, PtySize(rows=50, cols=132))
    sandbox.pty.send_stdin(terminal.pid, b"stty size; exit\n")
    assert "\n50 132" in shown(terminal)


def test_sizes_that_cannot_be(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentException, match="65535"):
        sandbox.pty.create(PtySize(rows=70_000, cols=80))
    terminal = sandbox.pty.create(SIZE)
    with pytest.raises(InvalidArgumentException, match="65535"):
        sandbox.pty.resize(terminal.pid, PtySize(rows=24, cols=70_000))
    with pytest.raises(NotFoundException):
        sandbox.pty.resize(999999, SIZE)


def test_control_c_interrupts_what_runs(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(SIZE)
    sandbox.pty.send_stdin(terminal.pid, b"sh -c 'echo $((40+2)); exec sleep 1000'\n")
    read_until(terminal, "\n42\n")
    sandbox.pty.send_stdin(terminal.pid, b"\x03")
    sandbox.pty.send_stdin(terminal.pid, b"echo status $?\nexit\n")
    assert "\nstatus 130" in shown(terminal)


def test_how_the_shell_ends(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(SIZE)
    sandbox.pty.send_stdin(terminal.pid, b"exit 9\n")
    with pytest.raises(CommandExitException) as ended:
        terminal.wait()
    assert ended.value.exit_code == 9


@pytest.mark.e2b("pty.kill")
def test_a_terminal_is_killed(make: Make) -> None:
    sandbox = make()
    terminal = sandbox.pty.create(SIZE)
    assert [info.pid for info in sandbox.commands.list()] == [terminal.pid]
    assert sandbox.pty.kill(terminal.pid) is True
    with pytest.raises(CommandExitException):
        terminal.wait()
    assert sandbox.pty.kill(terminal.pid) is False
    assert sandbox.commands.list() == []


@pytest.mark.e2b("pty.connect")
def test_a_terminal_outlives_its_connection(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(SIZE)
    sandbox.pty.send_stdin(terminal.pid, b"a=kept\n")
    terminal.disconnect()
    again = Sandbox.connect(sandbox.sandbox_id).pty.connect(terminal.pid)
    sandbox.pty.send_stdin(terminal.pid, b"echo it was $a; exit\n")
    assert "\nit was kept" in shown(again)
    assert again.pid == terminal.pid


def test_a_terminal_ends_at_its_timeout(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(SIZE, timeout=1)
    with pytest.raises(TimeoutException):
        terminal.wait()
    alive = f"while kill -0 {terminal.pid} 2>/dev/null; do sleep 0.05; done"
    sandbox.commands.run(alive)


def test_a_terminal_is_not_fed_like_a_command(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(SIZE)
    with pytest.raises(InvalidArgumentException, match="pty"):
        sandbox.commands.send_stdin(terminal.pid, "x")
    with pytest.raises(SandboxException, match="Ctrl-D"):
        sandbox.commands.close_stdin(terminal.pid)
    command = sandbox.commands.run("cat", background=True, stdin=True)
    with pytest.raises(InvalidArgumentException, match="stdin"):
        sandbox.pty.send_stdin(command.pid, b"x")
    with pytest.raises(InvalidArgumentException, match="terminal"):
        sandbox.pty.resize(command.pid, SIZE)
    read_until(terminal, "$ ")
    sandbox.pty.send_stdin(terminal.pid, b"\x04")
    shown(terminal)


def test_where_no_terminal_can_be(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentException, match="/nowhere"):
        sandbox.pty.create(SIZE, cwd="/nowhere")
    with pytest.raises(AuthenticationException, match="nobody-here"):
        sandbox.pty.create(SIZE, user="nobody-here")
    with pytest.raises(NotFoundException):
        sandbox.pty.connect(999999)


@pytest.mark.e2b("pty.stream_input")
def test_typing_over_one_stream(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(SIZE)
    sandbox.pty.stream_input(terminal.pid, [b"echo one ", b"line\n", b"exit\n"])
    assert "\none line" in shown(terminal)


async def test_the_asynchronous_client(async_sandbox: AsyncSandbox) -> None:
    pieces: list[bytes] = []
    seen = asyncio.Event()

    def on_data(data: bytes) -> None:
        pieces.append(data)
        if "\n42\n" in plain(pieces):
            seen.set()

    terminal = await async_sandbox.pty.create(SIZE, on_data=on_data)
    async with async_sandbox.pty.stream_input(terminal.pid) as typing:
        await typing.send("echo $((40+2))\n")
        async with asyncio.timeout(PATIENCE_S):
            await seen.wait()
    await terminal.disconnect()
    again: list[bytes] = []
    connected = await async_sandbox.pty.connect(terminal.pid, on_data=again.append)
    await async_sandbox.pty.resize(terminal.pid, PtySize(rows=50, cols=132))
    await async_sandbox.pty.send_stdin(terminal.pid, b"stty size; exit\n")
    await ended_well(connected)
    assert "\n50 132\n" in plain(again)
    assert await async_sandbox.pty.kill(terminal.pid) is False


async def ended_well(handle: AsyncCommandHandle) -> None:
    async with asyncio.timeout(PATIENCE_S):
        assert (await handle.wait()).exit_code == 0
