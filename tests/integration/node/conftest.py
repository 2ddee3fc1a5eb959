"""A node of its own per test, over the `base` template, and the promise that nothing of it stays."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sandlot.errors import NotFound
from sandlot.images import Templates
from sandlot.network import NetworkPolicy
from sandlot.node import HostReport, Node, NodeSandbox, NodeSettings, RootFs, SandboxSpec, Tier, probe_host
from sandlot.node.agent import Exit, GuestAgent, Output, SpawnSpec

TEMPLATES_DIR = Path(os.environ.get("SANDLOT_TEMPLATES_DIR", "/var/lib/sandlot/templates"))
MIB = 1 << 20
Create = Callable[..., Awaitable[NodeSandbox]]


@dataclass(frozen=True)
class Ran:
    """What a command in a sandbox printed and how it ended."""

    out: str
    err: str
    exit: Exit


async def run(agent: GuestAgent, *args: str, user: str = "root") -> Ran:
    """Run a command to its end; one word is a line for the shell."""
    words = list(args) if len(args) > 1 else ["/bin/sh", "-c", args[0]]
    process = await agent.spawn(SpawnSpec(args=words, user=user, timeout=60))
    streams = {"stdout": b"", "stderr": b""}
    async for item in process:
        if isinstance(item, Output):
            streams[item.stream] += item.data
        else:
            return Ran(streams["stdout"].decode(), streams["stderr"].decode(), item)
    raise AssertionError("the output ended without an exit")


def traces(settings: NodeSettings) -> list[str]:
    """Everything of the instance that is on the host now, whoever made it."""
    instance = settings.instance
    found = [
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if f"sandlot-{instance}" in line
    ]
    found += [
        line
        for line in _lines("losetup", "--noheadings", "--output", "NAME,BACK-FILE")
        if str(settings.data_dir) in line
    ]
    found += [str(path) for path in Path("/run").glob(f"sandlot-{instance}*")]
    found += [str(path) for path in Path("/run/netns").glob(f"sl-{instance}-*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/sandlot-{instance}*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"sandlot-{instance}*")]
    found += [
        name
        for link in json.loads(_output("ip", "-json", "link"))
        if (name := link["ifname"]).startswith(f"sl{instance}-")
    ]
    found += [line for line in _lines("nft", "list", "tables") if instance in line]
    found += [str(path) for path in (settings.data_dir / "node" / "disks").glob("*")]
    found += [str(path) for path in (settings.data_dir / "node" / "sandboxes").glob("*")]
    found += _processes(f"sandlot-{instance}")
    return found


def _processes(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in command:
            found.append(f"{process.name} {command}")
    return found


def _lines(*command: str) -> list[str]:
    return _output(*command).splitlines()


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(params=list(Tier), ids=str)
def tier(request: pytest.FixtureRequest) -> Tier:
    """Each tier in turn. A tier that this host lacks fails the test: a promise untested is not kept."""
    return Tier(request.param)


@pytest.fixture(scope="session")
def layers() -> tuple[Path, ...]:
    try:
        return Templates(TEMPLATES_DIR).resolve("base").layers
    except NotFound as error:
        pytest.fail(f"these tests need the base template: {error}")


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    return NodeSettings(
        data_dir=tmp_path / "data", network_slots=1, disk_slots=1, default_disk_bytes=512 * MIB
    )


_reports: list[HostReport] = []


@pytest.fixture
async def report(tmp_path: Path) -> HostReport:
    """What this host can do: tried once for all tests."""
    if not _reports:
        _reports.append(await probe_host(NodeSettings(data_dir=tmp_path / "probe")))
    return _reports[0]


@pytest.fixture
async def node(settings: NodeSettings, report: HostReport) -> AsyncIterator[Node]:
    node = Node(settings, report)
    await node.start()
    try:
        yield node
    finally:
        await node.sweep(set())
        await node.stop()
        assert traces(settings) == []


@pytest.fixture
def spec(layers: tuple[Path, ...], tier: Tier) -> SandboxSpec:
    return SandboxSpec(
        id="sbtest",
        rootfs=RootFs(layers),
        tier=tier,
        cpus=2.0,
        memory_bytes=256 * MIB,
        disk_bytes=512 * MIB,
        pids=64,
        network=NetworkPolicy(internet=False),
        hostname="box",
    )


@pytest.fixture
async def create(node: Node, spec: SandboxSpec) -> AsyncIterator[Create]:
    """Make a sandbox like ``spec`` but for the changes named; all are destroyed after the test."""
    made: list[str] = []

    async def make(**changes: Any) -> NodeSandbox:
        wanted = replace(spec, **({"id": f"{spec.id}{len(made)}"} | changes))
        made.append(wanted.id)
        return await node.create(wanted)

    yield make
    for id in made:
        await node.destroy(id)
    await node.drain()


@pytest.fixture
async def sandbox(create: Create) -> NodeSandbox:
    return await create()
