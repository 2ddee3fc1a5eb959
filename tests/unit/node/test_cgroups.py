"""The layouts of control groups, and v2 on a tree of plain files: the test machines are hybrid."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandlot.errors import Unavailable
from sandlot.node.cgroups import CgroupLayout, CgroupTree, Limits

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
36 31 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
37 31 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
LIMITS = Limits(
    cpus=1.5, memory_high_bytes=300 << 20, memory_max_bytes=500 << 20, tasks_high=100, tasks_max=200
)


def _layout(tmp_path: Path, text: str) -> CgroupLayout:
    table = tmp_path / "mountinfo"
    table.write_text(text)
    return CgroupLayout.detect(table)


@pytest.fixture
def v2(tmp_path: Path) -> CgroupTree:
    """A v2 hierarchy as plain files: what is written can be read back, and nothing happens."""
    root = tmp_path / "cgroup"
    root.mkdir()
    (root / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    (root / "cgroup.subtree_control").write_text("memory pids\n")
    parent = root / "sandlot-abcd"
    parent.mkdir()
    (parent / "cgroup.subtree_control").write_text("")
    (parent / "cpu.weight").write_text("")
    own = parent / "sbone"
    own.mkdir()
    for name in ("cpu.max", "memory.max", "memory.high", "memory.swap.max", "pids.max", "cgroup.kill"):
        (own / name).write_text("")
    (own / "cgroup.procs").write_text("")
    (own / "pids.current").write_text("7\n")
    (own / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    (own / "memory.events").write_text("low 0\nhigh 12\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n")
    (own / "memory.stat").write_text(
        "anon 1000\nfile 5000\nkernel 900\nkernel_stack 100\npagetables 200\nshmem 3000\n"
        "slab_reclaimable 400\nslab_unreclaimable 50\n"
    )
    return CgroupTree("abcd", CgroupLayout(unified=root, v1={}))


def test_v2_alone_is_told_from_hybrid(tmp_path: Path) -> None:
    assert _layout(tmp_path, V2).is_v2
    hybrid = _layout(tmp_path, HYBRID)
    assert (hybrid.is_v2, hybrid.name) == (False, "v1 (hybrid)")
    assert hybrid.v1["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert hybrid.missing() == []
    assert len(hybrid.roots()) == 5


def test_a_host_without_control_groups_lacks_all_of_them(tmp_path: Path) -> None:
    layout = _layout(tmp_path, "22 27 0:21 / /proc rw - proc proc rw\n")
    assert (layout.name, layout.missing()) == ("none", ["cpu", "memory", "pids"])
    with pytest.raises(Unavailable, match="no cpu control groups"):
        layout.hierarchy("cpu")


def test_v2_limits_are_written_and_controllers_switched_on(v2: CgroupTree) -> None:
    v2.group("sbone").create(LIMITS)
    root = v2.layout.unified
    assert root is not None
    own = root / "sandlot-abcd" / "sbone"
    assert (own / "cpu.max").read_text() == "150000 100000"
    assert (root / "sandlot-abcd" / "cpu.weight").read_text() == "25"
    assert (own / "memory.max").read_text() == str(500 << 20)
    assert (own / "memory.high").read_text() == str(300 << 20)
    assert (own / "memory.swap.max").read_text() == "0"
    assert (own / "pids.max").read_text() == "200"
    assert "+cpu" in (root / "cgroup.subtree_control").read_text()
    assert (root / "sandlot-abcd" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_v2_without_swap_accounting_still_works(v2: CgroupTree) -> None:
    group = v2.group("sbone")
    (group.folder("memory") / "memory.swap.max").unlink()
    group.create(LIMITS)


def test_v2_yields_by_the_idle_class_and_by_weight_where_there_is_none(v2: CgroupTree) -> None:
    group = v2.group("sbone")
    own = group.folder("cpu")
    (own / "cpu.weight").write_text("")
    group.yield_processors(True)
    assert (own / "cpu.weight").read_text() == "1"
    (own / "cpu.idle").write_text("0")
    group.yield_processors(True)
    assert (own / "cpu.idle").read_text() == "1"
    group.yield_processors(False)
    assert (own / "cpu.idle").read_text() == "0"


def test_v2_use_is_read(v2: CgroupTree) -> None:
    group = v2.group("sbone")
    assert group.cpu_seconds() == 2.5
    assert (group.memory().held_bytes, group.memory().cache_bytes) == (4350, 2400)
    assert (group.oom_kills(), group.tasks(), group.processes()) == (2, 7, [])


def test_v2_is_killed_in_one_write(v2: CgroupTree) -> None:
    group = v2.group("sbone")
    (group.folder("pids") / "cgroup.procs").write_text("1\n")  # init: alive, and not to be signalled
    with pytest.raises(Unavailable, match="do not end"):
        group.kill(deadline_s=0)
    assert (group.folder("pids") / "cgroup.kill").read_text() == "1"


def test_a_missing_limit_file_is_an_error_that_names_the_group(v2: CgroupTree) -> None:
    group = v2.group("sbone")
    (group.folder("pids") / "pids.max").unlink()
    with pytest.raises(Unavailable, match="/sandlot-abcd/sbone"):
        group.create(LIMITS)


def test_groups_of_one_instance_are_listed(v2: CgroupTree) -> None:
    assert v2.ids() == {"sbone"}
    assert CgroupTree("ffff", v2.layout).ids() == set()
