from __future__ import annotations

import pytest

from sandlot import CommandError, NotFoundError, Sandbox, SandboxGoneError, ServerUnavailableError

from .stub import Refused, Stub


@pytest.fixture
def sandbox(stub: Stub) -> Sandbox:
    return Sandbox.create()


def test_a_string_goes_through_a_shell_and_a_list_does_not(sandbox: Sandbox) -> None:
    assert sandbox.commands.run("echo $((1 + 1))").stdout == "2\n"
    assert sandbox.commands.run(["echo", "$HOME; ls"]).stdout == "$HOME; ls\n"


def test_output_comes_apart_with_the_exit_code(sandbox: Sandbox) -> None:
    out: list[str] = []
    err: list[str] = []
    result = sandbox.commands.run(
        "echo out; echo err >&2; exit 3", on_stdout=out.append, on_stderr=err.append, env={"A": "1"}
    )
    assert (result.stdout, result.stderr, result.exit_code, result.ok) == ("out\n", "err\n", 3, False)
    assert (out, err) == (["out\n"], ["err\n"])


def test_check_raises_with_what_the_command_said(sandbox: Sandbox) -> None:
    with pytest.raises(CommandError, match=r"'echo no luck >&2; exit 4' exited with 4: no luck") as caught:
        sandbox.commands.run("echo no luck >&2; exit 4", check=True)
    assert caught.value.result.exit_code == 4


def test_a_timeout_is_told_from_a_failure(sandbox: Sandbox) -> None:
    result = sandbox.commands.run("sleep 60", timeout=0.2)
    assert result.timed_out
    assert result.exit_code == 137
    with pytest.raises(CommandError, match=r"killed after its timeout of 0\.2 s"):
        sandbox.commands.run("sleep 60", timeout=0.2, check=True)


def test_output_is_bounded_and_callbacks_get_all(sandbox: Sandbox) -> None:
    got: list[str] = []
    command = "head -c 300000 /dev/zero | tr '\\0' x"
    result = sandbox.commands.run(command, max_output=1000, on_stdout=got.append)
    assert result.stdout == "x" * 1000
    assert result.stdout_truncated
    assert result.truncated
    assert not result.stderr_truncated
    assert len("".join(got)) == 300_000


def test_characters_cut_between_pieces_come_whole(sandbox: Sandbox) -> None:
    got: list[str] = []
    command = r"printf '\xc3'; sleep 0.2; printf '\xa9'; printf '\xff'"
    result = sandbox.commands.run(command, on_stdout=got.append)
    assert "".join(got) == "é�"
    assert result.stdout == "é�"


def test_a_broken_connection_is_taken_up_where_it_was(stub: Stub, sandbox: Sandbox) -> None:
    stub.cut = 3
    result = sandbox.commands.run("for i in 1 2 3 4 5; do echo $i; sleep 0.05; done")
    assert result.stdout == "1\n2\n3\n4\n5\n"
    assert not result.truncated
    assert stub.cut == 0


def test_a_command_that_is_lost_for_good_says_how_to_find_it(
    stub: Stub, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandlot.sdk._wire.RECONNECT_DELAYS", (0.01, 0.01))
    monkeypatch.setattr("sandlot.sdk._wire.RETRIES", 0)
    command = sandbox.commands.start("sleep 60")
    stub.refuse = [Refused(503, "unavailable", "stopping")] * 3
    with pytest.raises(ServerUnavailableError, match=r"command 1, which may be running still.*connect\(1\)"):
        command.wait()
    command.kill()


def test_start_write_and_wait(sandbox: Sandbox) -> None:
    command = sandbox.commands.start("tr a-z A-Z", stdin=True, tag="mine")
    command.write("hello\n")
    command.close_stdin()
    assert command.wait().stdout == "HELLO\n"
    [listed] = sandbox.commands.list()
    assert (listed.id, listed.tag, listed.running) == (command.id, "mine", False)


def test_iterating_can_stop_and_go_on(sandbox: Sandbox) -> None:
    command = sandbox.commands.start("echo one; read line; echo $line", stdin=True)
    for output in command:
        assert (output.stream, output.text) == ("stdout", "one\n")
        break
    command.write("two\n")
    command.detach()
    assert command.wait().stdout == "two\n"
    assert command.exit is not None
    assert command.exit.exit_code == 0


def test_another_handle_reads_from_the_start_or_from_now(sandbox: Sandbox) -> None:
    command = sandbox.commands.start("echo early; read line; echo late", stdin=True)
    next(command)
    from_now = sandbox.commands.connect(command.id, from_start=False)
    command.write("\n")
    assert from_now.wait().stdout == "late\n"
    assert not from_now.wait().truncated
    assert sandbox.commands.connect(command.id).wait().stdout == "early\nlate\n"


def test_signals_by_name_and_number(sandbox: Sandbox) -> None:
    for signal, code in (("TERM", 143), ("SIGINT", 130), (9, 137)):
        command = sandbox.commands.start("exec sleep 60")
        command.signal(signal)
        assert command.wait().exit_code == code
        command.kill()


def test_errors_are_the_servers(stub: Stub, sandbox: Sandbox) -> None:
    with pytest.raises(NotFoundError, match="no-such-program"):
        sandbox.commands.run(["no-such-program"])
    with pytest.raises(NotFoundError, match="77"):
        sandbox.commands.connect(77)
    sandbox.kill()
    with pytest.raises(SandboxGoneError, match="was killed"):
        sandbox.commands.run("true")
