"""Snapshots and forks through E2B's Python client."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import e2b
import pytest
from e2b import AsyncSandbox, Sandbox

from sandlot.server.local import LocalServer
from tests.integration.tenants.conftest import Tenants

from .conftest import AsyncMake, Make

ASKS = "read line; echo got $line"


@pytest.fixture(scope="module")
def sandbox(server: LocalServer) -> Iterator[Sandbox]:
    """One that others are made from, with a file."""
    sandbox = Sandbox.create("base", timeout=1800, metadata={"for": "snapshots"}, envs={"GIVEN": "1"})
    sandbox.files.write("file", "as it was")
    yield sandbox
    sandbox.kill()


def snapshots(**options: str | int | None) -> list[str]:
    """The ids of all pages."""
    pages = Sandbox.list_snapshots(**options)  # type: ignore[arg-type]
    found: list[str] = []
    while pages.has_next:
        found += [snapshot.snapshot_id for snapshot in pages.next_items()]
    return found


def answer_of(sandbox: Sandbox, pid: int) -> str:
    """What a program that asks makes of its line."""
    followed = sandbox.commands.connect(pid)
    sandbox.commands.send_stdin(pid, "it\n")
    return followed.wait().stdout


@pytest.mark.e2b("Sandbox.create_snapshot", "Sandbox.delete_snapshot", "Sandbox.create(template=)")
@pytest.mark.e2b("POST /sandboxes/{sandboxID}/snapshots", "DELETE /templates/{templateID}")
def test_sandboxes_are_made_from_a_snapshot(sandbox: Sandbox, make: Make) -> None:
    name = f"snapshot-{uuid4()}"
    asks = sandbox.commands.run(ASKS, background=True, stdin=True)
    snapshot = sandbox.create_snapshot(name=name)
    assert snapshot.names == [name]
    sandbox.files.write("file", "as it is")
    one = make(snapshot.snapshot_id, timeout=600)
    other = make(name, metadata={"a": "b"})
    assert len({sandbox.sandbox_id, one.sandbox_id, other.sandbox_id}) == 3
    one.files.write("file", "as one has it")
    assert [each.files.read("file") for each in (sandbox, one, other)] == [
        "as it is",
        "as one has it",
        "as it was",
    ]
    assert [answer_of(each, asks.pid) for each in (other, one, sandbox)] == ["got it\n"] * 3
    info = other.get_info()
    assert (info.name, info.metadata) == ("base", {"a": "b"})
    assert Sandbox.delete_snapshot(name) is True
    assert Sandbox.delete_snapshot(snapshot.snapshot_id) is False
    with pytest.raises(e2b.SandboxException, match="there is no template") as raised:
        Sandbox.create(snapshot.snapshot_id)
    assert raised.value.status_code == 404
    assert other.commands.run("cat file").stdout == "as it was"


@pytest.mark.e2b("Sandbox.create_snapshot(mode='filesystem')")
def test_a_snapshot_of_files_alone(sandbox: Sandbox, make: Make) -> None:
    sandbox.files.write("alone", "kept")
    command = sandbox.commands.run("sleep 600", background=True)
    snapshot = Sandbox.create_snapshot(sandbox.sandbox_id, mode="filesystem")
    anew = make(snapshot.snapshot_id)
    assert anew.files.read("alone") == "kept"
    assert command.pid not in [one.pid for one in anew.commands.list()]
    assert command.pid in [one.pid for one in sandbox.commands.list()]
    assert sandbox.commands.kill(command.pid) is True
    assert Sandbox.delete_snapshot(snapshot.snapshot_id) is True


@pytest.mark.e2b("Sandbox.list_snapshots", "SnapshotPaginator.next_items", "GET /snapshots")
def test_snapshots_are_listed(sandbox: Sandbox, make: Make) -> None:
    name = f"listed/{uuid4()}"
    of_it = [sandbox.create_snapshot(mode="filesystem").snapshot_id for _ in range(2)]
    of_another = make().create_snapshot(name, mode="filesystem").snapshot_id
    assert snapshots(sandbox_id=sandbox.sandbox_id, limit=1) == of_it[::-1]
    assert snapshots()[:3] == [of_another, *of_it[::-1]]
    [named] = Sandbox.list_snapshots(name=name).next_items()
    assert (named.snapshot_id, named.names) == (of_another, [name])
    assert snapshots(name=of_it[0]) == [of_it[0]]
    assert snapshots(name=f"{name}-not") == []
    pages = sandbox.list_snapshots(limit=1)
    assert [one.snapshot_id for one in pages.next_items()] == of_it[1:]
    assert pages.has_next is True
    for id in (*of_it, name):
        assert Sandbox.delete_snapshot(id) is True
    assert snapshots(sandbox_id=sandbox.sandbox_id) == []


def test_a_name_is_of_the_newest_snapshot(sandbox: Sandbox, make: Make) -> None:
    name = f"daily-{uuid4()}"
    sandbox.files.write("day", "one")
    first = sandbox.create_snapshot(name, mode="filesystem")
    sandbox.files.write("day", "two")
    second = sandbox.create_snapshot(name, mode="filesystem")
    assert snapshots(name=name) == [second.snapshot_id]
    assert make(name).files.read("day") == "two"
    assert make(first.snapshot_id).files.read("day") == "one"
    for id in (first.snapshot_id, second.snapshot_id):
        assert Sandbox.delete_snapshot(id) is True


@pytest.mark.parametrize("name", ["a b", "x" * 1000, "/", "ä"])
def test_a_name_that_cannot_be(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(e2b.SandboxException, match="name") as raised:
        sandbox.create_snapshot(name=name)
    assert raised.value.status_code == 400


def test_anothers_snapshot_is_none(sandbox: Sandbox, tenants: Tenants) -> None:
    name, other = f"mine-{uuid4()}", tenants("stranger").key
    snapshot = sandbox.create_snapshot(name, mode="filesystem")
    for id in (name, snapshot.snapshot_id):
        with pytest.raises(e2b.SandboxException, match="there is no template"):
            Sandbox.create(id, api_key=other)
        assert Sandbox.delete_snapshot(id, api_key=other) is False
    assert Sandbox.list_snapshots(api_key=other).next_items() == []
    assert Sandbox.delete_snapshot(name) is True


@pytest.mark.e2b("AsyncSandbox.create_snapshot", "AsyncSandbox.delete_snapshot", "AsyncSandbox.fork")
async def test_without_blocking(async_make: AsyncMake) -> None:
    sandbox = await async_make()
    await sandbox.files.write("file", "kept")
    snapshot = await sandbox.create_snapshot()
    try:
        pages = AsyncSandbox.list_snapshots(sandbox_id=sandbox.sandbox_id)
        assert [one.snapshot_id for one in await pages.next_items()] == [snapshot.snapshot_id]
        made = await async_make(snapshot.snapshot_id)
        [child] = await sandbox.fork()
        assert isinstance(child, AsyncSandbox)
        try:
            assert [await each.files.read("file") for each in (made, child)] == ["kept", "kept"]
        finally:
            await child.kill()
    finally:
        assert await AsyncSandbox.delete_snapshot(snapshot.snapshot_id) is True


@pytest.mark.e2b("Sandbox.fork", "POST /sandboxes/{sandboxID}/fork")
def test_children_go_on_each_for_itself(sandbox: Sandbox) -> None:
    asks = sandbox.commands.run(ASKS, background=True, stdin=True)
    sandbox.files.write("file", "before")
    forks = sandbox.fork(count=2, timeout=600)
    children = [fork for fork in forks if isinstance(fork, Sandbox)]
    try:
        assert len(children) == len(forks) == 2
        assert len({each.sandbox_id for each in (sandbox, *children)}) == 3
        children[0].files.write("file", "after")
        assert [each.files.read("file") for each in (sandbox, *children)] == ["before", "after", "before"]
        assert [answer_of(each, asks.pid) for each in (*children, sandbox)] == ["got it\n"] * 3
        dice = "head -c 16 /dev/urandom | base64"
        assert len({each.commands.run(dice).stdout for each in (sandbox, *children)}) == 3
        assert [each.commands.run("echo $GIVEN").stdout for each in children] == ["1\n", "1\n"]
        info = children[0].get_info()
        assert (info.name, info.metadata) == ("base", {"for": "snapshots"})
        assert 590 < (info.end_at - info.started_at).total_seconds() < 700
    finally:
        for child in children:
            child.kill()
    assert sandbox.is_running() is True


def test_each_fork_that_fails_says_why(tenants: Tenants) -> None:
    key = tenants("few", "--max-sandboxes", "2").key
    sandbox = Sandbox.create("base", api_key=key)
    forks = Sandbox.fork(sandbox.sandbox_id, count=2, api_key=key)
    [child] = [fork for fork in forks if isinstance(fork, Sandbox)]
    [error] = [fork for fork in forks if isinstance(fork, Exception)]
    assert isinstance(error, e2b.RateLimitException)
    assert "max_sandboxes" in str(error)
    assert child.commands.run("echo here").stdout == "here\n"
    with pytest.raises(e2b.RateLimitException):
        Sandbox.fork(sandbox.sandbox_id, api_key=key, retries=0)
    sandbox.kill()
    child.kill()


def test_what_cannot_be_forked(make: Make) -> None:
    sandbox = make()
    sandbox.kill()
    with pytest.raises(e2b.SandboxNotFoundException):
        sandbox.fork()
    with pytest.raises(e2b.SandboxNotFoundException):
        sandbox.create_snapshot()
