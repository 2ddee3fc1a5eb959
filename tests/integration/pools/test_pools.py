"""docs/pools.md on real runtimes: what stands ready is handed out once, and as it was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from sandlot import Sandbox
from sandlot.node import instance_of
from sandlot.node.cgroups import Cgroup, CgroupLayout, CgroupTree
from tests.leftovers import Footprint

from .conftest import Pooled, Pools


def start_of(sandbox: Sandbox) -> str:
    """``hot`` or ``cold``, as its log says."""
    [created] = [event for event in sandbox.events() if event.kind == "created"]
    return str((created.details or {})["start"])


def group_of(server: Pooled, id: str) -> Cgroup:
    return CgroupTree(instance_of(server.local.folder / "data"), CgroupLayout.detect()).group(id)


def wait_frozen(group: Cgroup) -> None:
    deadline = time.monotonic() + 30
    while not group.is_frozen():
        assert time.monotonic() < deadline, f"{group.path} was never frozen"
        time.sleep(0.01)


def test_each_serves_once_as_it_was_asked_for(serving: Pools) -> None:
    server = serving("base=1:1")
    [ready] = server.hot(1)
    wait_frozen(group_of(server, ready))
    sandbox = server.create(env={"GREETING": "hello"}, metadata={"job": "7"}, timeout=60)
    assert (sandbox.id, start_of(sandbox)) == (ready, "hot")
    assert sandbox.info().metadata == {"job": "7"}
    assert sandbox.commands.run("echo $GREETING $(hostname)").stdout == f"hello {ready}\n"
    assert [command.args[-1] for command in sandbox.commands.list()] == ["echo $GREETING $(hostname)"]
    sandbox.files.write("/home/user/secret", "mine")
    sandbox.kill()
    server.hot(1)
    other = server.create()
    assert (start_of(other), other.id != ready) == ("hot", True)
    assert not other.files.exists("/home/user/secret")
    assert server.pool()["hits"] == 2


def test_a_hot_one_is_as_clean_as_a_cold_one(serving: Pools) -> None:
    server = serving("base=1:1")
    server.hot(1)
    hot, cold = server.create(), server.create(pids=511)
    assert (start_of(hot), start_of(cold)) == ("hot", "cold")
    look = "find / -xdev -newer /etc/hosts -not -path '/proc/*' -not -path '/sys/*' 2>/dev/null; env | sort"
    mine = [box.commands.run(look).stdout.replace(box.id, "ID") for box in (hot, cold)]
    assert mine[0] == mine[1]


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ({"memory_mib": 512}, "true"),
        ({"isolation": "container"}, "true"),
        ({"internet": False}, "! grep nameserver /etc/resolv.conf"),
        ({"hostname": "box"}, "test $(hostname) = box"),
    ],
)
def test_what_does_not_fit_starts_cold_as_asked(serving: Pools, other: dict[str, object], shown: str) -> None:
    server = serving("base=1:1")
    [ready] = server.hot(1)
    sandbox = server.create(**other)
    assert (start_of(sandbox), sandbox.id != ready) == ("cold", True)
    assert sandbox.commands.run(shown).exit_code == 0
    assert (server.pool()["hot"], server.pool()["unfit"]) == (1, 1)


def test_a_kernel_that_was_warm_before_has_the_variables(serving: Pools) -> None:
    server = serving("code-interpreter=1:1")
    server.hot(1, "code-interpreter")
    sandbox = server.create("code-interpreter", env={"GREETING": "hello"})
    assert start_of(sandbox) == "hot"
    code = "import os, subprocess; os.environ['GREETING'], subprocess.getoutput('echo $GREETING')"
    assert sandbox.run_code(code).text == "('hello', 'hello')"
    assert sandbox.run_code("echo $GREETING", language="bash").logs.stdout == ["hello\n"]
    assert len(sandbox.contexts.list()) == 2


def test_its_timeout_counts_from_when_it_is_taken(serving: Pools) -> None:
    server = serving("base=1:1")
    server.hot(1)
    sandbox = server.create(timeout=1)
    assert start_of(sandbox) == "hot"
    while sandbox.info().state in ("running", "killing"):
        time.sleep(0.02)
    assert "timeout" in (sandbox.info().reason or "")


def test_one_that_dies_is_replaced(serving: Pools) -> None:
    server = serving("base=1:1")
    [ready] = server.hot(1)
    for pid in group_of(server, ready).processes():
        os.kill(pid, signal.SIGKILL)
    group = group_of(server, ready)
    if group.can_freeze:
        group.thaw()  # a frozen process takes its signal when it runs again
    server.until(lambda pool: pool["hot"] == 1 and ready not in server.present())
    sandbox = server.create()
    assert (start_of(sandbox), sandbox.commands.run("true").exit_code) == ("hot", 0)


def test_the_first_use_begins_a_pool(serving: Pools) -> None:
    server = serving("", SANDLOT_POOL_HOT_MAX="2")
    first = server.create()
    assert start_of(first) == "cold"
    server.hot(1)
    second = server.create()
    assert start_of(second) == "hot"
    shown = subprocess.run(
        [sys.executable, "-m", "sandlot.cli.main", "pools"],
        env=os.environ | server.local.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.splitlines()[0].split()[:3] == ["TEMPLATE", "VERSION", "HOT"]
    assert "base" in shown


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_after_a_restart_nothing_of_them_is_left(serving: Pools, footprint: Footprint, how: str) -> None:
    server = serving("base=2:2")
    server.hot(2)
    taken = server.create()
    old = server.hot(2) - {taken.id}
    getattr(server.local, how)()
    assert (old & server.present() == set()) is (how == "stop")
    server.local.start()
    assert old & server.hot(2) == set()
    assert taken.commands.run("true").exit_code == 0


def test_a_crash_while_one_is_handed_out_leaves_it_whole_or_not_at_all(serving: Pools) -> None:
    server = serving("base=1:1")
    [ready] = server.hot(1)
    client = subprocess.Popen(
        [sys.executable, "-c", "import sandlot; sandlot.Sandbox.create('base')"],
        env=os.environ | server.local.environment,
        stderr=subprocess.DEVNULL,
    )
    while server.local.process.poll() is None and server.pool()["hits"] == 0:
        pass
    server.local.crash()
    client.wait()
    server.local.start()
    kept = list(Sandbox.list(**server.access))
    assert [one.id for one in kept] in ([], [ready])
    for one in kept:
        assert Sandbox.connect(one.id, **server.access).commands.run("true").exit_code == 0
    server.hot(1)
    assert (ready in server.present()) is bool(kept)
