"""The `gvisor` tier: a kernel in user space, by `runsc`."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

from sandlot.errors import Conflict, Unavailable
from sandlot.node import syscalls
from sandlot.node.cgroups import Cgroup, Limits
from sandlot.node.drivers import attributes
from sandlot.node.drivers.base import Launch, Started
from sandlot.node.drivers.oci import Command, restore_detached, run_detached, run_to_end
from sandlot.node.model import SandboxSpec
from sandlot.node.processes import is_alive

_MIB = 1 << 20
_SCORE = 500
_STUB_SCORE = "1000"
_ANSWER_S = 15.0
_DELETED = re.compile(r'gofer\.dentry\("([^"]*)"\)\.beforeSave: deleted')
_CHECKPOINT = ("--compression", "none", "--leave-running")


class GvisorDriver:
    """``cover_sysctls``: this runsc takes /proc/sys/net/core/rmem_default for a sign that it stands in
    the host's own network namespace, which newer kernels show in every one; it must not see it.
    """

    def __init__(self, runtime: Path, *, platform: str, cover_sysctls: bool) -> None:
        self._runtime = runtime
        self._platform = platform
        self._cover_sysctls = cover_sysctls

    def limits(self, spec: SandboxSpec) -> Limits:
        """The user's figures, plus what gVisor itself takes: a guest process is 2-4 tasks on the host.

        At ``tasks_max`` the sentry ends and the sandbox with it: that protects the host, and is not for use.
        """
        high = spec.memory_bytes + spec.memory_bytes // 16 + 96 * _MIB
        return Limits(
            cpus=spec.cpus,
            memory_high_bytes=high,
            memory_max_bytes=high + max(256 * _MIB, high // 2),
            tasks_high=128 + 4 * spec.pids,
            tasks_max=1024 + 16 * spec.pids,
        )

    async def start(self, launch: Launch) -> Started:
        started = await run_detached(self._command(launch, "run"), launch)
        offer_stubs_first(launch.cgroup, started.pid)
        return started

    async def pause(self, id: str, bundle: Path) -> None:
        await self._ask(id, bundle, _ANSWER_S, "pause")

    async def resume(self, id: str, bundle: Path) -> None:
        await self._ask(id, bundle, _ANSWER_S, "resume")

    async def checkpoint(self, id: str, bundle: Path, into: Path, timeout_s: float) -> None:
        try:
            await self._ask(id, bundle, timeout_s, "checkpoint", *_CHECKPOINT, "--image-path", str(into))
        except Unavailable as error:
            if (file := _DELETED.search((bundle / "checkpoint.log").read_text(errors="replace"))) is None:
                raise
            raise Conflict(
                f"memory cannot be kept: a process holds the file /{file[1]} open, which was deleted or"
                " replaced; end the process, or ask without memory"
            ) from error

    def is_whole(self, cgroup: Cgroup, main: Started) -> bool:
        return is_alive(main) and any(map(_is_gofer, cgroup.processes()))

    async def restore(self, launch: Launch, image: Path) -> Started:
        command = self._command(launch, "restore", "--image-path", str(image))
        started = await restore_detached(command, launch)
        offer_stubs_first(launch.cgroup, started.pid)
        return started

    async def _ask(self, id: str, bundle: Path, timeout_s: float, *words: str) -> None:
        command = Command([str(self._runtime), *self._options(bundle), *words, id])
        await run_to_end(command, bundle / f"{words[0]}.log", timeout_s)

    def _command(self, launch: Launch, *words: str) -> Command:
        """To start a sandbox."""
        meminfo = launch.bundle / "meminfo"
        meminfo.write_text(f"MemTotal: {launch.spec.memory_bytes >> 10} kB\n")
        # Joining the group before the exec costs a millisecond; runsc's own way 25-30 on v1.
        join = "; ".join(f"echo $$ > {shlex.quote(str(file))}" for file in launch.cgroup.entry_files())
        # When the whole host runs out of memory, what sandboxes are made of goes first, not the server.
        offer = f"echo {_SCORE} > /proc/self/oom_score_adj"
        bundle = str(launch.bundle)
        arguments = [
            *("/bin/sh", "-ec", f'{offer}; {join}; exec "$@"', "sh", str(self._runtime)),
            *self._options(launch.bundle),
            *(*words, "--detach", "--bundle", bundle, "--pid-file", f"{bundle}/pid", launch.id),
        ]
        return Command(arguments, before=lambda: self._hide_host(meminfo))

    def _options(self, bundle: Path) -> list[str]:
        return [
            *("--root", f"{bundle}/state", "--log", f"{bundle}/runsc.log"),
            *("--platform", self._platform, "--network", "sandbox", "--ignore-cgroups"),
            *("--overlay2", "none", "--file-access", "shared", "--net-disconnect-ok"),
        ]

    def _hide_host(self, meminfo: Path) -> None:
        """In a mount namespace of the calling thread: what runsc must not see of the host.

        It tells the guest the memory that it reads in /proc/meminfo.
        """
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
        syscalls.mount(meminfo, "/proc/meminfo", flags=syscalls.MS_BIND)
        if self._cover_sysctls:
            syscalls.mount("none", "/proc/sys/net", "tmpfs", syscalls.MS_RDONLY)
        attributes.refuse()


def offer_stubs_first(cgroup: Cgroup, sentry: int) -> None:
    """Make the kernel end a guest's process, and never the sentry, when the sandbox is out of memory.

    The stub processes hold the guest's address spaces; later ones inherit this from the first.
    """
    for pid in cgroup.members():
        if pid != sentry and not _is_gofer(pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                Path(f"/proc/{pid}/oom_score_adj").write_text(_STUB_SCORE)


def _is_gofer(pid: int) -> bool:
    try:
        return b"gofer" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
