"""A suspended sandbox is on disk, all of it, and comes back as it was."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sandlot.errors import Conflict, NotFound, SandlotError, Unavailable
from sandlot.node import Node, NodeSandbox, NodeSettings, Presence, SandboxSpec, Tier
from sandlot.node.agent import SpawnSpec
from sandlot.node.cgroups import CgroupLayout
from sandlot.node.records import Records, changed
from tests.integration.node.conftest import Create, run
from tests.integration.node.test_pausing import counted, counting, written


@pytest.fixture
def tier() -> Tier:
    """Where memory is kept."""
    return Tier.GVISOR


@pytest.fixture
def spec(spec: SandboxSpec) -> SandboxSpec:
    return replace(spec, id="sbkept", generation=1)


@pytest.fixture
async def sandbox(create: Create, spec: SandboxSpec) -> NodeSandbox:
    return await create(id=spec.id, generation=0)


async def put_on_disk(node: Node, sandbox: NodeSandbox) -> None:
    """Until nothing of it is left but what is kept."""
    await node.suspend(sandbox.id, memory=True)
    assert await node.presence(sandbox.id) is Presence.SUSPENDED


async def goes_on(node: Node, spec: SandboxSpec) -> NodeSandbox:
    sandbox = await node.resume(spec.id, spec)
    await counted(sandbox, written(sandbox))
    assert (await run(sandbox.agent, "echo on")).out == "on\n"
    return sandbox


def memory_of(settings: NodeSettings, spec: SandboxSpec) -> Path:
    return settings.data_dir / "node" / "sandboxes" / spec.id / "memory"


async def test_memory_processes_and_files_come_back_any_number_of_times(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings
) -> None:
    await counting(sandbox)
    network = sandbox.parts.network
    for generation in range(1, 4):
        before = written(sandbox)
        await put_on_disk(node, sandbox)
        assert not sandbox.parts.disk.folder.exists()
        assert not network.netns.exists()
        sandbox = await node.resume(spec.id, replace(spec, generation=generation))
        await counted(sandbox, before)
        told = await run(sandbox.agent, "hostname; cat /run/sandlot/generation")
        assert told.out == f"{spec.hostname}\n{generation}\n"
        assert not memory_of(settings, spec).exists()


async def test_calls_under_way_end_and_the_file_system_inside_is_whole(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    await run(sandbox.agent, "head -c 50000000 /dev/urandom > /root/big; md5sum /root/big > /root/sum")
    process = await sandbox.agent.spawn(SpawnSpec(args=["/bin/sleep", "1000"]))
    reading = asyncio.create_task(anext(process))
    await asyncio.sleep(0)
    await put_on_disk(node, sandbox)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(reading, 5)
    image = sandbox.parts.disk.image
    check = ["e2fsck", "-f", "-n", str(image)]
    await asyncio.to_thread(subprocess.run, check, check=True, capture_output=True)
    back = await node.resume(spec.id, spec)
    assert (await run(back.agent, "md5sum -c /root/sum")).out == "/root/big: OK\n"
    assert process.id in {each.id for each in await back.agent.processes() if each.running}


async def test_a_frozen_one_goes_to_disk_and_back(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    await counting(sandbox)
    await node.pause(sandbox.id)
    await put_on_disk(node, sandbox)
    back = await goes_on(node, spec)
    assert await node.presence(back.id) is Presence.RUNNING


@pytest.mark.parametrize("tier", list(Tier))
async def test_files_alone_come_back_and_it_starts_anew(
    node: Node, create: Create, spec: SandboxSpec, tier: Tier
) -> None:
    sandbox = await create(id=spec.id, tier=tier)
    await run(sandbox.agent, "echo kept > /root/kept; echo mine >> /etc/hosts; chmod 4755 /root/kept")
    await counting(sandbox)
    await node.suspend(sandbox.id, memory=False)
    assert await node.presence(sandbox.id) is Presence.SUSPENDED
    back = await node.resume(spec.id, replace(spec, tier=tier))
    told = await run(back.agent, "cat /root/kept; tail -1 /etc/hosts; stat -c %a:%U /root/kept; hostname")
    assert told.out == f"kept\nmine\n4755:root\n{spec.hostname}\n"
    assert not [each for each in await back.agent.processes() if each.running]
    assert written(back) > 0


async def test_a_container_cannot_keep_its_memory_and_goes_on(
    node: Node, create: Create, spec: SandboxSpec
) -> None:
    sandbox = await create(id=spec.id, tier=Tier.CONTAINER)
    with pytest.raises(Conflict, match="files only"):
        await put_on_disk(node, sandbox)
    assert (await run(sandbox.agent, "echo on")).out == "on\n"


async def test_it_outlives_the_server_and_the_machine(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings
) -> None:
    """What a reboot takes: processes, mounts, network, control groups and /run."""
    await counting(sandbox)
    await put_on_disk(node, sandbox)
    await node.stop()
    run_folder = Path(f"/run/sandlot-{settings.instance}")
    assert not run_folder.exists()
    assert not [root for root in CgroupLayout.detect().roots() if (root / run_folder.name).exists()]
    await node.start()
    assert await node.presence(spec.id) is Presence.SUSPENDED
    assert not [each for each in await node.sweep({spec.id}) if each.name == spec.id]
    with pytest.raises(NotFound):
        await node.adopt(spec.id)
    await goes_on(node, spec)


async def test_a_disk_that_was_not_unmounted_is_mended(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings, tmp_path: Path
) -> None:
    """The machine goes down between the record and the unmounting."""
    await counting(sandbox)
    await put_on_disk(node, sandbox)
    image = sandbox.parts.disk.image
    with image.open("r+b") as file:
        file.seek(1024 + 58)
        file.write(b"\0\0")
    await goes_on(node, spec)


@pytest.mark.parametrize("harm", ["flipped", "cut", "lost"])
async def test_damaged_memory_is_refused_and_what_is_kept_stays(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings, harm: str, tmp_path: Path
) -> None:
    await counting(sandbox)
    await put_on_disk(node, sandbox)
    pages = memory_of(settings, spec) / "pages.img"
    shutil.copy(pages, whole := tmp_path / "whole")
    if harm == "flipped":
        with pages.open("r+b") as file:
            file.seek(pages.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
    elif harm == "cut":
        os.truncate(pages, pages.stat().st_size - 4096)
    else:
        pages.unlink()
    with pytest.raises(Conflict, match=f"sandbox {spec.id} is damaged.*pages.img"):
        await node.resume(spec.id, spec)
    assert await node.presence(spec.id) is Presence.SUSPENDED
    shutil.copy(whole, pages)
    await goes_on(node, spec)


async def test_memory_of_another_version_of_the_runtime_is_refused(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings
) -> None:
    await counting(sandbox)
    await put_on_disk(node, sandbox)
    records = Records(settings.data_dir / "node" / "sandboxes")
    record = records.read(spec.id)
    assert record is not None
    records.write(changed(record, runtime="of-another-day"))
    with pytest.raises(Conflict, match="of-another-day"):
        await node.resume(spec.id, spec)
    assert await node.presence(spec.id) is Presence.SUSPENDED
    records.write(record)
    await goes_on(node, spec)


async def test_ending_one_on_disk_leaves_nothing(
    node: Node, sandbox: NodeSandbox, settings: NodeSettings
) -> None:
    await put_on_disk(node, sandbox)
    await node.destroy(sandbox.id)
    await node.drain()
    assert await node.presence(sandbox.id) is Presence.GONE
    assert not sandbox.parts.disk.image.exists()
    assert not (settings.data_dir / "node" / "sandboxes" / sandbox.id).exists()


async def test_ending_it_while_it_is_put_on_disk_or_taken_from_there(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    suspending = asyncio.create_task(node.suspend(sandbox.id, memory=True))
    await asyncio.sleep(0)
    await node.destroy(sandbox.id)
    with pytest.raises(SandlotError):
        await suspending
    await node.drain()
    assert await node.presence(sandbox.id) is Presence.GONE
