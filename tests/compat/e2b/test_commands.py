"""``sandbox.commands`` of E2B's Python client."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from e2b import (
    AsyncSandbox,
    AuthenticationException,
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    Sandbox,
    SandboxException,
    SandboxNotRunningException,
    TimeoutException,
)
from e2b_code_interpreter import Sandbox as CodeSandbox

from .conftest import Make

PATIENCE_S = 60
WAITING = "while ! [ -e /tmp/go ]; do sleep 0.05; done; rm /tmp/go"
"""What a command runs that goes on when somebody says ``touch /tmp/go``."""


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    return shared


@pytest.fixture
def async_sandbox(async_shared: AsyncSandbox) -> AsyncSandbox:
    return async_shared


def gone(sandbox: Sandbox, pid: int) -> None:
    """Returns once this process does not run any more."""
    sandbox.commands.run(f"while kill -0 {pid} 2>/dev/null; do sleep 0.05; done", user="root")


@pytest.mark.e2b("commands.run")
def test_a_command_and_what_it_says(sandbox: Sandbox) -> None:
    result = sandbox.commands.run("echo out; echo err >&2")
    assert (result.stdout, result.stderr, result.exit_code, result.error) == ("out\n", "err\n", 0, None)


def test_a_command_that_fails(sandbox: Sandbox) -> None:
    with pytest.raises(CommandExitException) as failed:
        sandbox.commands.run("echo why >&2; exit 3")
    assert (failed.value.exit_code, failed.value.stderr, failed.value.error) == (3, "why\n", "exit status 3")
    with pytest.raises(CommandExitException) as missing:
        sandbox.commands.run("no-such-program")
    assert missing.value.exit_code == 127
    assert "no-such-program" in missing.value.stderr


def test_a_command_that_a_signal_ends(sandbox: Sandbox) -> None:
    with pytest.raises(CommandExitException) as killed:
        sandbox.commands.run("kill -SEGV $$")
    assert (killed.value.exit_code, killed.value.error) == (-1, "signal: segmentation fault")


@pytest.mark.e2b("commands.run(on_stdout=, on_stderr=)")
def test_output_is_told_as_it_comes(sandbox: Sandbox) -> None:
    told: list[tuple[str, str]] = []

    def on_stdout(text: str) -> None:
        told.append(("stdout", text))
        if text == "first\n":
            sandbox.commands.run("touch /tmp/go")

    result = sandbox.commands.run(
        f"echo first; {WAITING}; echo second >&2",
        on_stdout=on_stdout,
        on_stderr=lambda text: told.append(("stderr", text)),
    )
    assert told == [("stdout", "first\n"), ("stderr", "second\n")]
    assert result.stdout == "first\n"


def test_what_is_no_utf8(sandbox: Sandbox) -> None:
    assert sandbox.commands.run(r"printf 'a\xe2b\xff'").stdout == "a\ufffdb\ufffd"


def test_letters_are_whole_wherever_output_is_cut(sandbox: Sandbox) -> None:
    letters = 400_000
    result = sandbox.commands.run(f"head -c {letters} /dev/zero | sed 's/\\x00/ä/g'")
    assert result.stdout == "ä" * letters


def test_much_output(sandbox: Sandbox) -> None:
    size = 20_000_000
    result = sandbox.commands.run(f"head -c {size} /dev/zero | tr '\\0' x")
    assert (len(result.stdout), set(result.stdout)) == (size, {"x"})


def test_output_that_is_not_kept(sandbox: Sandbox) -> None:
    told: list[str] = []
    result = sandbox.commands.run("echo a", on_stdout=told.append, retain_output=False)
    assert (told, result.stdout) == (["a\n"], None)


@pytest.mark.e2b("commands.run(background=True)", "CommandHandle.wait")
def test_a_command_in_the_background(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run(f"echo begun; {WAITING}; echo ended; exit 5", background=True)
    events = iter(handle)
    assert next(events) == ("begun\n", None, None)
    sandbox.commands.run("touch /tmp/go")
    assert list(events) == [("ended\n", None, None)]
    with pytest.raises(CommandExitException) as ended:
        handle.wait()
    assert (ended.value.exit_code, ended.value.stdout) == (5, "begun\nended\n")


def test_a_command_nobody_reads_from_is_in_nobodys_way(sandbox: Sandbox) -> None:
    silent = sandbox.commands.run("yes", background=True)
    assert sandbox.commands.run("echo here").stdout == "here\n"
    assert silent.kill()


def test_what_a_command_leaves_running_does_not_hold_it(sandbox: Sandbox) -> None:
    pid = int(sandbox.commands.run("sleep 1000 & echo $!").stdout)
    assert sandbox.commands.run(f"kill -0 {pid} && echo alive").stdout == "alive\n"


@pytest.mark.e2b("commands.list")
def test_the_list_is_of_what_runs(make: Make) -> None:
    sandbox = make()
    one = sandbox.commands.run("exec sleep 1000", background=True, cwd="/tmp")
    other = sandbox.commands.run("cat", background=True, stdin=True)
    sandbox.commands.run("true")
    listed = {info.pid: info for info in sandbox.commands.list()}
    assert set(listed) == {one.pid, other.pid}
    info = listed[one.pid]
    assert (info.cmd, info.args, info.cwd, info.tag) == (
        "/bin/bash",
        ["-l", "-c", "exec sleep 1000"],
        "/tmp",
        None,
    )
    one.kill()
    other.kill()
    gone(sandbox, one.pid)
    gone(sandbox, other.pid)
    assert sandbox.commands.list() == []


def test_the_pid_is_the_one_inside(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("echo $$", background=True)
    assert int(handle.wait().stdout) == handle.pid


def test_the_code_interpreters_own_processes_are_not_listed(code: CodeSandbox) -> None:
    assert code.run_code("1 + 1").text == "2"
    assert code.commands.list() == []


@pytest.mark.e2b("commands.connect", "CommandHandle.disconnect")
def test_who_connects_reads_on(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run(f"echo before; {WAITING}; echo after; exit 6", background=True)
    assert next(iter(handle)) == ("before\n", None, None)
    handle.disconnect()
    other = Sandbox.connect(sandbox.sandbox_id)
    again = other.commands.connect(handle.pid)
    sandbox.commands.run("touch /tmp/go")
    with pytest.raises(CommandExitException) as ended:
        again.wait()
    assert (again.pid, ended.value.stdout, ended.value.exit_code) == (handle.pid, "after\n", 6)


def test_two_may_listen_to_one_command(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("read line; echo $line", background=True, stdin=True)
    other = sandbox.commands.connect(handle.pid)
    sandbox.commands.send_stdin(handle.pid, "to both\n")
    assert handle.wait().stdout == "to both\n"
    assert other.wait().stdout == "to both\n"


def test_how_a_command_ended_can_be_heard_after_its_end(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("exit 7", background=True)
    with pytest.raises(CommandExitException):
        handle.wait()
    with pytest.raises(CommandExitException) as again:
        sandbox.commands.connect(handle.pid).wait()
    assert again.value.exit_code == 7


def test_what_never_ran_is_not_found(sandbox: Sandbox) -> None:
    with pytest.raises(NotFoundException, match="999999"):
        sandbox.commands.connect(999999)
    with pytest.raises(NotFoundException, match="999999"):
        sandbox.commands.send_stdin(999999, "x")
    assert sandbox.commands.kill(999999) is False


@pytest.mark.e2b("commands.send_stdin", "commands.close_stdin", "CommandHandle.send_stdin")
def test_input_and_its_end(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("cat", background=True, stdin=True)
    sandbox.commands.send_stdin(handle.pid, "text ä\n")
    sandbox.commands.send_stdin(handle.pid, "")
    handle.send_stdin(b"bytes\n")
    handle.close_stdin()
    assert handle.wait().stdout == "text ä\nbytes\n"


def test_a_command_has_no_input_unless_asked_for(sandbox: Sandbox) -> None:
    assert sandbox.commands.run("cat").stdout == ""
    handle = sandbox.commands.run("sleep 1000", background=True)
    with pytest.raises(SandboxException, match="input"):
        sandbox.commands.send_stdin(handle.pid, "x")
    sandbox.commands.close_stdin(handle.pid)


def test_much_input_at_once(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("wc -c", background=True, stdin=True)
    sandbox.commands.send_stdin(handle.pid, b"x" * 3_000_000)
    sandbox.commands.close_stdin(handle.pid)
    assert handle.wait().stdout == "3000000\n"


def test_input_beyond_all_bounds(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("wc -c", background=True, stdin=True)
    with pytest.raises(InvalidArgumentException, match="4194"):
        sandbox.commands.send_stdin(handle.pid, b"x" * 4_000_000)


def test_input_that_nobody_reads(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("sleep 1000", background=True, stdin=True)
    with pytest.raises(TimeoutException):
        sandbox.commands.send_stdin(handle.pid, b"x" * 2_000_000, request_timeout=1)
    assert handle.kill()


@pytest.mark.e2b("commands.stream_input")
def test_input_over_one_stream(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("cat", background=True, stdin=True)
    lines = [f"line {number}\n" for number in range(200)]
    sandbox.commands.stream_input(handle.pid, lines)
    sandbox.commands.close_stdin(handle.pid)
    assert handle.wait().stdout == "".join(lines)
    with pytest.raises(NotFoundException):
        sandbox.commands.stream_input(999999, ["x"])


@pytest.mark.e2b("commands.stream_input")
async def test_input_over_a_stream_that_stays_open(async_sandbox: AsyncSandbox) -> None:
    first = asyncio.Event()
    handle = await async_sandbox.commands.run(
        "read a; echo $a; read b; echo $b", background=True, stdin=True, on_stdout=lambda _: first.set()
    )
    async with async_sandbox.commands.stream_input(handle.pid) as stream:
        await stream.send("one\n")
        async with asyncio.timeout(PATIENCE_S):
            await first.wait()
        await stream.send("two\n")
    assert (await handle.wait()).stdout == "one\ntwo\n"


@pytest.mark.e2b("commands.kill", "CommandHandle.kill")
def test_a_command_is_killed_with_all_that_it_started(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("sleep 1000 & echo $!; wait", background=True)
    child = next(text for text, _, _ in handle if text)
    assert sandbox.commands.kill(handle.pid) is True
    with pytest.raises(CommandExitException) as killed:
        handle.wait()
    assert (killed.value.exit_code, killed.value.error) == (-1, "signal: killed")
    gone(sandbox, int(child))
    assert sandbox.commands.kill(handle.pid) is False
    assert handle.kill() is False


@pytest.mark.e2b("commands.run(timeout=)")
def test_a_command_ends_at_its_timeout(sandbox: Sandbox) -> None:
    pids: list[str] = []
    with pytest.raises(TimeoutException, match="timeout"):
        sandbox.commands.run("echo $$; exec sleep 1000", timeout=1, on_stdout=pids.append)
    gone(sandbox, int(pids[0]))
    handle = sandbox.commands.run("exec sleep 1000", timeout=1, background=True)
    with pytest.raises(TimeoutException):
        handle.wait()
    gone(sandbox, handle.pid)


def test_who_only_looks_on_does_not_end_it(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("exec sleep 1000", background=True, timeout=0)
    with pytest.raises(TimeoutException):
        sandbox.commands.connect(handle.pid, timeout=1).wait()
    assert handle.pid in [info.pid for info in sandbox.commands.list()]
    assert handle.kill() is True


@pytest.mark.e2b("commands.run(user=)", "commands.run(cwd=)", "commands.run(envs=)")
def test_as_whom_where_and_with_what(sandbox: Sandbox) -> None:
    assert sandbox.commands.run("id -un; pwd; echo $HOME").stdout == "user\n/home/user\n/home/user\n"
    assert sandbox.commands.run("id -un; pwd", user="root").stdout == "root\n/root\n"
    assert sandbox.commands.run("pwd", cwd="/tmp").stdout == "/tmp\n"
    sandbox.commands.run("mkdir -p some/where")
    assert sandbox.commands.run("pwd", cwd="some/where").stdout == "/home/user/some/where\n"
    assert sandbox.commands.run("pwd", cwd="~/some").stdout == "/home/user/some\n"
    envs = {"A": "ä b", "EMPTY": "", "LINES2": "1\n2"}
    assert sandbox.commands.run('echo "$A" "$EMPTY" "$LINES2"', envs=envs).stdout == "ä b  1\n2\n"
    assert sandbox.commands.run('echo "$A"').stdout == "\n"


def test_variables_of_the_sandbox_are_those_of_its_commands(make: Make) -> None:
    sandbox = make(envs={"A": "sandbox", "B": "sandbox"})
    assert sandbox.commands.run("echo $A $B", envs={"B": "command"}).stdout == "sandbox command\n"


def test_a_user_that_is_not_there(sandbox: Sandbox) -> None:
    with pytest.raises(AuthenticationException, match="nobody-here"):
        sandbox.commands.run("true", user="nobody-here")


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"cwd": "/nowhere"}, "/nowhere"),
        ({"cwd": "~other"}, "~"),
        ({"envs": {"A=B": "1"}}, "A=B"),
        ({"cmd": "true \0"}, "NUL"),
        ({"cmd": "x" * 200_000}, "131071"),
    ],
)
def test_what_cannot_be_run(sandbox: Sandbox, wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidArgumentException, match=word):
        sandbox.commands.run(**{"cmd": "true", **wrong})


def test_a_line_is_bashs_to_read(sandbox: Sandbox) -> None:
    line = r"""a='$x "y" \z'; printf '%s|%s\n' "$a" 'it'"'"'s' && [[ 1 -lt 2 ]] && echo {1..3} <<< x"""
    assert sandbox.commands.run(line).stdout == '$x "y" \\z|it\'s\n1 2 3\n'


async def test_a_hundred_commands_at_once(async_sandbox: AsyncSandbox) -> None:
    results = await asyncio.gather(
        *(async_sandbox.commands.run(f"echo {number}; exit 0", timeout=PATIENCE_S) for number in range(100))
    )
    assert [result.stdout for result in results] == [f"{number}\n" for number in range(100)]


async def test_the_asynchronous_client(async_sandbox: AsyncSandbox) -> None:
    told: list[str] = []
    begun = asyncio.Event()

    async def on_stdout(text: str) -> None:
        told.append(text)
        begun.set()

    handle = await async_sandbox.commands.run(
        "echo begun; cat", background=True, stdin=True, on_stdout=on_stdout
    )
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
    assert handle.pid in [info.pid for info in await async_sandbox.commands.list()]
    await handle.disconnect()
    again = await async_sandbox.commands.connect(handle.pid)
    await async_sandbox.commands.send_stdin(handle.pid, "more")
    await async_sandbox.commands.close_stdin(handle.pid)
    assert (await again.wait()).stdout == "more"
    assert told == ["begun\n"]
    assert await async_sandbox.commands.kill(handle.pid) is False
    with pytest.raises(CommandExitException):
        await async_sandbox.commands.run("exit 1")
    with pytest.raises(TimeoutException):
        await async_sandbox.commands.run("sleep 1000", timeout=1)
    with pytest.raises(AuthenticationException):
        await async_sandbox.commands.run("true", user="nobody-here")


def test_a_sandbox_that_is_killed_while_a_command_streams(make: Make) -> None:
    sandbox = make()
    handle = sandbox.commands.run("sleep 1000", background=True)
    sandbox.kill()
    with pytest.raises(SandboxNotRunningException):
        handle.wait()
    with pytest.raises(SandboxNotRunningException, match="was not found"):
        sandbox.commands.run("true")
    with pytest.raises(SandboxNotRunningException, match="was not found"):
        sandbox.commands.list()


def test_a_sandbox_that_ends_at_its_timeout_while_a_command_streams(make: Make) -> None:
    sandbox = make(timeout=300)
    handle = sandbox.commands.run("sleep 1000", background=True)
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            handle.wait()
        except BaseException as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    sandbox.set_timeout(1)
    waiting.join(PATIENCE_S)
    assert [type(error) for error in ended] == [SandboxNotRunningException]
