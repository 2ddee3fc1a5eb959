"""docs/idle.md through the SDK: nobody notices that a sandbox stood still, and what goes on in it goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sandlot import Sandbox
from sandlot.node import instance_of
from sandlot.node.cgroups import Cgroup, CgroupLayout, CgroupTree
from sandlot.sdk import SandboxGoneError
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .conftest import Make

FREEZE_S = 30.0
TIERS = ("gvisor", "container")


def group_of(server: LocalServer, sandbox: Sandbox) -> Cgroup:
    return CgroupTree(instance_of(server.folder / "data"), CgroupLayout.detect()).group(sandbox.id)


def wait_frozen(group: Cgroup) -> None:
    deadline = time.monotonic() + FREEZE_S
    while not group.is_frozen():
        assert time.monotonic() < deadline, f"{group.path} was never frozen"
        time.sleep(0.01)


def test_variables_and_files_are_there_after_a_thaw(server: LocalServer, make: Make, isolation: str) -> None:
    sandbox = make("code-interpreter", isolation=isolation)
    group = group_of(server, sandbox)
    assert sandbox.run_code("import pandas as pd; frame = pd.DataFrame({'n': range(5)})").error is None
    sandbox.files.write("/tmp/kept", "kept")
    wait_frozen(group)
    assert sandbox.run_code("int(frame.n.sum())").text == "10"
    wait_frozen(group)
    assert sandbox.files.read("/tmp/kept") == "kept"
    assert sandbox.commands.run("echo hello").stdout == "hello\n"
    assert sandbox.info().state == "running"


LEFT_BEHIND = {
    "a thread": (
        "import threading; stop = threading.Event(); threading.Thread(target=stop.wait).start()",
        "stop.set()",
    ),
    "an asyncio task": (
        "import asyncio; task = asyncio.ensure_future(asyncio.sleep(1000)); await asyncio.sleep(0)",
        "task.cancel(); await asyncio.sleep(0)",
    ),
    "a timer": (
        "import signal; _ = signal.signal(signal.SIGALRM, signal.SIG_IGN); signal.alarm(1000)",
        "signal.alarm(0)",
    ),
    "a socket": (
        "import socket; listener = socket.create_server(('127.0.0.1', 8000))",
        "listener.close()",
    ),
    "a child": (
        "import subprocess; child = subprocess.Popen(['sleep', '1000'])",
        "child.kill(); child.wait()",
    ),
}


def test_what_code_leaves_behind_keeps_it_awake(server: LocalServer, make: Make, isolation: str) -> None:
    sandbox, beside = make("code-interpreter", isolation=isolation), make("base", isolation=isolation)
    group, control = group_of(server, sandbox), group_of(server, beside)
    for what, (leave, end) in LEFT_BEHIND.items():
        assert sandbox.run_code(leave).error is None, what
        for _ in range(2):  # an idle one beside it, used later, is frozen twice meanwhile
            beside.files.exists("/tmp")
            wait_frozen(control)
        assert not group.is_frozen(), what
        assert sandbox.run_code(end).error is None, what
        wait_frozen(group)


def test_a_run_keeps_it_awake_to_its_end(server: LocalServer, make: Make, isolation: str) -> None:
    sandbox, beside = make("code-interpreter", isolation=isolation), make("base", isolation=isolation)
    control, seen = group_of(server, beside), []

    def once_it_runs(text: str) -> None:
        for _ in range(2):
            beside.files.exists("/tmp")
            wait_frozen(control)
        seen.append(group_of(server, sandbox).is_frozen())
        sandbox.files.write("/tmp/go", "")

    code = "import os, time\nprint('up')\nwhile not os.path.exists('/tmp/go'): time.sleep(0.05)\n42"
    assert sandbox.run_code(code, on_stdout=once_it_runs).text == "42"
    assert seen == [False]
    wait_frozen(group_of(server, sandbox))


def test_idle_workers_and_progress_bars_do_not_keep_it_awake(
    server: LocalServer, make: Make, isolation: str
) -> None:
    sandbox = make("code-interpreter", isolation=isolation)
    code = """
from concurrent.futures import ThreadPoolExecutor
from tqdm import tqdm
pool = ThreadPoolExecutor(2)
sum(pool.map(abs, tqdm([-1, -2])))
"""
    assert sandbox.run_code(code).text == "3"
    wait_frozen(group_of(server, sandbox))
    assert sandbox.run_code("sum(pool.map(abs, [-3, -4]))").text == "7"


def measure_for_ever(sandbox: Sandbox) -> None:
    while True:
        sandbox.metrics()


def test_its_timeout_ends_it_while_it_is_frozen(server: LocalServer, make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation)
    group = group_of(server, sandbox)
    wait_frozen(group)
    sandbox.set_timeout(1)
    with pytest.raises(SandboxGoneError):
        measure_for_ever(sandbox)
    assert "timeout" in (sandbox.info().reason or "")
    while sandbox.info().state == "killing":
        time.sleep(0.05)
    assert sandbox.info().state == "killed"


def test_metrics_of_a_frozen_one_do_not_wake_it(server: LocalServer, make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation)
    group = group_of(server, sandbox)
    wait_frozen(group)
    used = sandbox.metrics().cpu_seconds
    assert sandbox.metrics().cpu_seconds == used
    assert group.is_frozen()


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_it_is_frozen_and_whole_across_a_restart(footprint: Footprint, tmp_path: Path, how: str) -> None:
    server = LocalServer(tmp_path, TEMPLATES_DIR)
    server.start()
    try:
        access = {"url": server.url, "api_key": server.key}
        made = [Sandbox.create("code-interpreter", isolation=tier, timeout=None, **access) for tier in TIERS]
        groups = [group_of(server, sandbox) for sandbox in made]
        for sandbox, group in zip(made, groups, strict=True):
            assert sandbox.run_code("kept = 41").error is None
            wait_frozen(group)
        getattr(server, how)()
        assert all(group.is_frozen() for group in groups)
        server.start()
        for sandbox, group in zip(made, groups, strict=True):
            assert sandbox.run_code("kept + 1").text == "42"
            wait_frozen(group)
    finally:
        server.end()
