"""What this host can do, found by doing it: a disk slot, its overlay, and a start of each runtime.

A tier counts as available only when its runtime has just started the guest agent on this host, walled
off as a sandbox is. Nothing is left afterwards; what a killed probe left is removed by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sandlot.errors import SandlotError
from sandlot.network import NetworkPolicy
from sandlot.node import agent as agent_package
from sandlot.node import bundle, mounts, rootfs, syscalls
from sandlot.node.cgroups import Cgroup, CgroupLayout, CgroupTree
from sandlot.node.disks import DiskPool, DiskSlot
from sandlot.node.drivers.base import Driver, Launch
from sandlot.node.drivers.container import ContainerDriver
from sandlot.node.drivers.gvisor import GvisorDriver
from sandlot.node.model import Finding, HostReport, NodeSettings, RootFs, SandboxSpec, Tier, TierStatus

_SLOT_BYTES = 16 << 20
_START_TIMEOUT_S = 10.0
_VERSION_TIMEOUT_S = 5.0
_GVISOR_FIX = "install runsc (Debian: the package `runsc`; elsewhere: gvisor.dev/docs/user_guide/install)"
_CONTAINER_FIX = "install runc or crun (both are packages of that name)"
_TOOLS = {
    "mkfs.ext4": ("e2fsprogs", "disk slots"),
    "unshare": ("util-linux", "id ranges"),
    "nft": ("nftables", "the guests' firewall"),
}


@dataclass
class _Probe:
    """What the parts of one probing share."""

    settings: NodeSettings
    folder: Path
    layout: CgroupLayout
    tree: CgroupTree
    findings: list[Finding]

    def found(self, name: str, ok: bool, detail: str, fix: str | None = None) -> bool:
        self.findings.append(Finding(name, ok, detail, None if ok else fix))
        return ok


def agent_binary() -> Path:
    """The guest agent for this machine's processor; `script/build-agent` makes it."""
    return Path(agent_package.__path__[0]) / "bin" / f"agent-{platform.machine()}"


def needs_sysctl_cover() -> bool:
    """Whether this kernel shows net.core.rmem_default in every network namespace, which misleads some
    runsc.
    """
    seen: list[bool] = []

    def look() -> None:
        with contextlib.suppress(OSError):
            syscalls.unshare(syscalls.CLONE_NEWNET)
            seen.append(
                Path("/proc/thread-self/net").exists() and Path("/proc/sys/net/core/rmem_default").exists()
            )

    thread = threading.Thread(target=look, name="look at sysctls")
    thread.start()
    thread.join()
    return seen == [True]


async def probe_host(settings: NodeSettings) -> HostReport:
    """Raises nothing for what the host lacks: the report says it."""
    layout = CgroupLayout.detect()
    probe = _Probe(
        settings=settings,
        folder=Path("/run") / f"sandlot-{settings.instance}-probe",
        layout=layout,
        tree=CgroupTree(f"{settings.instance}-probe", layout),
        findings=[],
    )
    if probe.found("root", os.geteuid() == 0, f"user id {os.geteuid()}", "run the server as root"):
        async with _alone(settings):
            tiers = await _probe_as_root(probe)
    else:
        tiers = [TierStatus(tier, available=False, missing=["root: run the server as root"]) for tier in Tier]
    return HostReport(
        tiers=tiers,
        findings=probe.findings,
        kernel=platform.release(),
        cgroup=layout.name,
        runsc_platform=settings.runsc_platform,
    )


async def _probe_as_root(probe: _Probe) -> list[TierStatus]:
    sound = _look_around(probe)
    disks = DiskPool(
        probe.settings.data_dir / "node" / "probe",
        probe.folder / "disks",
        size=0,
        slot_bytes=_SLOT_BYTES,
        reserve_bytes=0,
        agent=agent_binary(),
    )
    await asyncio.to_thread(_clear, probe)
    await disks.start()
    try:
        await disks.sweep(set())
        async with _root(probe, disks) as slot:
            return [await _probe_tier(probe, tier, slot, sound) for tier in Tier]
    finally:
        await disks.stop()
        await asyncio.to_thread(_clear, probe)


@asynccontextmanager
async def _alone(settings: NodeSettings) -> AsyncIterator[None]:
    """One probe at a time for an instance: a server and a `sandlot doctor` may meet."""
    folder = settings.data_dir / "node"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / "probe.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _look_around(probe: _Probe) -> bool:
    """Whether all is there that both tiers need, apart from what is tried later."""
    missing = probe.layout.missing()
    needed = [
        probe.found(
            "control groups",
            not missing,
            f"{probe.layout.name}" + (f", without {', '.join(missing)}" if missing else ""),
            "mount the cgroup2 file system at /sys/fs/cgroup with the controllers cpu, memory and pids",
        ),
        probe.found(
            "guest agent",
            agent_binary().is_file(),
            str(agent_binary()),
            "run script/build-agent (an installed package brings it)",
        ),
        *(_look_for(probe, tool, *about) for tool, about in _TOOLS.items()),
    ]
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    on = forward.exists() and forward.read_text().strip() == "1"
    probe.found("IPv4 forwarding", True, "on" if on else "off; the network pool switches on what it needs")
    cover = needs_sysctl_cover()
    probe.found(
        "network sysctls",
        True,
        "shown in every namespace: hidden from runsc at its start" if cover else "as runsc expects",
    )
    kvm = Path("/dev/kvm").exists()
    probe.found("KVM", True, "present; no tier uses it yet" if kvm else "absent; no tier needs it yet")
    return all(needed)


