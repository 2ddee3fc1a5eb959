"""Commands, as a user of the SDK sees them, on both tiers."""

from __future__ import annotations

import os
import threading

import pytest

from sandlot import Sandbox
from sandlot.sdk import CommandError, InvalidArgumentError, NotFoundError

from .conftest import Make


def test_output_streams_apart_and_exit_code(sandbox: Sandbox) -> None:
    seen: list[str] = []
    result = sandbox.commands.run("echo out; echo err >&2; exit 3", on_stdout=seen.append)
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert "".join(seen) == "out\n"
    with pytest.raises(CommandError, match="3"):
        sandbox.commands.run("exit 3", check=True)


def test_runs_as_user_in_its_home_with_its_environment(sandbox: Sandbox) -> None:
    assert sandbox.commands.run("id -un; pwd; echo $HOME").stdout == "user\n/home/user\n/home/user\n"
    result = sandbox.commands.run(["printenv", "GREETING"], env={"GREETING": "höllo wörld"})
    assert result.stdout == "höllo wörld\n"
    assert sandbox.commands.run("pwd", cwd="/usr/lib").stdout == "/usr/lib\n"
    assert sandbox.commands.run("id -u", user="root").stdout == "0\n"


def test_user_may_sudo(sandbox: Sandbox) -> None:
    assert sandbox.commands.run("sudo id -u").stdout == "0\n"
    assert sandbox.commands.run("sudo -u nobody id -un").stdout == "nobody\n"
    assert sandbox.commands.run("echo hi | sudo tee /root/note && sudo cat /root/note").stdout == "hi\nhi\n"
    assert sandbox.commands.run("sudo sh -c 'exit 7'").exit_code == 7


def test_binary_output_survives(sandbox: Sandbox) -> None:
    blob = os.urandom(300_000)
    sandbox.files.write("/tmp/blob", blob)
    assert sandbox.commands.run("cat /tmp/blob").stdout_bytes == blob


def test_stdin(sandbox: Sandbox) -> None:
    command = sandbox.commands.start("tr a-z A-Z", stdin=True)
    command.write(b"shout")
    command.write(b" it\n")
    command.close_stdin()
    assert command.wait().stdout == "SHOUT IT\n"


def test_timeout_ends_the_whole_group(sandbox: Sandbox) -> None:
    result = sandbox.commands.run("sleep 987 & sleep 987; echo never", timeout=0.5)
    assert result.timed_out
    assert result.exit_code != 0
    assert "never" not in result.stdout
    assert sandbox.commands.run("pgrep -f 'sleep 987'").stdout == ""


def test_signals(sandbox: Sandbox) -> None:
    command = sandbox.commands.start(
        "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    )
    lines = iter(command)
    for event in lines:
        if "ready" in event_text(event):
            break
    command.signal("USR1")
    result = command.wait()
    assert result.exit_code == 5
    killed = sandbox.commands.start("sleep 600")
    killed.kill()
    assert killed.wait().exit_code == 137


def event_text(event: object) -> str:
    return getattr(event, "text", "") or getattr(event, "data", b"").decode()


def test_background_list_reconnect_and_read_on(sandbox: Sandbox) -> None:
    command = sandbox.commands.start("for i in 1 2 3; do echo line $i; done; read x; echo got $x", stdin=True)
    id = command.id
    for event in command:
        if "line 3" in event_text(event):
            break
    command.detach()
    assert id in [found.id for found in sandbox.commands.list() if found.running]
    again = sandbox.commands.connect(id, from_start=True)
    again.write(b"it\n")
    again.close_stdin()
    result = again.wait()
    assert result.stdout == "line 1\nline 2\nline 3\ngot it\n"
    assert result.exit_code == 0


def test_two_streams_of_megabytes_do_not_lock(sandbox: Sandbox) -> None:
    result = sandbox.commands.run("head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero >&2")
    assert (len(result.stdout_bytes), len(result.stderr_bytes)) == (3_000_000, 3_000_000)


def test_commands_run_side_by_side(sandbox: Sandbox) -> None:
    sandbox.commands.run("rm -f /tmp/fifo; mkfifo /tmp/fifo")
    reader = sandbox.commands.start("cat /tmp/fifo")
    writer = threading.Thread(target=lambda: sandbox.commands.run("echo met > /tmp/fifo"))
    writer.start()
    assert reader.wait().stdout == "met\n"
    writer.join()


def test_what_does_not_exist_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(NotFoundError, match="no-such-program"):
        sandbox.commands.run(["no-such-program"])
    with pytest.raises(NotFoundError, match="/no/such/folder"):
        sandbox.commands.run("true", cwd="/no/such/folder")
    with pytest.raises(InvalidArgumentError, match="nobody-here"):
        sandbox.commands.run("true", user="nobody-here")
    with pytest.raises(InvalidArgumentError, match="NUL"):
        sandbox.commands.run(["echo", "a\0b"])
    with pytest.raises(InvalidArgumentError, match="timeout"):
        sandbox.commands.run("true", timeout=-1)
    with pytest.raises(NotFoundError, match="4000000"):
        sandbox.commands.connect(4_000_000).wait()


def test_terminal(sandbox: Sandbox) -> None:
    with sandbox.terminal(rows=30, cols=100) as terminal:
        terminal.write(b"stty size; tty; exit 4\n")
        shown = b""
        while chunk := terminal.read():
            shown += chunk
        assert b"30 100" in shown
        assert b"/dev/pts" in shown
        assert terminal.wait() == 4


def test_terminal_resize(sandbox: Sandbox) -> None:
    with sandbox.terminal(rows=24, cols=80) as terminal:
        terminal.resize(rows=11, cols=77)
        terminal.write(b"stty size; exit\n")
        shown = b""
        while chunk := terminal.read():
            shown += chunk
        assert b"11 77" in shown


def test_a_sandbox_without_internet_still_runs(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation, internet=False)
    assert sandbox.commands.run("echo fine").stdout == "fine\n"
