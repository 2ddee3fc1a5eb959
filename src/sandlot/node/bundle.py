"""The OCI bundle of a sandbox: what a runtime is told. Follows the runtime specification 1.0.2,
config.md.

Both tiers get the same file with two differences: gVisor emulates /sys and devices and filters system
calls by itself, so only the container tier names them.
"""

from __future__ import annotations

import resource
from typing import Any

from sandlot.node import seccomp
from sandlot.node.disks import DiskSlot
from sandlot.node.idmap import SIZE
from sandlot.node.model import SandboxSpec, Tier

AGENT_PATH = "/.sandlot/agent"
AGENT_PORT = 1023

_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
# Inside gVisor these are checks of its own kernel and reach nothing outside: root may trace, mount, use FUSE.
_GVISOR_CAPABILITIES = (*_CAPABILITIES, "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_NICE", "CAP_MKNOD")

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/buddyinfo",
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/pagetypeinfo",
    "/proc/pressure",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/softirqs",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/vmallocinfo",
    "/sys/devices/system/cpu/vulnerabilities",
    "/sys/firmware",
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")


def configuration(
    spec: SandboxSpec, slot: DiskSlot, *, netns: str | None, cgroup: str, secret: str
) -> dict[str, Any]:
    """The runtime's config.json. ``netns`` None is a network namespace of its own, with no way out."""
    container = spec.tier is Tier.CONTAINER
    capabilities = list(_CAPABILITIES if container else _GVISOR_CAPABILITIES)
    mapping = [{"containerID": 0, "hostID": slot.ids.base, "size": SIZE}]
    linux: dict[str, Any] = {
        "namespaces": [
            {"type": "network", **({"path": netns} if netns else {})},
            *({"type": kind} for kind in ("pid", "mount", "ipc", "uts", "user")),
        ],
        "uidMappings": mapping,
        "gidMappings": mapping,
        "cgroupsPath": cgroup,
    }
    process: dict[str, Any] = {
        "user": {"uid": 0, "gid": 0},
        "args": [AGENT_PATH, "--port", str(AGENT_PORT)],
        "env": _environment(spec, secret),
        "cwd": "/",
        "noNewPrivileges": True,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": _open_files(), "soft": 1024}],
    }
    if not container:
        # gVisor's own pids controller loses count while many fork at once. This holds for all users but root,
        # for each by itself, and is what stops a fork bomb.
        limit = {"type": "RLIMIT_NPROC", "hard": spec.pids, "soft": spec.pids}
        process["rlimits"].append(limit)
    if container:
        linux["namespaces"].append({"type": "cgroup"})
        linux["seccomp"] = seccomp.profile()
        linux["maskedPaths"] = list(_MASKED)
        linux["readonlyPaths"] = list(_READONLY)
        # When the whole host runs out of memory, a sandbox's process goes first, not the server's.
        process["oomScoreAdj"] = 500
    return {
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": {"path": str(slot.root)},
        "process": process,
        "mounts": _mounts(spec, slot, container=container),
        "linux": linux,
    }


def _open_files() -> int:
    """A server without CAP_SYS_RESOURCE cannot grant more than it has itself."""
    _, own = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(1 << 20, own) if own != resource.RLIM_INFINITY else 1 << 20


def _environment(spec: SandboxSpec, secret: str) -> list[str]:
    return [
        f"SANDLOT_SECRET={secret}",
        f"SANDLOT_MEMORY_BYTES={spec.memory_bytes}",
        f"SANDLOT_PIDS={spec.pids}",
        f"SANDLOT_TIER={spec.tier.value}",
    ]


def _mounts(spec: SandboxSpec, slot: DiskSlot, *, container: bool) -> list[dict[str, Any]]:
    shm = max(64 << 20, spec.memory_bytes // 2)
    found = [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "mode=755", "size=64k"),
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        _mount("/dev/shm", "tmpfs", "nosuid", "nodev", "mode=1777", f"size={shm}"),  # noqa: S108
        _bind(str(slot.agent), AGENT_PATH),
    ]
    if container:
        # A real sysfs would tell about the host, and cannot be mounted in a network namespace of the host's:
        # programs that count processors find what they look for, and nothing else.
        found += [
            _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            _mount("/sys", "tmpfs", "nosuid", "noexec", "nodev", "mode=755", "size=64k", "ro"),
            _bind("/sys/devices/system/cpu", "/sys/devices/system/cpu"),
        ]
    return found


def _mount(target: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bind(source: str, target: str) -> dict[str, Any]:
    return {
        "destination": target,
        "type": "bind",
        "source": source,
        "options": ["bind", "ro", "nosuid", "nodev"],
    }
