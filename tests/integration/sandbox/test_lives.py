"""Pauses, snapshots, forks and hooks on a real machine, as their users see them, in Python and in a shell."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sandlot import (
    AsyncSandbox,
    AsyncSnapshot,
    Command,
    ConflictError,
    HookError,
    Hooks,
    InvalidArgumentError,
    NotFoundError,
    Sandbox,
    SandboxGoneError,
    SandboxPausedError,
    Snapshot,
)
from sandlot.server.local import LocalServer

from .conftest import Make

COUNT = "i=0; while [ $i -lt 400 ]; do i=$((i + 1)); echo $i; sleep 0.01; done"
RANDOM = "od -An -N16 -tx1 /dev/urandom"


def read(command: Command, into: list[str]) -> None:
    into.extend(output.text for output in command)


def wait_paused(sandbox: Sandbox) -> None:
    """Who reads a command hears of the pause: wait for that, not for a time."""
    with pytest.raises(SandboxPausedError):
        sandbox.commands.run("sleep 600", timeout=600)


# ── pauses ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_runs_stands_still_and_goes_on_and_nothing_it_says_is_lost(make: Make) -> None:
    sandbox = make(memory_mib=256)
    counting = sandbox.commands.start(COUNT, attach=True)
    said = [next(counting).text]
    assert (paused := sandbox.pause()).state == "paused"
    assert (paused.depth, paused.deadline) == ("frozen", None)
    assert paused.paused_at is not None
    with pytest.raises(SandboxPausedError, match=sandbox.id):
        read(counting, said)
    assert Sandbox.connect(sandbox.id).info().state == "paused"
    assert [info.state for info in Sandbox.list(state="paused")] == ["paused"]
    assert sandbox.resume(timeout=600).state == "running"
    read(counting, said)
    assert "".join(said).split() == [str(number) for number in range(1, 401)]
    kinds = [event.kind for event in sandbox.events()]
    assert kinds[-2:] == ["paused", "resumed"]


def test_a_request_wakes_it(make: Make) -> None:
    sandbox = make("code-interpreter", memory_mib=512)
    sandbox.run_code("kept = 41")
    sandbox.files.write("kept", "yes")
    for wake in (
        lambda: sandbox.run_code("kept + 1").text == "42",
        lambda: sandbox.files.read("kept") == "yes",
        lambda: sandbox.commands.run("echo awake").stdout == "awake\n",
    ):
        sandbox.pause()
        assert wake()
        assert sandbox.info().state == "running"


def test_where_only_resume_wakes_it_nothing_else_does(make: Make) -> None:
    sandbox = make(auto_resume=False, timeout=600)
    sandbox.pause()
    for request in (
        lambda: sandbox.commands.run("true"),
        lambda: sandbox.files.read("/etc/hostname"),
        sandbox.metrics,
        lambda: sandbox.set_timeout(60),
        sandbox.pause,
    ):
        with pytest.raises(SandboxPausedError, match="resume"):
            request()
    assert Sandbox.connect(sandbox.id).info().state == "paused"
    assert sandbox.resume().deadline is not None
    assert sandbox.commands.run("echo on").stdout == "on\n"


def test_its_time_is_up_and_it_pauses_instead_of_ending(make: Make) -> None:
    sandbox = make(timeout=1, on_timeout="pause")
    sandbox.files.write("kept", "yes")
    wait_paused(sandbox)
    assert sandbox.info().state == "paused"
    sandbox.resume(timeout=600)
    assert sandbox.files.read("kept") == "yes"
    assert sandbox.kill() is True


def test_what_was_kept_long_enough_ends(make: Make) -> None:
    sandbox = make(keep_paused=1, auto_resume=False)
    command = sandbox.commands.start("sleep 600", attach=True)
    sandbox.pause()
    with pytest.raises((SandboxPausedError, SandboxGoneError)):
        next(command)
    while sandbox.info().ended_at is None:
        pass
    assert sandbox.info().state == "killed"
    with pytest.raises(SandboxGoneError):
        sandbox.resume()


def test_files_alone_may_be_kept(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation)
    sandbox.files.write("kept", "yes")
    sandbox.commands.start("sleep 600", tag="lost")
    assert sandbox.pause(memory=False).depth == "files"
    assert sandbox.resume().state == "running"
    assert sandbox.files.read("kept") == "yes"
    assert [command.tag for command in sandbox.commands.list()] == []


def test_a_tier_without_memory_says_what_it_can_do(make: Make) -> None:
    sandbox = make(isolation="container")
    for wish in (sandbox.pause, sandbox.fork, lambda: sandbox.snapshot(memory=True)):
        with pytest.raises(ConflictError, match="container"):
            wish()
    assert sandbox.commands.run("echo runs on").stdout == "runs on\n"


def test_what_cannot_be_paused_or_resumed_says_why(make: Make) -> None:
    sandbox = make()
    with pytest.raises(InvalidArgumentError, match="timeout_s"):
        sandbox.resume(timeout=-1)
    sandbox.kill()
    for wish in (sandbox.pause, sandbox.resume, sandbox.snapshot, sandbox.fork):
        with pytest.raises(SandboxGoneError, match="killed"):
            wish()


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def keep(server: LocalServer) -> Iterator[Callable[..., Snapshot]]:
    """Make snapshots that end with the test."""
    with ExitStack() as stack:

        def snapshot(sandbox: Sandbox, **options: object) -> Snapshot:
            kept = sandbox.snapshot(**options)  # type: ignore[arg-type]
            stack.callback(kept.delete)
            return kept

        yield snapshot


def test_a_snapshot_is_started_from_and_gone_back_to(make: Make, keep: Callable[..., Snapshot]) -> None:
    sandbox = make("code-interpreter", memory_mib=512)
    sandbox.run_code("kept = ['then']")
    sandbox.files.write("kept", "then")
    snapshot = keep(sandbox, name="tests/then")
    assert (snapshot.sandbox_id, snapshot.memory) == (sandbox.id, True)
    assert snapshot.stored_bytes > 0
    assert Snapshot.get("tests/then") == Snapshot.get(snapshot.id) == snapshot
    assert snapshot in list(Snapshot.list(sandbox=sandbox.id))
    with pytest.raises(ConflictError, match="tests/then"):
        sandbox.snapshot(name="tests/then")
    newer = keep(sandbox, name="tests/then", take_name=True)
    assert Snapshot.get("tests/then") == newer
    assert Snapshot.get(snapshot.id).name is None
    assert newer.delete()
    snapshot = keep(sandbox, name="tests/then")

    sandbox.run_code("kept.append('now')")
    sandbox.files.write("kept", "now")
    other = make(snapshot="tests/then")
    assert other.id != sandbox.id
    assert (other.info().snapshot_id, other.info().template) == (snapshot.id, "code-interpreter")
    for one in (sandbox, other):
        expected = "now" if one is sandbox else "then"
        assert one.files.read("kept") == expected
        assert expected in str(one.run_code("kept[-1]").text)
    back = sandbox.rollback(snapshot)
    assert (back.id, back.state, back.snapshot_id) == (sandbox.id, "running", snapshot.id)
    assert sandbox.run_code("kept").text == "['then']"
    assert sandbox.files.read("kept") == "then"
    with pytest.raises(ConflictError):
        other.rollback(snapshot)
    assert other.commands.run("cat kept").stdout == "then"

    assert snapshot.delete()
    assert not snapshot.delete()
    with pytest.raises(NotFoundError, match="tests/then"):
        make(snapshot="tests/then")
    assert other.files.read("kept") == "then"


def test_a_snapshot_of_files_starts_anew(make: Make, keep: Callable[..., Snapshot], isolation: str) -> None:
    sandbox = make(isolation=isolation, memory_mib=256)
    sandbox.files.write("kept", "yes")
    sandbox.commands.start("sleep 600")
    snapshot = keep(sandbox, memory=False)
    other = make(snapshot=snapshot)
    assert other.files.read("kept") == "yes"
    assert [command.running for command in other.commands.list()] == []
    assert [command.running for command in sandbox.commands.list()] == [True]


@pytest.mark.parametrize(
    ("option", "value"),
    [("memory_mib", 512), ("disk_mib", 512), ("pids", 64), ("isolation", "container")],
)
def test_what_a_snapshot_decides_cannot_be_asked_for(
    make: Make, keep: Callable[..., Snapshot], option: str, value: object
) -> None:
    snapshot = keep(make(isolation="container"))
    with pytest.raises(InvalidArgumentError, match=option):
        make(snapshot=snapshot, **{option: value})


# ── forks ────────────────────────────────────────────────────────────────────────────────────────────────


def test_children_have_what_their_parent_had_and_lives_of_their_own(make: Make) -> None:
    parent = make(memory_mib=256)
    parent.files.write("state", "prepared")
    server = parent.commands.start("python3 -m http.server 8000", tag="web")
    fetch = "until curl -s localhost:8000/state; do sleep 0.05; done"
    assert parent.commands.run(fetch).stdout == "prepared"
    children = parent.fork(2, timeout=600)
    with ExitStack() as stack:
        for child in children:
            stack.callback(child.kill)
        family = [parent, *children]
        assert len({one.id for one in family}) == 3
        assert [child.info().parent_id for child in children] == [parent.id] * 2
        assert all(child.info().generation > parent.info().generation for child in children)
        assert {child.commands.list()[0].tag for child in children} == {"web"}
        for child in children:
            child.files.write("state", child.id)
        assert [one.commands.run(fetch).stdout for one in family] == ["prepared", *(c.id for c in children)]
        assert len({one.commands.run(RANDOM).stdout for one in family}) == 3
        assert len({one.get_url(8000) for one in family}) == 3
    assert server.info().running


@pytest.mark.parametrize("count", [0, -1, 10_000])
def test_a_fork_into_that_many_is_refused(make: Make, count: int) -> None:
    with pytest.raises(InvalidArgumentError, match="count"):
        make().fork(count)


# ── hooks ────────────────────────────────────────────────────────────────────────────────────────────────


def test_hooks_run_when_it_is_made_and_each_time_that_it_comes_back(make: Make) -> None:
    hooks = Hooks(
        on_create="echo made >> log; (sleep 0.3; touch up) > /dev/null 2>&1 &",
        on_resume="echo back >> log",
        ready="test -e up",
    )
    sandbox = make(hooks=hooks)
    assert sandbox.files.exists("up")
    assert sandbox.info().hooks == hooks
    assert sandbox.files.read("log") == "made\n"
    sandbox.pause()
    sandbox.resume()
    assert sandbox.files.read("log") == "made\nback\n"


def test_a_hook_that_fails_leaves_no_sandbox_and_says_what_it_printed(make: Make) -> None:
    known = {info.id for info in Sandbox.list()}
    with pytest.raises(HookError, match=r"on_create exited with 3.*no such luck") as caught:
        make(hooks=Hooks(on_create="echo no such luck >&2; exit 3"))
    assert caught.value.details["exit_code"] == 3
    assert {info.id for info in Sandbox.list()} == known


# ── the same without blocking, and in a shell ────────────────────────────────────────────────────────────


async def test_a_prepared_state_is_tried_side_by_side(server: LocalServer) -> None:
    async with await AsyncSandbox.create(memory_mib=256) as prepared:
        await prepared.files.write("number", "20")
        snapshot = await prepared.snapshot(name="tests/prepared")
        children = await prepared.fork(2, timeout=600)

        async def attempt(child: AsyncSandbox, more: int) -> str:
            async with child:
                await child.pause()
                return (await child.commands.run(f"echo $(($(cat number) + {more}))")).stdout

        assert await asyncio.gather(*map(attempt, children, (1, 2))) == ["21\n", "22\n"]
        await prepared.files.write("number", "0")
        assert (await prepared.rollback("tests/prepared")).state == "running"
        assert await prepared.files.read("number") == "20"
        assert [one.name async for one in AsyncSnapshot.list(sandbox=prepared.id)] == ["tests/prepared"]
        await snapshot.delete()


def sandlot(*words: str, code: int = 0) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "sandlot.cli.main", *words], capture_output=True, text=True, check=False
    )
    assert run.returncode == code, run.stderr
    return run.stdout if code == 0 else run.stderr


def test_a_life_in_a_shell(server: LocalServer) -> None:
    id = sandlot(
        "create", "--memory", "256", "--on-timeout", "pause", "--on-resume", "echo back >> log"
    ).strip()
    made = [id]
    try:
        sandlot("exec", id, "--", "sh", "-c", "echo then > state")
        assert sandlot("pause", id).strip() == id
        assert re.search(rf"{id} .* paused \(frozen\)", sandlot("ls"))
        assert json.loads(sandlot("info", id, "--json"))["depth"] == "frozen"
        assert sandlot("resume", id).strip() == id
        assert sandlot("exec", id, "--", "cat", "log") == "back\n"
        snapshot = sandlot("snapshot", id, "--name", "tests/shell").strip()
        sandlot("exec", id, "--", "sh", "-c", "echo now > state")
        made.append(sandlot("create", "--snapshot", "tests/shell").strip())
        sandlot("rollback", id, snapshot)
        assert [sandlot("exec", one, "--", "cat", "state") for one in made] == ["then\n"] * 2
        made += sandlot("fork", id, "-n", "2").split()
        assert len(set(made)) == 4
        assert sandlot("exec", made[-1], "--", "cat", "state") == "then\n"
        assert sandlot("snapshots", "rm", "tests/shell").strip() == snapshot
        assert "tests/shell" not in sandlot("snapshots", "ls")
        assert "tests/shell" in sandlot("rollback", id, "tests/shell", code=1)
    finally:
        sandlot("kill", *made)
