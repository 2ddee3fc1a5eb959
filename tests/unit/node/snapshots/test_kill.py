"""A process killed in mid-save and mid-delete: what it had finished holds, and nothing else is left."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandlot.node.snapshots import SnapshotStore
from tests.unit.node.snapshots.conftest import contents, leftovers
from tests.unit.node.snapshots.victim import memory

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("seed", range(12))
def test_a_kill_at_any_step_loses_nothing_that_was_finished(tmp_path: Path, seed: int) -> None:
    step = random.Random(seed).randrange(20_000)
    victim = [sys.executable, "-m", "tests.unit.node.snapshots.victim", str(tmp_path), str(step)]
    done = subprocess.run(victim, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    saved = {0} | {int(number) for what, number in lines if what == "saved"}
    deleted = {int(number) for what, number in lines if what == "deleted"}

    store = SnapshotStore(tmp_path / "store", reserve_bytes=0)
    there = {int(id.removeprefix("s")) for id in store.ids()}
    under_way = {max(saved) + 1, max(saved) - 2}
    assert there - under_way == saved - deleted - under_way
    store.sweep(store.ids())
    for number in there:
        assert contents(store, f"s{number}", "pages.img") == {"pages.img": memory(number)}
    store.sweep(set())
    assert leftovers(tmp_path / "store") == []
