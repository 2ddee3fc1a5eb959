"""What may go wrong while a sandbox is saved or brought back: a clear error, and what there was is whole."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sandlot.errors import Conflict, NotEnoughSpace, SandlotError, Unavailable
from sandlot.node import Node, NodeSandbox, NodeSettings, Presence, SandboxSpec, Tier
from sandlot.node.drivers.gvisor import GvisorDriver
from tests.integration.node.conftest import Create, run
from tests.integration.node.test_copying import children
from tests.integration.node.test_pausing import counted, counting, written

Save = Callable[[Node, SandboxSpec], Awaitable[object]]


@pytest.fixture
def tier() -> Tier:
    """Where memory is kept."""
    return Tier.GVISOR


@pytest.fixture
def spec(spec: SandboxSpec) -> SandboxSpec:
    return replace(spec, id="sborigin")


@pytest.fixture
async def sandbox(create: Create, spec: SandboxSpec) -> NodeSandbox:
    sandbox = await create(id=spec.id)
    await counting(sandbox)
    return sandbox


async def suspend(node: Node, spec: SandboxSpec) -> None:
    await node.suspend(spec.id, memory=True)


async def snapshot(node: Node, spec: SandboxSpec) -> object:
    return await node.snapshot(spec.id, "snap", memory=True)


async def fork(node: Node, spec: SandboxSpec) -> object:
    return await node.fork(spec.id, children(spec, 1))


SAVES: list[Save] = [suspend, snapshot, fork]


async def goes_on(node: Node, sandbox: NodeSandbox, settings: NodeSettings) -> None:
    assert await node.presence(sandbox.id) is Presence.RUNNING
    await counted(sandbox, written(sandbox))
    assert (await run(sandbox.agent, "echo on")).out == "on\n"
    left = [*(settings.data_dir / "node" / "captures").glob("*")]
    left += (settings.data_dir / "node" / "sandboxes" / sandbox.id).glob("memory")
    left += (path for path in (settings.data_dir / "node" / "snapshots").rglob("*") if not path.is_dir())
    assert left == []


@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.__name__)
async def test_a_full_disk(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings, save: Save
) -> None:
    """All but what is reserved has been taken by others."""
    statvfs = os.statvfs

    def full(path: int | str | Path) -> object:
        found = list(statvfs(path))
        found[4] = settings.host_reserve_bytes // found[1] + 1
        return os.statvfs_result(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "statvfs", full)
        with pytest.raises(NotEnoughSpace, match="MiB"):
            await save(node, spec)
    await goes_on(node, sandbox, settings)


@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.__name__)
async def test_the_disk_fills_up_while_the_runtime_writes(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings, save: Save
) -> None:
    """/dev/full stands for the file system: the runtime's own words are understood."""
    checkpoint = GvisorDriver.checkpoint

    async def onto_a_full_disk(
        self: GvisorDriver, id: str, bundle: Path, into: Path, timeout_s: float
    ) -> None:
        (into / "checkpoint.img").symlink_to("/dev/full")
        await checkpoint(self, id, bundle, into, timeout_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GvisorDriver, "checkpoint", onto_a_full_disk)
        with pytest.raises(SandlotError) as caught:
            await save(node, spec)
    assert isinstance(caught.value, NotEnoughSpace | Unavailable)
    await goes_on(node, sandbox, settings)


@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.__name__)
async def test_the_runtime_is_killed_meanwhile(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings, save: Save
) -> None:
    checkpoint = GvisorDriver.checkpoint

    async def and_kill(self: GvisorDriver, id: str, bundle: Path, into: Path, timeout_s: float) -> None:
        writing = asyncio.create_task(checkpoint(self, id, bundle, into, timeout_s))
        os.kill(sandbox.parts.main.pid, signal.SIGKILL)
        await writing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GvisorDriver, "checkpoint", and_kill)
        with pytest.raises(Unavailable):
            await save(node, spec)
    assert "exited" in await asyncio.wait_for(sandbox.wait_dead(), 10)
    assert await node.presence(sandbox.id) is Presence.GONE


async def test_its_file_server_is_killed_meanwhile(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    """The rest of the runtime writes its checkpoint all the same, and what comes of that never answers."""
    checkpoint = GvisorDriver.checkpoint

    async def and_kill(self: GvisorDriver, id: str, bundle: Path, into: Path, timeout_s: float) -> None:
        writing = asyncio.create_task(checkpoint(self, id, bundle, into, timeout_s))
        for pid in sandbox.parts.cgroup.processes():
            if b"gofer" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]:
                os.kill(pid, signal.SIGKILL)
        await writing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GvisorDriver, "checkpoint", and_kill)
        with pytest.raises(Unavailable):
            await node.suspend(sandbox.id, memory=True)
    assert await node.presence(sandbox.id) is not Presence.SUSPENDED


async def test_the_runtime_is_killed_while_it_comes_back(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings
) -> None:
    await node.suspend(sandbox.id, memory=True)
    restore = GvisorDriver.restore

    async def and_kill(self: GvisorDriver, launch: object, image: Path) -> object:
        main = await restore(self, launch, image)  # type: ignore[arg-type]  # the tests' own wrapper
        os.kill(main.pid, signal.SIGKILL)
        return main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GvisorDriver, "restore", and_kill)
        with pytest.raises(SandlotError):
            await node.resume(spec.id, spec)
    assert await node.presence(spec.id) is Presence.SUSPENDED
    back = await node.resume(spec.id, spec)
    assert (await run(back.agent, "echo on")).out == "on\n"


@pytest.mark.parametrize("harm", ["flipped", "cut", "lost"])
async def test_a_damaged_snapshot(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings, harm: str
) -> None:
    await node.snapshot(spec.id, "snap", memory=True)
    for pack in (settings.data_dir / "node" / "snapshots" / "packs").iterdir():
        if harm == "flipped":
            content = bytearray(pack.read_bytes())
            first = next(at for at in range(0, len(content), 4096) if any(content[at : at + 4096]))
            content[first + 100] ^= 1
            with pack.open("r+b") as file:
                file.seek(first)
                file.write(content[first : first + 4096])
        elif harm == "cut":
            os.truncate(pack, pack.stat().st_size // 2)
        else:
            pack.unlink()
    (child,) = children(spec, 1)
    with pytest.raises(Conflict, match=r"snap.*damaged"):
        await node.restore(child, "snap", memory=True)
    with pytest.raises(Conflict, match=r"snap.*damaged"):
        await node.roll_back(spec.id, spec, "snap")
    assert await node.presence(child.id) is Presence.GONE
    await node.delete_snapshot("snap")
    await goes_on(node, sandbox, settings)


async def test_a_snapshot_of_another_version_of_the_runtime(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgspec, "to_builtins", lambda facts: vars_of(facts) | {"runtime": "of-another-day"})
        await node.snapshot(spec.id, "snap", memory=True)
    (child,) = children(spec, 1)
    with pytest.raises(Conflict, match=r"snap.*of-another-day"):
        await node.restore(child, "snap", memory=True)
    with pytest.raises(Conflict, match=r"snap.*of-another-day"):
        await node.roll_back(spec.id, spec, "snap")
    made = await node.restore(child, "snap", memory=False)
    assert (await run(made.agent, "test -s /root/count && hostname")).out == "child0\n"
    await node.destroy(made.id)
    await node.delete_snapshot("snap")
    await goes_on(node, sandbox, settings)


def vars_of(facts: msgspec.Struct) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(msgspec.json.encode(facts))
    return found
