"""A sandbox's life on a real machine: deadlines, restarts, crashes, and what is said of them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandlot import Sandbox
from sandlot.sdk import NotFoundError, SandboxError, SandboxGoneError
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .conftest import Make


def reasons(sandbox: Sandbox) -> list[str]:
    return [f"{event.kind}: {event.reason}" for event in sandbox.events()]


def test_connect_info_list_and_kill(make: Make, isolation: str) -> None:
    made = make(isolation=isolation, metadata={"test": f"life-{isolation}"}, env={"FROM": "create"})
    same = Sandbox.connect(made.id)
    assert same.commands.run("echo $FROM").stdout == "create\n"
    info = same.info()
    assert (info.state, info.isolation, info.template) == ("running", isolation, "base")
    assert [s.id for s in Sandbox.list(metadata={"test": f"life-{isolation}"})] == [made.id]
    assert made.kill() is True
    assert made.kill() is False
    assert list(Sandbox.list(metadata={"test": f"life-{isolation}"})) == []
    assert made.info().state == "killed"
    with pytest.raises(SandboxGoneError, match="killed"):
        made.commands.run("true")


def test_the_deadline_ends_it(make: Make) -> None:
    sandbox = make(timeout=1)
    wait_ended(sandbox)
    assert sandbox.info().state == "killed"
    assert "timeout" in (sandbox.info().reason or "")
    with pytest.raises(SandboxGoneError, match="timeout"):
        sandbox.commands.run("true")


def wait_ended(sandbox: Sandbox) -> None:
    """The end of a sandbox ends what runs in it with an error: wait for that, not for a time."""
    with pytest.raises(SandboxGoneError):
        sandbox.commands.run("sleep 600", timeout=600)
    while sandbox.info().state == "killing":
        time.sleep(0.05)


def test_metrics_move(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation, memory_mib=512, disk_mib=256)
    before = sandbox.metrics()
    sandbox.commands.run("head -c 50000000 /dev/urandom > /tmp/x; sync")
    sandbox.commands.start("sleep 600")
    after = sandbox.metrics()
    assert after.cpu_seconds > before.cpu_seconds
    assert after.disk_used_bytes >= before.disk_used_bytes + 40_000_000
    assert 0 < after.memory_bytes <= after.memory_limit_bytes
    assert after.processes >= 1


def test_root_inside_that_kills_the_agent_ends_only_its_own(make: Make, isolation: str) -> None:
    neighbour = make(isolation=isolation)
    sandbox = make(isolation=isolation)
    with contextlib.suppress(SandboxError):
        sandbox.commands.run("sudo sh -c 'kill -9 1; kill -9 -1'", timeout=20)
    assert neighbour.commands.run("echo alive").stdout == "alive\n"


@pytest.fixture
def own_server(tmp_path: Path, footprint: Footprint) -> Iterator[Callable[[], LocalServer]]:
    """A server that a test may stop and crash."""
    local = LocalServer(tmp_path, TEMPLATES_DIR)
    local.start()
    try:
        yield lambda: local
    finally:
        local.end()


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_sandboxes_outlive_the_server(own_server: Callable[[], LocalServer], how: str) -> None:
    server = own_server()
    access = {"url": server.url, "api_key": server.key}
    made = [Sandbox.create(isolation=tier, timeout=None, **access) for tier in ("gvisor", "container")]
    started = [sandbox.commands.start("echo before; read line; echo $line", stdin=True) for sandbox in made]
    for sandbox in made:
        sandbox.files.write("kept", "yes")
    getattr(server, how)()
    server.start()
    for sandbox, command in zip(made, started, strict=True):
        again = Sandbox.connect(sandbox.id, **access)
        assert again.files.read_text("kept") == "yes"
        assert any("adopted" in reason for reason in reasons(again))
        attached = again.commands.connect(command.id, from_start=True)
        attached.write(b"after\n")
        attached.close_stdin()
        assert attached.wait().stdout == "before\nafter\n"


def test_a_runtime_that_dies_is_noticed_and_said(own_server: Callable[[], LocalServer]) -> None:
    server = own_server()
    access = {"url": server.url, "api_key": server.key}
    sandbox = Sandbox.create(isolation="gvisor", **access)
    for pid in runtime_pids(sandbox.id):
        os.kill(pid, signal.SIGKILL)
    wait_ended(sandbox)
    info = sandbox.info()
    assert info.state == "failed"
    assert info.reason


def runtime_pids(id: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if id.encode() in command and b"runsc" in command:
            found.append(int(process.name))
    return found


def test_an_unknown_id(server: LocalServer) -> None:
    with pytest.raises(NotFoundError, match="sbaaaaaaaaaaaaaaaaaaaa"):
        Sandbox.connect("sbaaaaaaaaaaaaaaaaaaaa")
