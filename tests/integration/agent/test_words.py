"""A shell that would only exec is not started, and nobody can tell."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandlot.errors import PermissionDenied
from sandlot.node.agent import GuestAgent, SpawnSpec

from .conftest import Guest, Result, run

BASH = ["/bin/bash", "-c"]


async def both(
    agent: GuestAgent,
    line: str,
    env: Mapping[str, str] | None = None,
    user: str = "alice",
    cwd: str | None = None,
) -> tuple[Result, Result]:
    """What the agent makes of the line, and what bash does."""
    short, whole = [
        await run(agent, SpawnSpec([*BASH, line], env=dict(env or {}), user=user, cwd=cwd, words=words))
        for words in (line.split(), None)
    ]
    return short, whole


@pytest.fixture
def program(guest: Guest) -> Path:
    """Says how it was started."""
    path = guest.folder / "alice" / "program"
    path.write_text(
        "#!/usr/bin/env -S python3 -S\nimport os\nprint(os.getppid(), os.getpgid(0) == os.getpid())\n"
    )
    path.chmod(0o755)
    return path


async def test_the_shell_is_left_out(agent: GuestAgent, guest: Guest) -> None:
    """With a shell in `args` that would say something else, were it asked."""
    other = guest.folder / "shell"
    other.write_text("#!/bin/sh\necho the shell\n")
    other.chmod(0o755)
    spec = SpawnSpec([str(other), "-c", "id -u"], user="alice", words=["id", "-u"])
    assert (await run(agent, spec)).stdout == b"1500\n"
    spec = SpawnSpec([str(other), "-c", "nonesuch"], user="alice", words=["nonesuch"])
    assert (await run(agent, spec)).stdout == b"the shell\n"
    other.chmod(0o644)  # where there is no shell, a shell's command cannot be run
    with pytest.raises(PermissionDenied, match="Permission denied"):
        await run(agent, SpawnSpec([str(other), "-c", "id -u"], user="alice", words=["id", "-u"]))


@pytest.mark.parametrize("line", ["env -0", "/usr/bin/env -0", "../../usr/bin/env -0"])
@pytest.mark.parametrize(
    "path", [None, "/usr/bin:/bin", "/nowhere:/usr/bin//:/bin", "/usr/bin/:/bin", ":/usr/bin", "usr/bin"]
)
async def test_the_environment_is_the_same(
    agent: GuestAgent, guest: Guest, line: str, path: str | None
) -> None:
    env = {"A": "b c", **({"PATH": path} if path else {})}
    folder = guest.folder / "alice" / "real"
    folder.mkdir()
    (guest.folder / "alice" / "link").symlink_to("real")
    for cwd in (None, "/tmp", "/", str(guest.folder / "alice" / "link")):
        short, whole = await both(agent, line, env, cwd=cwd)
        assert sorted(short.stdout.split(b"\0")) == sorted(whole.stdout.split(b"\0")), (path, cwd)
        assert _told(short)[1:] == _told(whole)[1:]


async def test_what_cannot_be_run_is_the_shells_to_say(agent: GuestAgent, guest: Guest) -> None:
    home = guest.folder / "alice"
    (home / "folder").mkdir()
    for name, mode, text in (
        ("plain", 0o644, "#!/bin/sh\necho no\n"),
        ("others", 0o701, "#!/bin/sh\necho others\n"),
        ("script", 0o755, "echo no first line, $0 $1 $BASH_VERSION\n"),
        ("lost", 0o755, "#!/nowhere/sh\n"),
        ("broken", 0o755, "\x7fELF"),
        ("empty", 0o755, ""),
    ):
        (home / name).write_text(text)
        (home / name).chmod(mode)
    (home / "loop").symlink_to("loop")
    os.chown(home / "others", 1500, 1500)
    path = {"PATH": f"{home}:/usr/bin:/bin"}
    for name in (
        "plain",
        "others",
        "script",
        "lost",
        "broken",
        "empty",
        "folder",
        "loop",
        "nonesuch",
        "/nonesuch/x",
    ):
        for word in (name, f"./{name}"):
            short, whole = await both(agent, f"{word} argument", path)
            assert _told(short) == _told(whole), word


async def test_the_first_that_can_be_run_is(agent: GuestAgent, guest: Guest) -> None:
    for number, mode in enumerate((0o644, 0o755, 0o755)):
        folder = guest.folder / f"bin{number}"
        folder.mkdir()
        (folder / "which-one").write_text(f"#!/bin/sh\necho {number} $_\n")
        (folder / "which-one").chmod(mode)
    path = {"PATH": ":".join(str(guest.folder / f"bin{number}") for number in range(3)) + ":/usr/bin:/bin"}
    short, whole = await both(agent, "which-one", path)
    assert short.stdout == whole.stdout
    assert short.stdout.startswith(b"1 ")


async def test_it_is_a_process_like_any_other(agent: GuestAgent, program: Path) -> None:
    short, whole = await both(agent, str(program))
    assert short.stdout == whole.stdout == b"1 True\n"


async def test_it_is_told_by_its_line(agent: GuestAgent) -> None:
    process = await agent.spawn(SpawnSpec([*BASH, "sleep 1000"], words=["sleep", "1000"]))
    [info] = [each for each in await agent.processes() if each.id == process.id]
    assert info.args == [*BASH, "sleep 1000"]
    await agent.signal(process.id, 15)
    assert [event async for event in process][-1].signal == 15  # type: ignore[union-attr]


@pytest.fixture
def login(guest: Guest) -> Path:
    """Alice's home, with start-up files as a template has them; the host's own /etc/profile is what it is."""
    home = guest.folder / "alice"
    (home / ".profile").write_text('[ -n "$PS1" ] && echo interactive\n:\n')
    return home


def premises(home: Path, **others: str) -> list[str]:
    """As they are now."""
    found = {
        "$HOME": str(home),
        f"{home}/.profile": hashlib.sha256((home / ".profile").read_bytes()).hexdigest(),
        f"{home}/.bash_profile": "",
        f"{home}/d/*.sh": "",
        **others,
    }
    return [text for pair in found.items() for text in pair]


async def test_a_login_shell_is_left_out_only_where_all_premises_hold(
    agent: GuestAgent, guest: Guest, login: Path
) -> None:
    shell = guest.folder / "shell"
    shell.write_text("#!/bin/sh\necho the shell\n")
    shell.chmod(0o755)

    async def said(suppositions: list[str]) -> bytes:
        args = [str(shell), "-l", "-c", "id -u"]
        spec = SpawnSpec(args, user="alice", words=["id", "-u"], premises=suppositions)
        return (await run(agent, spec)).stdout

    before = premises(login)
    assert await said(before) == b"1500\n"
    (login / "d").mkdir()
    (login / "d" / "sh").touch()
    (login / "d" / "a.sh.old").touch()
    assert await said(before) == b"1500\n"

    assert await said(premises(login, **{"$HOME": "/root"})) == b"the shell\n"
    assert await said(premises(login, **{"$NONE": ""})) == b"the shell\n"
    (login / ".bash_profile").symlink_to("nowhere")
    assert await said(before) == b"the shell\n"
    (login / ".bash_profile").unlink()
    assert await said(before) == b"1500\n"
    for number in range(200):
        (login / "d" / f"{number}-a-long-name-of-a-file-that-fills-the-buffer").touch()
    assert await said(before) == b"1500\n"
    (login / "d" / "a.sh").touch()
    assert await said(before) == b"the shell\n"
    (login / "d" / "a.sh").unlink()
    (login / ".profile").write_text("A=b\n")
    assert await said(before) == b"the shell\n"
    (login / ".profile").write_bytes(b"#" * 9000)
    assert await said(premises(login)) == b"the shell\n"
    (login / ".profile").unlink()
    assert await said(before) == b"the shell\n"


def _told(result: Result) -> tuple[bytes, bytes, int]:
    return result.stdout, result.stderr, result.exit.code
