"""Many sandboxes at work: every answer is right, every end is clean. How fast is told by bench/load.py."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import pytest
from bench.workload import Plan, Sight, Workload, look

from sandlot import Sandbox
from sandlot.node import instance_of
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

PLAN = Plan(sandboxes=24, seconds=30, operations_per_s=16, operations_each=12, container_each=2)
GROWTH_MIB = 24
COMINGS = 120
AT_ONCE = 4
SPARE_DESCRIPTORS = 8  # idle connections of clients, which come and go
SPARE_THREADS = 32  # for calls that block: they are started as they are needed, and then stay
DEADLINE_S = 60.0

pytestmark = pytest.mark.slow


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """One that nobody else uses, so that what it grows by is this test's doing. It leaves nothing behind."""
    local = LocalServer(tmp_path, TEMPLATES_DIR)
    local.start()
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    try:
        yield local
    finally:
        local.end()
    deadline = time.monotonic() + DEADLINE_S
    while left := traces(local):
        assert time.monotonic() < deadline, f"left behind: {left}"


def test_all_answers_are_right_and_nothing_fails(own_server: LocalServer) -> None:
    outcome = asyncio.run(Workload(PLAN, own_server.process.pid).run())

    assert outcome.failures == []
    assert outcome.refusals == Counter()
    done = Counter(each.operation for each in outcome.done)
    assert done["create"] == done["kill"] > PLAN.sandboxes
    assert all(done[operation] > 0 for operation in ("exec", "write", "read", "list", "info")), done
    assert [info.id for info in Sandbox.list()] == []
    full = next(sight for sight in outcome.sights if sight.live == PLAN.sandboxes)
    assert outcome.sights[-1].rss_mib < full.rss_mib + GROWTH_MIB


def test_of_those_that_came_and_went_the_server_keeps_nothing(own_server: LocalServer) -> None:
    come_and_go(AT_ONCE * 5)
    before = settled(own_server)
    come_and_go(COMINGS)

    after = settled(own_server)
    assert after.descriptors <= before.descriptors + SPARE_DESCRIPTORS
    assert after.threads <= before.threads + SPARE_THREADS
    assert after.rss_mib < before.rss_mib + GROWTH_MIB


def traces(server: LocalServer) -> list[str]:
    """What of this one server is on the machine, whoever else works there."""
    marks = (instance_of(server.folder / "data"), str(server.folder))
    names = [name for found in astuple(Footprint.take()) for name in found]
    return [name for name in names if any(mark in name for mark in marks)]


def come_and_go(times: int) -> None:
    def one(_: int) -> None:
        with Sandbox.create(isolation="container") as sandbox:
            sandbox.commands.run("true", check=True)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(one, range(times)))


def settled(server: LocalServer) -> Sight:
    """The server once cleaning and making ahead are over: its descriptors are the same for a while."""
    deadline = time.monotonic() + DEADLINE_S
    sights = [look(server.process.pid)]
    while len({sight.descriptors for sight in sights[-10:]}) > 1 or len(sights) < 10:
        assert time.monotonic() < deadline, "the server does not come to rest"
        time.sleep(0.1)
        sights.append(look(server.process.pid))
    return sights[-1]
