"""docs/pausing.md through the SDK: what was paused goes on where it was, however deep it slept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sandlot import Sandbox
from sandlot.sdk import ConflictError, SandboxError, SandboxGoneError, SandboxPausedError
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .conftest import Make

SETTLED_WITHIN_S = 60.0
CYCLES = 20

COUNTING = """
exec 3>>log; mv log counted
while :; do i=$((i+1)); echo $i >&3; sleep 0.02; done
"""
"""Counts for ever into a file that it has open, and that has had another name since."""


@pytest.fixture(scope="module")
def deep(footprint: Footprint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server on which whatever pauses goes to disk at once."""
    local = LocalServer(tmp_path_factory.mktemp("deep"), TEMPLATES_DIR, SANDLOT_PAUSE_TO_DISK_AFTER_S="0")
    local.start()
    try:
        yield local
    finally:
        local.end()


def made(server: LocalServer, template: str = "base", **options: Any) -> Sandbox:
    return Sandbox.create(template, url=server.url, api_key=server.key, **options)


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while not true():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def until_deep(sandbox: Sandbox) -> None:
    until(lambda: sandbox.info().depth == "disk", "its memory is on disk")


def until_state(sandbox: Sandbox, state: str) -> None:
    until(lambda: sandbox.info().state == state, state)


def count(sandbox: Sandbox) -> int:
    """How far it has counted; every number is there, and in its place."""
    numbers = [int(line) for line in sandbox.files.read("counted").split()]
    assert numbers == list(range(1, len(numbers) + 1))
    return len(numbers)


def goes_on(sandbox: Sandbox) -> int:
    """It counts further than it had; returns how far it has come."""
    before = count(sandbox)
    until(lambda: count(sandbox) > before, "the count goes on")
    return count(sandbox)


def begun(sandbox: Sandbox) -> Sandbox:
    sandbox.commands.start(COUNTING, timeout=None)
    until(lambda: sandbox.files.exists("counted"), "it begins to count")
    return sandbox


def test_frozen_twenty_times_it_loses_nothing(server: LocalServer, make: Make) -> None:
    sandbox = begun(make(isolation="gvisor"))
    reached = 0
    for _ in range(CYCLES):
        paused = sandbox.pause()
        assert (paused.state, paused.depth, paused.deadline) == ("paused", "frozen", None)
        assert sandbox.resume().state == "running"
        now = goes_on(sandbox)
        assert now > reached
        reached = now
    assert sandbox.commands.run("echo $$").exit_code == 0


def test_from_disk_twenty_times_it_loses_nothing(deep: LocalServer) -> None:
    with begun(made(deep, isolation="gvisor")) as sandbox:
        reached = 0
        for cycle in range(CYCLES):
            sandbox.pause()
            until_deep(sandbox)
            if cycle % 2:
                assert sandbox.resume().state == "running"
            now = goes_on(sandbox)  # any request wakes it
            assert now > reached
            reached = now
        assert sandbox.info().state == "running"


def test_variables_and_a_seed_outlive_the_disk(deep: LocalServer) -> None:
    with made(deep, "code-interpreter", isolation="gvisor") as sandbox:
        assert sandbox.run_code("kept = 41; import random; random.seed(7); random.random()").error is None
        for _ in range(2):
            sandbox.pause()
            until_deep(sandbox)
            assert sandbox.run_code("kept = kept + 1; kept").text in ("42", "43")
        seeded = Random(7)
        drawn = [seeded.random() for _ in range(2)]
        assert sandbox.run_code("random.random()").text == str(drawn[1])


def test_what_holds_a_deleted_file_stays_frozen_and_goes_on(deep: LocalServer) -> None:
    with begun(made(deep, isolation="gvisor")) as sandbox:
        holder = sandbox.commands.start("exec 4>gone; rm gone; echo held > held; read line", stdin=True)
        until(lambda: sandbox.files.exists("held"), "it holds a file that was deleted")
        sandbox.pause()
        until(lambda: degraded(sandbox), "it is said that it stays in memory")
        assert "home/user/gone" in degraded(sandbox)
        assert (sandbox.info().state, sandbox.info().depth) == ("paused", "frozen")
        goes_on(sandbox)
        holder.write("go\n")
        until(lambda: not holder.info().running, "it ends, and lets go of the file")
        sandbox.pause()
        until_deep(sandbox)
        goes_on(sandbox)


def degraded(sandbox: Sandbox) -> str:
    return "".join(event.reason or "" for event in sandbox.events() if event.kind == "degraded")


def test_files_alone_start_anew(deep: LocalServer, isolation: str) -> None:
    with begun(made(deep, isolation=isolation)) as sandbox:
        reached = goes_on(sandbox)
        assert sandbox.pause(memory=False).depth == "files"
        assert count(sandbox) >= reached
        assert not [info for info in sandbox.commands.list() if info.running]
        assert goes_nowhere(sandbox)


def goes_nowhere(sandbox: Sandbox) -> bool:
    return sandbox.commands.run("a=$(wc -l < counted); sleep 0.2; [ $a = $(wc -l < counted) ]").exit_code == 0


def test_a_container_says_that_it_keeps_no_memory(make: Make) -> None:
    sandbox = make(isolation="container")
    with pytest.raises(ConflictError, match="memory=false"):
        sandbox.pause()
    assert sandbox.commands.run("echo hello").stdout == "hello\n"


def test_one_that_wakes_for_nobody(make: Make) -> None:
    sandbox = make(isolation="gvisor", auto_resume=False)
    sandbox.pause()
    with pytest.raises(SandboxPausedError):
        sandbox.commands.run("echo hello")
    assert sandbox.info().state == "paused"
    sandbox.resume()
    assert sandbox.commands.run("echo hello").stdout == "hello\n"