def _look_for(probe: _Probe, tool: str, package: str, use: str) -> bool:
    path = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
    return probe.found(tool, path is not None, path or f"not found; {use}", f"install {package}")


@asynccontextmanager
async def _root(probe: _Probe, disks: DiskPool) -> AsyncIterator[DiskSlot | None]:
    """A disk slot with an empty template mounted in it; None where the host cannot make one."""
    try:
        slot, userns = await disks.claim(_SLOT_BYTES)
    except (OSError, SandlotError, subprocess.SubprocessError) as error:
        probe.found(
            "disk slot",
            False,
            f"an ext4 image cannot be made and mounted: {error}",
            "loop devices (/dev/loop-control), ext4 and user namespaces; in a container: privileged",
        )
        yield None
        return
    try:
        probe.found("disk slot", True, "an ext4 image on a loop device, owned by an id range of its own")
        layer = probe.folder / "empty" / "rootfs"
        layer.mkdir(parents=True)
        try:
            await asyncio.to_thread(rootfs.mount_root, (layer,), slot, userns, probe.folder)
        except OSError as error:
            probe.found(
                "id-mapped overlay",
                False,
                f"overlayfs over an id-mapped layer: {error}",
                "Linux 5.19 or newer with overlayfs; templates on ext4, xfs or btrfs",
            )
            yield None
        else:
            probe.found("id-mapped overlay", True, "overlayfs over an id-mapped layer")
            await asyncio.to_thread(rootfs.write_guest_files, slot, rootfs.Naming("probe"), None)
            yield slot
    finally:
        os.close(userns)
        await disks.release(slot)


async def _probe_tier(probe: _Probe, tier: Tier, slot: DiskSlot | None, sound: bool) -> TierStatus:
    names = _candidates(tier, probe.layout)
    found = [
        path
        for name in names
        if (path := shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"))
    ]
    if not found:
        return TierStatus(
            tier, available=False, missing=[_GVISOR_FIX if tier is Tier.GVISOR else _CONTAINER_FIX]
        )
    if slot is None or not sound:
        lacking = [f"{each.name} ({each.detail}): {each.fix}" for each in probe.findings if not each.ok]
        return TierStatus(
            tier, available=False, runtime=found[0], version=await _version(found[0]), missing=lacking
        )
    missing = []
    for path in found:
        version = await _version(path)
        try:
            await _start_once(probe, tier, Path(path), slot)
        except (OSError, SandlotError) as error:
            missing.append(f"{path} ({version}) does not start here: {error}")
        else:
            return TierStatus(tier, available=True, runtime=path, version=version)
    return TierStatus(
        tier, available=False, runtime=found[0], version=await _version(found[0]), missing=missing
    )


def _candidates(tier: Tier, layout: CgroupLayout) -> list[str]:
    if tier is Tier.GVISOR:
        return ["runsc"]
    return ["crun", "runc"] if layout.is_v2 else ["runc", "crun"]  # crun refuses a hybrid layout


async def _start_once(probe: _Probe, tier: Tier, runtime: Path, slot: DiskSlot) -> None:
    spec = SandboxSpec(
        id=f"probe-{runtime.name}",
        rootfs=RootFs(()),
        tier=tier,
        cpus=1.0,
        memory_bytes=128 << 20,
        disk_bytes=_SLOT_BYTES,
        pids=64,
        network=NetworkPolicy(internet=False),
        hostname="probe",
    )
    driver = driver_for(tier, runtime, probe.settings)
    group = probe.tree.group(spec.id)
    folder = probe.folder / spec.id
    await asyncio.to_thread(_write_bundle, spec, slot, driver, group, folder)
    try:
        await driver.start(Launch(spec.id, folder, None, group, spec, _START_TIMEOUT_S))
    finally:
        await asyncio.shield(asyncio.to_thread(_end, group))


def driver_for(tier: Tier, runtime: Path, settings: NodeSettings) -> Driver:
    if tier is Tier.GVISOR:
        return GvisorDriver(runtime, platform=settings.runsc_platform, cover_sysctls=needs_sysctl_cover())
    return ContainerDriver(runtime)


def _write_bundle(spec: SandboxSpec, slot: DiskSlot, driver: Driver, group: Cgroup, folder: Path) -> None:
    folder.mkdir(parents=True)
    group.create(driver.limits(spec))
    content = bundle.configuration(spec, slot, netns=None, cgroup=group.path, secret="probe")  # noqa: S106
    (folder / "config.json").write_text(json.dumps(content))


def _end(group: Cgroup) -> None:
    group.kill()
    group.remove()


def _clear(probe: _Probe) -> None:
    for id in probe.tree.ids():
        _end(probe.tree.group(id))
    probe.tree.remove()
    mounts.remove(mounts.mounted_under(probe.folder / "empty"))
    with contextlib.suppress(FileNotFoundError):
        for entry in probe.folder.iterdir():
            if entry.name != "disks":
                shutil.rmtree(entry)
    with contextlib.suppress(OSError):
        probe.folder.rmdir()
        (probe.settings.data_dir / "node" / "probe").rmdir()


async def _version(path: str) -> str | None:
    try:
        run = await asyncio.to_thread(
            subprocess.run,
            [path, "--version"],
            capture_output=True,
            timeout=_VERSION_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(rb"version:?\s+(\S+)", run.stdout)
    return match[1].decode(errors="replace") if match else None
