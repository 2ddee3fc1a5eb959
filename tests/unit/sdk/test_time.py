"""Pausing, snapshots and forks as their user writes them."""

from __future__ import annotations

import dataclasses

import pytest

from sandlot import (
    AsyncSandbox,
    AsyncSnapshot,
    ConflictError,
    ForkError,
    Hooks,
    LimitError,
    NotFoundError,
    Sandbox,
    SandboxPausedError,
    Snapshot,
)

from .stub import Refused, Stub


def test_create_says_how_it_pauses_and_comes_back(stub: Stub) -> None:
    made = Sandbox.create(
        timeout=60,
        on_timeout="pause",
        pause_memory=False,
        pause_idle=10,
        auto_resume=False,
        keep_paused=3600,
        hooks=Hooks(on_create="make", on_resume="reseed"),
    )
    assert stub.bodies == [
        {
            "template": "base",
            "timeout_s": 60,
            "on_timeout": "pause",
            "pause_memory": False,
            "pause_idle_s": 10,
            "auto_resume": False,
            "keep_paused_s": 3600,
            "hooks": {"on_create": "make", "on_resume": "reseed"},
        }
    ]
    info = made.info()
    assert (info.on_timeout, info.pause_memory, info.pause_idle_s) == ("pause", False, 10)
    assert (info.auto_resume, info.keep_paused_s) == (False, 3600)
    assert info.hooks == Hooks(on_create="make", on_resume="reseed")


def test_paused_it_says_so_until_it_is_resumed(stub: Stub) -> None:
    sandbox = Sandbox.create()
    assert (paused := sandbox.pause()).state == "paused"
    assert paused.depth == "disk"
    assert paused.paused_at is not None
    with pytest.raises(SandboxPausedError, match="is paused"):
        sandbox.commands.run("true")
    with pytest.raises(ConflictError):
        sandbox.pause()
    found = Sandbox.connect(sandbox.id)
    assert found.info().state == "paused"
    back = found.resume()
    assert (back.state, back.depth, back.paused_at, back.generation) == ("running", None, None, 1)
    assert sandbox.commands.run("echo on").stdout == "on\n"
    assert sandbox.pause(memory=False).depth == "files"
    sandbox.resume(timeout=600)
    assert stub.bodies[-1] == {"timeout_s": 600}
    assert [body for body in stub.bodies if body == {}] == [{}]


def test_who_reads_a_command_hears_of_the_pause_and_reads_on_afterwards(stub: Stub) -> None:
    sandbox = Sandbox.create()
    command = sandbox.commands.start("echo before; read line; echo $line", stdin=True)
    assert next(command).text == "before\n"
    sandbox.pause()
    with pytest.raises(SandboxPausedError, match="is paused"):
        next(command)
    sandbox.resume()
    command.write("after\n")
    command.close_stdin()
    assert command.wait().stdout == "after\n"


def test_a_snapshot_is_found_started_from_gone_back_to_and_deleted(stub: Stub) -> None:
    sandbox = Sandbox.create(cpus=2)
    sandbox.files.write("state", "then")
    snapshot = sandbox.snapshot(name="team/then", memory=False, expires=60)
    assert stub.bodies[-1] == {"name": "team/then", "memory": False, "expires_s": 60}
    assert (snapshot.name, snapshot.sandbox_id, snapshot.memory) == ("team/then", sandbox.id, False)
    assert (snapshot.cpus, snapshot.size_bytes, snapshot.stored_bytes) == (2, 3 << 20, 1 << 20)
    assert snapshot.expires_at is not None
    assert Snapshot.get("team/then") == Snapshot.get(snapshot.id) == snapshot
    assert dataclasses.asdict(snapshot)["id"] == snapshot.id
    sandbox.files.write("state", "now")
    for start in (snapshot, snapshot.id, "team/then"):
        other = Sandbox.create(snapshot=start)
        assert other.files.read("state") == "then"
        assert other.info().snapshot_id == snapshot.id
    assert "template" not in stub.bodies[-1]
    assert sandbox.rollback("team/then").snapshot_id == snapshot.id
    assert sandbox.files.read("state") == "then"
    assert snapshot.delete() is True
    assert snapshot.delete() is False
    with pytest.raises(NotFoundError, match="team/then"):
        Snapshot.get("team/then")


