"""The sudo and su of the sandbox: who may, as whom, with which environment, and how it ends."""

from __future__ import annotations

import asyncio
import signal

import pytest

from sandlot.node.agent import Exit, GuestAgent, Output, PtySize, SpawnSpec

from .conftest import Guest, Result, run

NO_AGENT = "sudo: cannot reach the agent of this sandbox"


async def as_user(agent: GuestAgent, guest: Guest, script: str, user: str = "alice") -> Result:
    return await run(agent, f"PATH={guest.folder}:$PATH; {script}", user=user, timeout=20)


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("sudo id -u", "0"),
        ("sudo -n -- id -u", "0"),
        ("sudo -u bob id -un", "bob"),
        ("sudo -u '#1501' id -un", "bob"),
        ("sudo --user=bob id -G", "1501 1600"),
        ("sudo -ubob sh -c 'echo $HOME' | grep -c bob", "1"),
        ("cd /usr; sudo pwd", "/usr"),
        ("sudo -i pwd", "/root"),
        ("sudo -i echo 'a  b;' c", "a  b; c"),
        ("sudo -s 'echo' 'x y'", "x y"),
        ("echo in | sudo cat", "in"),
        ("sudo sh -c 'exit 7'; echo $?", "7"),
        ("sudo sh -c 'kill -9 $$'; echo $?", "137"),
        ("FOO=1 sudo sh -c 'echo $FOO,$SUDO_USER,$SUDO_UID,$USER,$HOME'", ",alice,1500,root,/root"),
        ("FOO=1 sudo -E sh -c 'echo $FOO'", "1"),
        ("FOO=1 BAR=2 sudo --preserve-env=FOO sh -c 'echo $FOO$BAR'", "1"),
        ("sudo A=b sh -c 'echo $A'", "b"),
        ("sudo -D /usr pwd", "/usr"),
        ("sudo -k && sudo -v && echo yes", "yes"),
        ("su -c 'id -u; echo $HOME'", "0\n/root"),
        ("su - bob -c 'id -un; pwd' | head -1", "bob"),
        ("su -s /bin/sh bob -c 'echo $0'", "sh"),
    ],
)
async def test_what_alice_may(agent: GuestAgent, guest: Guest, script: str, output: str) -> None:
    result = await as_user(agent, guest, script)
    assert (result.stdout.decode().strip(), result.stderr) == (output, b"")


@pytest.mark.parametrize(
    ("script", "user", "message"),
    [
        ("sudo id", "bob", "sudo: bob is not in the sudo group of this sandbox\n"),
        ("su -c id", "bob", "su: Authentication failure\n"),
        ("sudo -v", "bob", "sudo: bob is not in the sudo group of this sandbox\n"),
        ("sudo no-such-program", "alice", "sudo: command not found: no-such-program\n"),
        ("sudo -u nobody-here id", "alice", "sudo: no such user: nobody-here\n"),
        (
            "SANDLOT_AGENT_PORT=1 sudo id",
            "alice",
            "sudo: cannot reach the agent of this sandbox: Connection refused\n",
        ),
    ],
)
async def test_what_is_refused(agent: GuestAgent, guest: Guest, script: str, user: str, message: str) -> None:
    result = await as_user(agent, guest, script, user)
    assert (result.exit.code, result.stdout, result.stderr.decode()) == (1, b"", message)


async def test_it_works_where_no_new_privileges_can_be_had(agent: GuestAgent, guest: Guest) -> None:
    result = await as_user(agent, guest, "setpriv --no-new-privs sh -c 'sudo id -u'")
    assert result.stdout == b"0\n"


async def test_signals_go_through(agent: GuestAgent, guest: Guest) -> None:
    script = "trap 'echo caught; exit 9' TERM; echo up; while :; do sleep 0.05; done"
    process = await agent.spawn(
        SpawnSpec([f"{guest.folder}/sudo", "sh", "-c", script], user="alice", timeout=20)
    )
    output = b""
    async for event in process:
        if isinstance(event, Output):
            output += event.data
            if output == b"up\n":
                await agent.signal(process.id, signal.SIGTERM)
        else:
            assert event.code == 9
    assert output.endswith(b"caught\n")


async def test_a_killed_sudo_takes_its_command_along(agent: GuestAgent, guest: Guest) -> None:
    command = [f"{guest.folder}/sudo", "sh", "-c", "echo up; sleep 333"]
    process = await agent.spawn(SpawnSpec(command, user="alice"))
    async for event in process:
        if isinstance(event, Output):
            await agent.signal(process.id, signal.SIGKILL)
    async with asyncio.timeout(10):
        while (await agent.stats()).processes:
            await asyncio.sleep(0.01)


async def test_with_a_terminal_it_gives_the_command_one_of_its_own(agent: GuestAgent, guest: Guest) -> None:
    spec = SpawnSpec([f"{guest.folder}/sudo", "-s"], user="alice", pty=PtySize(31, 97), timeout=30)
    spec.env = {"SHELL": "/bin/sh"}
    process = await agent.spawn(spec)
    loop = b"""sh -c 'trap "echo cau""ght; exit" INT; stty size; id -u; while :; do sleep 0.1; done'\n"""
    steps = [
        (b"# ", loop),
        (b"31 97\r\n0\r\n", b"\x03"),
        (b"caught\r\n", b"echo 'a''b'; tty; exit 4\n"),
        (b"ab\r\n/dev/pts/", b""),
    ]
    output = b""
    async for event in process:
        if isinstance(event, Exit):
            assert event.code == 4
            break
        output += event.data
        while steps and steps[0][0] in output:
            output = output.split(steps[0][0], 1)[1]
            await agent.write_stdin(process.id, steps.pop(0)[1])
    assert steps == []