def test_a_command_that_is_cut_off_hears_why_and_runs_on(make: Make) -> None:
    sandbox = make(isolation="gvisor", auto_resume=False)
    told: list[BaseException] = []
    began = threading.Event()

    def follow() -> None:
        try:
            sandbox.commands.run("echo begun; sleep 1000", timeout=None, on_stdout=lambda _: began.set())
        except SandboxError as error:
            told.append(error)

    listener = threading.Thread(target=follow)
    listener.start()
    assert began.wait(SETTLED_WITHIN_S)
    sandbox.pause()
    listener.join(SETTLED_WITHIN_S)
    assert isinstance(told[0], SandboxPausedError), told
    sandbox.resume()
    assert [info.running for info in sandbox.commands.list()] == [True]


def test_code_that_is_cut_off_hears_why_and_runs_on(make: Make) -> None:
    sandbox = make("code-interpreter", isolation="gvisor", auto_resume=False)
    told: list[BaseException] = []
    began = threading.Event()
    code = "import time, os\nprint('begun')\nwhile not os.path.exists('end'): time.sleep(0.05)\nkept = 7"

    def follow() -> None:
        try:
            sandbox.run_code(code, timeout=None, on_stdout=lambda _: began.set())
        except SandboxError as error:
            told.append(error)

    listener = threading.Thread(target=follow)
    listener.start()
    assert began.wait(SETTLED_WITHIN_S)
    sandbox.pause()
    listener.join(SETTLED_WITHIN_S)
    assert not listener.is_alive()
    assert isinstance(told[0], SandboxPausedError), told
    sandbox.resume()
    sandbox.files.write("end", "")
    assert sandbox.run_code("kept").text == "7"


def test_many_requests_at_once_wake_it_once(deep: LocalServer) -> None:
    with made(deep, isolation="gvisor") as sandbox:
        sandbox.pause()
        until_deep(sandbox)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda n: sandbox.commands.run(f"echo {n}").stdout, range(8)))
        assert answers == [f"{n}\n" for n in range(8)]
        assert [event.kind for event in sandbox.events()].count("resumed") == 1


@pytest.mark.parametrize("pause", ["frozen", "disk"])
def test_its_timeout_pauses_it(server: LocalServer, deep: LocalServer, pause: str) -> None:
    with made(deep if pause == "disk" else server, isolation="gvisor", on_timeout="pause") as sandbox:
        begun(sandbox)
        sandbox.set_timeout(1)
        until_state(sandbox, "paused")
        assert "timeout" in (sandbox.info().reason or "")
        goes_on(sandbox)
        assert sandbox.info().deadline is not None


def test_a_container_whose_time_is_up_keeps_its_files(make: Make) -> None:
    sandbox = make(isolation="container", on_timeout="pause")
    sandbox.files.write("kept", "kept")
    sandbox.set_timeout(1)
    until_state(sandbox, "paused")
    assert "files alone" in (sandbox.info().reason or "")
    assert sandbox.files.read("kept") == "kept"


def test_idleness_pauses_it_and_work_does_not(make: Make) -> None:
    idle, busy = (make(isolation="gvisor", pause_idle=2) for _ in range(2))
    begun(busy)
    until_state(idle, "paused")
    assert "nothing to run" in (idle.info().reason or "")
    assert busy.info().state == "running"
    assert idle.commands.run("echo hello").stdout == "hello\n"


@pytest.mark.parametrize("pause", ["frozen", "disk", "files"])
def test_a_paused_one_is_killed_like_any_other(server: LocalServer, deep: LocalServer, pause: str) -> None:
    sandbox = made(deep if pause == "disk" else server, isolation="gvisor")
    sandbox.pause(memory=pause != "files")
    if pause == "disk":
        until_deep(sandbox)
    assert sandbox.kill() is True
    with pytest.raises(SandboxGoneError):
        sandbox.resume()


def test_it_is_kept_for_so_long(make: Make) -> None:
    sandbox = make(isolation="gvisor", keep_paused=1)
    assert sandbox.pause().deadline is not None
    until_state(sandbox, "killed")
    assert "kept" in (sandbox.info().reason or "")


def test_pausing_twice_and_resuming_what_ended(make: Make) -> None:
    sandbox = make(isolation="gvisor")
    sandbox.pause()
    with pytest.raises(ConflictError, match="is paused"):
        sandbox.pause()
    sandbox.kill()
    with pytest.raises(SandboxGoneError):
        sandbox.resume()


@pytest.mark.parametrize("how", ["stop", "crash"])
@pytest.mark.parametrize("pause", ["frozen", "disk", "files"])
def test_it_stays_paused_across_a_restart(footprint: Footprint, tmp_path: Path, how: str, pause: str) -> None:
    after_s = "0" if pause == "disk" else "300"
    server = LocalServer(tmp_path, TEMPLATES_DIR, SANDLOT_PAUSE_TO_DISK_AFTER_S=after_s)
    server.start()
    try:
        sandbox = begun(made(server, isolation="gvisor", timeout=None))
        running = begun(made(server, isolation="gvisor", timeout=None))
        reached = goes_on(sandbox)
        sandbox.pause(memory=pause != "files")
        if pause == "disk":
            until_deep(sandbox)
        getattr(server, how)()
        server.start()
        assert (sandbox.info().state, sandbox.info().depth) == ("paused", pause)
        goes_on(running)
        if pause == "files":
            assert count(sandbox) >= reached
        else:
            assert goes_on(sandbox) >= reached
    finally:
        server.end()
