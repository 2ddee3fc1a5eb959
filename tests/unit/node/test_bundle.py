"""What the runtimes are told."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sandlot.network import NetworkPolicy
from sandlot.node import RootFs, SandboxSpec, Tier, seccomp
from sandlot.node.bundle import configuration
from sandlot.node.disks import DiskSlot
from sandlot.node.idmap import RANGES, SIZE, IdRange

SLOT = DiskSlot("00a", Path("/images/00a.img"), Path("/run/sandlot-abcd/disks/00a"), 1 << 30, IdRange(10))


def _configuration(tier: Tier, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": "sb1",
        "rootfs": RootFs(()),
        "tier": tier,
        "cpus": 1.0,
        "memory_bytes": 1 << 30,
        "disk_bytes": 1 << 30,
        "pids": 100,
        "network": NetworkPolicy(internet=True),
        "hostname": "box",
    }
    spec = SandboxSpec(**(values | changes))
    return configuration(spec, SLOT, netns="/run/netns/n", cgroup="/sandlot-abcd/sb1", secret="s" * 64)


@pytest.mark.parametrize("tier", list(Tier))
def test_both_tiers_run_the_agent_as_another_user_of_the_host(tier: Tier) -> None:
    told = _configuration(tier)
    assert told["process"]["args"] == ["/.sandlot/agent", "--port", "1023"]
    assert told["linux"]["uidMappings"] == [{"containerID": 0, "hostID": IdRange(10).base, "size": SIZE}]
    assert told["linux"]["gidMappings"] == told["linux"]["uidMappings"]
    kinds = {namespace["type"] for namespace in told["linux"]["namespaces"]}
    assert {"user", "pid", "mount", "ipc", "uts", "network"} <= kinds
    assert told["process"]["noNewPrivileges"] is True


@pytest.mark.parametrize("tier", list(Tier))
def test_the_agent_is_mounted_read_only_and_shared_memory_has_a_size(tier: Tier) -> None:
    mounts = {mount["destination"]: mount for mount in _configuration(tier)["mounts"]}
    assert {"bind", "ro"} <= set(mounts["/.sandlot/agent"]["options"])
    assert f"size={512 << 20}" in mounts["/dev/shm"]["options"]
    assert not any(target.startswith("/sys/fs/cgroup") for target in mounts)


def test_a_container_gets_no_capability_over_the_host() -> None:
    granted = set(_configuration(Tier.CONTAINER)["process"]["capabilities"]["bounding"])
    assert not granted & {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_PTRACE", "CAP_MKNOD"}


def test_without_a_namespace_of_the_pool_the_runtime_makes_one() -> None:
    spec = SandboxSpec(
        "sb1", RootFs(()), Tier.GVISOR, 1.0, 1 << 30, 1 << 30, 10, NetworkPolicy(internet=False), "box"
    )
    told = configuration(spec, SLOT, netns=None, cgroup="/g", secret="")
    assert {"type": "network"} in told["linux"]["namespaces"]


def test_ranges_of_ids_never_overlap_and_stay_clear_of_subuid_and_of_signed_numbers() -> None:
    bases = [IdRange(index).base for index in range(RANGES)]
    assert all(second - first == SIZE for first, second in pairwise(bases))
    assert bases[0] > 1 << 30
    assert bases[-1] + SIZE <= 1 << 31


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_allows_and_refuses_no_call_twice(machine: str) -> None:
    rules = seccomp.profile(machine)["syscalls"]
    plain = [rule for rule in rules if "args" not in rule]
    names = [name for rule in plain for name in rule["names"]]
    assert len(names) == len(set(names))
    conditional = {name for rule in rules if "args" in rule for name in rule["names"]}
    assert not conditional & set(names)
    assert conditional == {"clone", "socket", "personality"}


DANGEROUS = """
    bpf io_uring_setup io_uring_enter keyctl userfaultfd mount unshare setns clone3 perf_event_open
    open_by_handle_at init_module kexec_load fsopen move_mount umount2
"""


@pytest.mark.parametrize("name", DANGEROUS.split())
def test_dangerous_calls_are_not_allowed(name: str) -> None:
    rules = seccomp.profile("x86_64")["syscalls"]
    allowed = {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert name not in allowed


def test_a_machine_that_we_have_no_filter_for_is_refused() -> None:
    with pytest.raises(KeyError):
        seccomp.profile("riscv64")
