"""The `container` tier: namespaces, capabilities and a system call filter, by `runc` or `crun`."""

from __future__ import annotations

from pathlib import Path

from sandlot.errors import Conflict
from sandlot.node import syscalls
from sandlot.node.cgroups import Cgroup, Limits
from sandlot.node.drivers.base import Launch, Started
from sandlot.node.drivers.oci import Command, run_detached
from sandlot.node.model import SandboxSpec
from sandlot.node.processes import is_alive

_AGENT_BYTES = 8 << 20  # the guest agent, its buffers, and what the kernel keeps for the sandbox
_AGENT_PIDS = 2


class ContainerDriver:
    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime

    def limits(self, spec: SandboxSpec) -> Limits:
        memory = spec.memory_bytes + _AGENT_BYTES
        return Limits(
            cpus=spec.cpus,
            memory_high_bytes=memory,
            memory_max_bytes=memory,
            tasks_high=spec.pids + _AGENT_PIDS,
            tasks_max=spec.pids + _AGENT_PIDS,
        )

    async def start(self, launch: Launch) -> Started:
        state = ("--root", str(launch.bundle / "state"))
        run = ("run", "--detach", "--bundle", str(launch.bundle), "--pid-file", str(launch.bundle / "pid"))
        command = Command(
            [str(self._runtime), *state, *run, launch.id], before=lambda: _open_network(launch.netns)
        )
        return await run_detached(command, launch)

    async def pause(self, id: str, bundle: Path) -> None:
        raise _files_only()

    async def resume(self, id: str, bundle: Path) -> None:
        raise _files_only()

    async def checkpoint(self, id: str, bundle: Path, into: Path, timeout_s: float) -> None:
        raise _files_only()

    def is_whole(self, cgroup: Cgroup, main: Started) -> bool:
        return is_alive(main)

    async def restore(self, launch: Launch, image: Path) -> Started:
        raise _files_only()


def _files_only() -> Conflict:
    return Conflict("the container tier keeps files only, not memory and processes: ask without memory")


def _open_network(netns: Path | None) -> None:
    """The namespace is the host's, so root inside has no rights over it: give everyone there what is
    harmless, ports below 1024 (the agent listens on one) and ICMP echo. The calling thread stays in
    the namespace.
    """
    if netns is None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
    else:
        syscalls.join_netns(netns)
    sysctls = Path("/proc/sys/net/ipv4")
    (sysctls / "ip_unprivileged_port_start").write_text("0")
    (sysctls / "ping_group_range").write_text("0 2147483647")
