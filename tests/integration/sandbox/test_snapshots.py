"""docs/snapshots.md on a real machine: what is kept is of one moment, and goes on from there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sandlot import Command, Hooks, NotFoundError, Sandbox, Snapshot
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .conftest import Make

SETTLED_WITHIN_S = 60.0

WRITING = """
import os, time
first, second = open("first", "a"), open("second", "a")
number = 0
while True:
    number += 1
    for file in (first, second):
        print(number, file=file, flush=True)
    time.sleep(0.002)
"""
"""Each number is in memory before it is in the first file, and there before it is in the second."""


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while not true():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def writing(sandbox: Sandbox) -> Sandbox:
    sandbox.commands.start(["python3", "-c", WRITING], timeout=None)
    until(lambda: sandbox.files.exists("second") and count(sandbox, "second"), "it begins to write")
    return sandbox


def count(sandbox: Sandbox, file: str) -> int:
    """How far that file has come; every number is there once, and in its place."""
    lines = sandbox.files.read(file).split("\n")
    if lines[-1] != "":
        lines[-1] = ""  # one that is just being written
    numbers = [int(line) for line in lines[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))
    return len(numbers)


def goes_on(sandbox: Sandbox, beyond: int = 0) -> int:
    before = max(beyond, count(sandbox, "second"))
    until(lambda: count(sandbox, "second") > before, "it writes on")
    return count(sandbox, "second")


@pytest.fixture
def keep() -> Iterator[Callable[..., Snapshot]]:
    """Make snapshots that end with the test."""
    with ExitStack() as stack:

        def snapshot(sandbox: Sandbox, **options: Any) -> Snapshot:
            kept = sandbox.snapshot(**options)
            stack.callback(kept.delete)
            return kept

        yield snapshot


def test_it_is_of_one_moment_and_whoever_it_is_of_goes_on(make: Make, keep: Callable[..., Snapshot]) -> None:
    sandbox = writing(make(isolation="gvisor", memory_mib=256, timeout=600))
    snapshots = []
    for _ in range(3):
        before = count(sandbox, "second")
        snapshots.append((before, keep(sandbox)))
        goes_on(sandbox)
    for before, snapshot in snapshots:
        child = make(snapshot=snapshot, timeout=600)
        reached = goes_on(child, before)
        assert count(child, "first") >= reached
    goes_on(sandbox)


@pytest.mark.parametrize(("isolation", "memory"), [("gvisor", True), ("gvisor", False), ("container", False)])
def test_its_files_are_of_one_moment_too(
    make: Make, keep: Callable[..., Snapshot], isolation: str, memory: bool
) -> None:
    sandbox = writing(make(isolation=isolation, memory_mib=256, timeout=600))
    before = count(sandbox, "second")
    child = make(snapshot=keep(sandbox, memory=memory), timeout=600)
    if not memory:
        assert [info.running for info in child.commands.list()] == []
    second = count(child, "second")
    assert count(child, "first") >= second >= before
    goes_on(sandbox, second)


def test_output_of_a_command_goes_on_across_it(make: Make, keep: Callable[..., Snapshot]) -> None:
    sandbox = make(isolation="gvisor", memory_mib=256, timeout=600)
    line = "i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo $i; sleep 0.01; done"
    counting: Command = sandbox.commands.start(line, attach=True)
    said = [next(counting).text]
    keep(sandbox)
    said.extend(output.text for output in counting)
    assert "".join(said).split() == [str(number) for number in range(1, 301)]


def test_three_from_one_at_once_and_it_may_go_while_they_use_it(
    make: Make, keep: Callable[..., Snapshot]
) -> None:
    sandbox = writing(make(isolation="gvisor", memory_mib=256, timeout=600))
    snapshot = keep(sandbox)
    children = [make(snapshot=snapshot, timeout=600) for _ in range(3)]
    sandbox.kill()
    assert snapshot.delete()
    for child in children:
        child.files.write("mine", child.id)
        goes_on(child)
    assert [child.files.read("mine") for child in children] == [child.id for child in children]
    assert {child.commands.run("hostname").stdout.strip() for child in children} == {
        child.id for child in children
    }
    with pytest.raises(NotFoundError):
        make(snapshot=snapshot)


def test_variables_that_the_request_adds_reach_commands_and_kernels(
    make: Make, keep: Callable[..., Snapshot]
) -> None:
    sandbox = make("code-interpreter", isolation="gvisor", env={"A": "old", "B": "old"}, timeout=600)
    sandbox.run_code("import os; kept = 1")
    child = make(snapshot=keep(sandbox), env={"B": "new"}, timeout=600)
    assert child.commands.run("echo $A $B").stdout == "old new\n"
    assert child.run_code("kept, os.environ['A'], os.environ['B']").text == "(1, 'old', 'new')"
    assert sandbox.run_code("os.environ['B']").text == "'old'"


def test_it_is_told_that_it_came_back_before_anybody_else_is(
    make: Make, keep: Callable[..., Snapshot]
) -> None:
    hooks = Hooks(on_resume="cat /run/sandlot/generation >> told")
    sandbox = make(isolation="gvisor", memory_mib=256, timeout=600, hooks=hooks)
    snapshot = keep(sandbox)
    child = make(snapshot=snapshot, timeout=600)
    assert child.files.read("told").split() == ["1"]
    grandchild = make(snapshot=keep(child), timeout=600)
    assert grandchild.files.read("told").split() == ["1", "2"]
    sandbox.files.write("told", "")
    for generation in (1, 2):
        assert sandbox.rollback(snapshot).generation == generation
        assert sandbox.files.read("told").split() == [str(generation)]
    broken = make(snapshot=snapshot, hooks=Hooks(on_resume="echo it is gone >&2; exit 4"), timeout=600)
    [told] = [event for event in broken.events() if event.kind == "hook"]
    assert told.reason == "on_resume exited with 4; it printed: it is gone"


# ── with a server of one's own ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def own(footprint: Footprint, tmp_path: Path) -> Iterator[LocalServer]:
    """Its template ``served`` has a web server running when a sandbox is handed over."""
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "layers").symlink_to(TEMPLATES_DIR / "layers")
    base = json.loads((TEMPLATES_DIR / "base.json").read_text())
    start = "echo started >> starts; exec python3 -m http.server 8000"
    ready = "curl -sf localhost:8000/starts"
    for name, config in (("base", {}), ("served", {"start": start, "ready": ready})):
        record = base | {"name": name, "config": base["config"] | config}
        (templates / f"{name}.json").write_text(json.dumps(record))
    server = LocalServer(tmp_path, templates)
    server.start()
    try:
        yield server
    finally:
        server.end()


def made(server: LocalServer, template: str = "base", **options: Any) -> Sandbox:
    return Sandbox.create(template, url=server.url, api_key=server.key, **options)


def fetched(sandbox: Sandbox) -> str:
    return sandbox.commands.run("curl -s localhost:8000/starts", check=True).stdout


def test_what_a_template_starts_runs_when_its_sandbox_is_handed_over(own: LocalServer) -> None:
    with made(own, "served", isolation="gvisor", memory_mib=256) as sandbox:
        assert fetched(sandbox) == "started\n"
        whole, files = sandbox.snapshot(), sandbox.snapshot(memory=False)
        for snapshot, starts in ((whole, 1), (files, 2)):
            with made(own, snapshot=snapshot.id) as child:
                assert fetched(child) == "started\n" * starts


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_they_outlive_a_server_and_expire_while_there_is_none(own: LocalServer, how: str) -> None:
    with made(own, isolation="gvisor", memory_mib=256, timeout=None) as sandbox:
        sandbox.files.write("kept", "yes")
        kept = sandbox.snapshot(name="kept")
        brief = sandbox.snapshot(name="brief", expires=1)
        getattr(own, how)()
        time.sleep(max(0.0, 1 - (time.time() - brief.created_at.timestamp())))
        own.start()
        listed = list(Snapshot.list(url=own.url, api_key=own.key))
        assert [one.id for one in listed] == [kept.id]
        with pytest.raises(NotFoundError):
            made(own, snapshot="brief")
        with made(own, snapshot="kept") as child:
            assert child.files.read("kept") == "yes"
        manifests = own.folder / "data" / "node" / "snapshots" / "manifests"
        until(lambda: [path.stem for path in manifests.iterdir()] == [kept.id], "what expired is gone")