def test_a_name_may_be_taken_from_the_snapshot_that_has_it(stub: Stub) -> None:
    sandbox = Sandbox.create()
    first = sandbox.snapshot(name="latest")
    with pytest.raises(ConflictError, match="latest"):
        sandbox.snapshot(name="latest")
    second = sandbox.snapshot(name="latest", take_name=True)
    assert Snapshot.get("latest").id == second.id
    assert Snapshot.get(first.id).name is None


def test_what_a_snapshot_decides_is_the_servers_to_refuse(stub: Stub) -> None:
    snapshot = Sandbox.create().snapshot()
    Sandbox.create("code-interpreter", snapshot=snapshot, memory_mib=512)
    assert stub.bodies[-1]["template"] == "code-interpreter"
    assert stub.bodies[-1]["memory_mib"] == 512


def test_snapshots_are_listed_through_the_pages(stub: Stub) -> None:
    one, two = Sandbox.create(), Sandbox.create()
    made = [sandbox.snapshot(name=name) for sandbox, name in ((one, "a"), (two, "b"), (one, None))]
    stub.page_size = 2
    assert [snapshot.name for snapshot in Snapshot.list()] == [None, "b", "a"]
    assert list(Snapshot.list(sandbox=one.id)) == [made[2], made[0]]
    for snapshot in Snapshot.list(sandbox=two.id):
        snapshot.delete()
    assert [snapshot.name for snapshot in Snapshot.list()] == [None, "a"]


def test_forks_are_sandboxes(stub: Stub) -> None:
    sandbox = Sandbox.create()
    sandbox.files.write("state", "prepared")
    children = sandbox.fork(2, timeout=60)
    assert stub.bodies[-1] == {"count": 2, "timeout_s": 60}
    assert len({sandbox.id, *(child.id for child in children)}) == 3
    for child in children:
        assert isinstance(child, Sandbox)
        assert child.files.read("state") == "prepared"
        assert child.get_url(80) == f"https://80-{child.id}.box.test"
        assert (child.info().parent_id, child.info().generation) == (sandbox.id, 1)


def test_of_a_fork_that_fails_in_part_nothing_is_lost(stub: Stub) -> None:
    sandbox = Sandbox.create()
    stub.failing_forks = 1
    with pytest.raises(ForkError, match=r"2 of 3 forks of .* were made: the machine is full") as caught:
        sandbox.fork(3)
    assert [child.info().parent_id for child in caught.value.sandboxes] == [sandbox.id] * 2
    assert [type(error) for error in caught.value.errors] == [LimitError]
    stub.refuse = [Refused(429, "limit_exceeded", "no room for any")]
    with pytest.raises(LimitError, match="no room for any"):
        sandbox.fork(3)


async def test_the_same_without_blocking(stub: Stub) -> None:
    sandbox = await AsyncSandbox.create()
    await sandbox.files.write("state", "prepared")
    snapshot = await sandbox.snapshot(name="n")
    assert isinstance(snapshot, AsyncSnapshot)
    assert [one.name async for one in AsyncSnapshot.list()] == ["n"]
    stub.failing_forks = 1
    with pytest.raises(ForkError) as caught:
        await sandbox.fork(2)
    for child in caught.value.sandboxes:
        async with child:
            assert await child.files.read("state") == "prepared"
    assert (await sandbox.pause()).state == "paused"
    assert (await sandbox.resume()).state == "running"
    assert await (await AsyncSnapshot.get("n")).delete()
