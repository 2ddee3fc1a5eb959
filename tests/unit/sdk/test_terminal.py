from __future__ import annotations

import pytest

from sandlot import AuthenticationError, Sandbox, SandboxGoneError, SandboxTimeoutError

from .stub import Stub


@pytest.fixture
def sandbox(stub: Stub) -> Sandbox:
    return Sandbox.create()


def test_type_read_resize_and_wait(sandbox: Sandbox) -> None:
    with sandbox.terminal(30, 100) as terminal:
        terminal.write("stty size\n")
        shown = b""
        while b"30 100" not in shown:
            shown += terminal.read(timeout=10)
        terminal.resize(11, 77)
        terminal.write(b"stty size; exit 4\n")
        shown = b"".join(terminal)
        assert b"11 77" in shown
        assert terminal.wait() == 4
        assert terminal.read() == b""


def test_leaving_hangs_up(sandbox: Sandbox) -> None:
    with sandbox.terminal(command="exec sleep 60") as terminal:
        pass
    result = sandbox.commands.connect(terminal.id).wait()
    assert result.signal == 1


def test_detach_and_come_back(sandbox: Sandbox) -> None:
    with sandbox.terminal(command="echo first; read line; echo second") as terminal:
        assert b"first" in terminal.read()
        terminal.detach()
    with sandbox.terminal(command_id=terminal.id) as again:
        again.write("\n")
        assert b"first" in (shown := b"".join(again))
        assert b"second" in shown


def test_silence_is_a_timeout(sandbox: Sandbox) -> None:
    silence = pytest.raises(SandboxTimeoutError, match=r"0\.1 s")
    with sandbox.terminal(command="sleep 60") as terminal, silence:
        terminal.read(timeout=0.1)


def test_errors_before_it_starts_are_the_servers(stub: Stub, sandbox: Sandbox) -> None:
    other = Sandbox.connect(sandbox.id)
    sandbox.kill()
    with pytest.raises(SandboxGoneError, match="killed"), other.terminal():
        pass
    with pytest.raises(AuthenticationError, match="keys create"):
        Sandbox.connect(sandbox.id, api_key="sl_wrong")
