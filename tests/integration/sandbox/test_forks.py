"""Forks on a real machine: children begin where their parent was, and are their own from there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from sandlot import Sandbox
from sandlot.sdk import SandboxError
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .conftest import Make

SETTLED_WITHIN_S = 60.0
CLOCK_S = 5.0

LIVING = """
import os, sys, time
log = open("log", "a")
notes = open("notes", "w+")
os.rename("notes", "elsewhere")
memory = ["begun"]
while True:
    time.sleep(0.01)
    if os.path.exists("told"):
        memory.append(open("told").read())
        os.remove("told")
        notes.write(memory[-1])
        notes.seek(0)
        print(os.uname().nodename, memory, notes.read(), file=log, flush=True)
"""
"""Remembers what it is told, in memory and in an open file that has another name by then."""


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while not true():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def living(sandbox: Sandbox) -> Sandbox:
    sandbox.commands.start(["python3", "-c", LIVING], timeout=None)
    until(lambda: sandbox.files.exists("log"), "it lives")
    return sandbox


def tell(sandbox: Sandbox, word: str) -> str:
    """What it has to say about that."""
    said = len(sandbox.files.read("log").splitlines())
    sandbox.files.write("told.new", word)
    sandbox.commands.run("mv told.new told", check=True)
    until(lambda: len(sandbox.files.read("log").splitlines()) > said, "it answers")
    return sandbox.files.read("log").splitlines()[-1]


@pytest.fixture
def fork() -> Iterator[Callable[..., Sequence[Sandbox]]]:
    """Children that end with the test."""
    with ExitStack() as stack:

        def children(parent: Sandbox, count: int) -> Sequence[Sandbox]:
            made = parent.fork(count, timeout=600)
            for child in made:
                stack.callback(child.kill)
            return made

        yield children


Fork = Callable[..., Sequence[Sandbox]]


def test_what_they_do_from_then_on_is_theirs_alone(make: Make, fork: Fork) -> None:
    parent = living(make(isolation="gvisor", memory_mib=256, timeout=600))
    assert tell(parent, "a") == f"{parent.id} ['begun', 'a'] a"
    children = fork(parent, 3)
    family = [parent, *children]
    with ThreadPoolExecutor(len(family)) as threads:
        answers = list(threads.map(lambda one: tell(one, one.id), family))
    assert answers == [f"{one.id} ['begun', 'a', '{one.id}'] a{one.id}" for one in family]
    [grandchild] = fork(children[0], 1)
    parent.kill()
    children[0].kill()
    assert tell(grandchild, "b").startswith(f"{grandchild.id} ['begun', 'a', '{children[0].id}', 'b']")
    assert tell(children[1], "c").endswith(f"'c'] a{children[1].id}c")


def test_each_has_its_own_name_number_clock_and_chance(make: Make, fork: Fork) -> None:
    parent = make(isolation="gvisor", memory_mib=256, timeout=600)
    children = fork(parent, 2)
    [grandchild] = fork(children[0], 1)
    look = "hostname; cat /etc/hostname; cat /run/sandlot/generation; date +%s; od -An -N16 -tx1 /dev/urandom"
    chances = set()
    for generation, one in ((1, children[0]), (1, children[1]), (2, grandchild)):
        name, written, number, seconds, chance = one.commands.run(look, check=True).stdout.splitlines()
        assert (name, written, int(number)) == (one.id, one.id, generation)
        assert abs(int(seconds) - time.time()) < CLOCK_S
        assert one.commands.run(f"getent hosts {one.id}").exit_code == 0
        chances.add(chance)
    assert len(chances) == 3


def test_interpreters_keep_their_variables(make: Make, fork: Fork) -> None:
    parent = make("code-interpreter", isolation="gvisor", timeout=600)
    parent.run_code("import uuid; kept = {'a': 1}")
    family = [parent, *fork(parent, 2)]
    assert len({one.run_code("uuid.uuid4()").text for one in family}) == 3
    for number, one in enumerate(family):
        one.run_code(f"kept['a'] += {number}")
    assert [one.run_code("kept").text for one in family] == [f"{{'a': {1 + number}}}" for number in range(3)]


def test_they_serve_at_addresses_of_their_own(server: LocalServer, make: Make, fork: Fork) -> None:
    parent = make(isolation="gvisor", memory_mib=256, timeout=600)
    parent.commands.start("exec python3 -m http.server 8000", timeout=None)
    until(lambda: parent.commands.run("curl -sf localhost:8000").exit_code == 0, "it serves")
    lasting = parent.commands.start("exec sleep 600", timeout=None)
    family = [parent, *fork(parent, 2)]
    for one in family:
        one.files.write("me", one.id)
    with httpx.Client() as client:
        for one in family:
            host = re.sub(r"^https?://", "", one.get_url(8000)).rstrip("/")
            assert client.get(f"{server.url}/me", headers={"Host": host}).text == one.id
    assert lasting.info().running
    assert all(lasting.id in {info.id for info in one.commands.list() if info.running} for one in family)


def test_what_is_under_way_in_the_parent_goes_on_there(make: Make, fork: Fork) -> None:
    parent = make(isolation="gvisor", memory_mib=256, timeout=600)
    line = "i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo $i; sleep 0.01; done; touch done"
    counting = parent.commands.start(line, attach=True)
    said = [next(counting).text]
    [child] = fork(parent, 1)
    said.extend(output.text for output in counting)
    assert "".join(said).split() == [str(number) for number in range(1, 301)]
    until(lambda: child.files.exists("done"), "it is done in the child too")


def test_a_server_that_dies_meanwhile_leaves_the_parent_and_no_half_children(
    footprint: Footprint, tmp_path: Path
) -> None:
    server = LocalServer(tmp_path, TEMPLATES_DIR)
    server.start()
    try:
        at = {"url": server.url, "api_key": server.key}
        parent = living(Sandbox.create("base", isolation="gvisor", memory_mib=256, timeout=None, **at))
        with ThreadPoolExecutor(1) as thread:
            forking = thread.submit(parent.fork, 3)
            until(lambda: len(list(Sandbox.list(**at))) > 1, "children are being made")
            server.crash()
            with pytest.raises(SandboxError):
                forking.result(SETTLED_WITHIN_S)
        server.start()
        for child in Sandbox.list(**at):
            assert child.state == "running"
            assert child.id == parent.id or tell(Sandbox.connect(child.id, **at), "b")
        assert "'c'" in tell(parent, "c")
        assert not list((tmp_path / "data" / "node").glob("captures/*"))
    finally:
        server.end()
