"""A paused sandbox stands still until somebody resumes it, whatever it does and whoever calls."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandlot.errors import NotFound, Unavailable
from sandlot.node import HostReport, Node, NodeSandbox, NodeSettings, Presence, SandboxSpec
from sandlot.node.agent import Output, SpawnSpec
from tests.integration.node.conftest import Create, run
from tests.integration.node.test_idle import stands_still

HOLD = """
import os, zlib
kept = os.urandom(100 << 20)
print(zlib.crc32(kept), flush=True)
input()
print(zlib.crc32(kept), flush=True)
"""
COUNT = "n=0; while :; do n=$((n+1)); echo $n >> /root/count; sleep 0.01; done"


async def counting(sandbox: NodeSandbox) -> None:
    """Start a program that writes a number a line, without end."""
    process = await sandbox.agent.spawn(SpawnSpec(args=["/bin/sh", "-c", COUNT]))
    await process.close()
    await counted(sandbox, 0)


async def counted(sandbox: NodeSandbox, after: int) -> int:
    """Wait until it has come further than ``after``; how far."""
    async with asyncio.timeout(30):
        while (lines := written(sandbox)) <= after:
            await asyncio.sleep(0.01)
    return lines


def written(sandbox: NodeSandbox) -> int:
    """How far it has come. Every line must be the one that follows the line before."""
    file = sandbox.parts.disk.upper / "root/count"
    lines = file.read_text().splitlines() if file.exists() else []
    assert lines == [str(number + 1) for number in range(len(lines))]
    return len(lines)


async def test_a_paused_one_stands_still_and_goes_on_where_it_was(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    await counting(sandbox)
    for _ in range(3):
        await node.pause(sandbox.id)
        used, lines = sandbox.parts.cgroup.cpu_seconds(), written(sandbox)
        with pytest.raises(Unavailable, match="paused"):
            await run(sandbox.agent, "true")
        assert (await sandbox.stats()).memory_bytes > 0
        assert (sandbox.parts.cgroup.cpu_seconds(), written(sandbox)) == (used, lines)
        assert await node.resume(sandbox.id, spec) is sandbox
        assert (await run(sandbox.agent, "echo on")).out == "on\n"
        await counted(sandbox, lines)


async def test_calls_under_way_end_and_the_connection_stays(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    agent = sandbox.agent
    process = await agent.spawn(SpawnSpec(args=["/bin/sleep", "1000"]))
    reading = asyncio.create_task(anext(process))
    await asyncio.sleep(0)
    await node.pause(sandbox.id)
    await node.pause(sandbox.id)
    with pytest.raises(Unavailable, match="paused"):
        await asyncio.wait_for(reading, 5)
    with pytest.raises(Unavailable, match="paused"):
        await agent.stats()
    await node.resume(sandbox.id, spec)
    await node.resume(sandbox.id, spec)
    assert sandbox.agent is agent
    assert process.id in {each.id for each in await agent.processes() if each.running}


async def test_what_is_not_there_cannot_be_paused(node: Node, spec: SandboxSpec) -> None:
    with pytest.raises(NotFound):
        await node.pause("sbnone")
    with pytest.raises(NotFound):
        await node.resume("sbnone", spec)
    assert await node.presence("sbnone") is Presence.GONE


async def test_it_stays_paused_when_the_server_starts_anew(
    settings: NodeSettings, report: HostReport, node: Node, create: Create, spec: SandboxSpec
) -> None:
    sandbox = await create()
    await counting(sandbox)
    await node.pause(sandbox.id)
    await node.stop()
    await node.start()
    assert await node.presence(sandbox.id) is Presence.FROZEN
    adopted = await node.adopt(sandbox.id)
    assert adopted.frozen
    lines = written(adopted)
    await stands_still(adopted.parts.cgroup)
    assert written(adopted) == lines
    await node.resume(sandbox.id, spec)
    await counted(adopted, lines)
    assert (await run(adopted.agent, "echo on")).out == "on\n"


async def test_ending_a_paused_one_leaves_nothing(node: Node, sandbox: NodeSandbox) -> None:
    await counting(sandbox)
    await node.pause(sandbox.id)
    await node.destroy(sandbox.id)
    await node.drain()
    assert await node.presence(sandbox.id) is Presence.GONE
    assert not Path(sandbox.parts.disk.folder).exists()


@pytest.fixture
async def swap(tmp_path: Path) -> AsyncIterator[Path]:
    """Some swap of the test's own."""
    file = tmp_path / "swap"
    make = f"dd if=/dev/zero of={file} bs=1M count=256 && chmod 600 {file} && mkswap {file} && swapon {file}"
    try:
        await asyncio.to_thread(subprocess.run, make, shell=True, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no swap in {tmp_path}: {error.stderr.decode().strip()}")
    try:
        yield file
    finally:
        await asyncio.to_thread(subprocess.run, ["swapoff", str(file)], check=True)


async def test_its_memory_goes_to_the_hosts_swap_and_comes_back_as_it_was(
    swap: Path, node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    process = await sandbox.agent.spawn(SpawnSpec(args=["python3", "-c", HOLD], stdin=True))
    before = await anext(process)
    group = sandbox.parts.cgroup
    held = group.memory().held_bytes
    await node.pause(sandbox.id)
    async with asyncio.timeout(60):
        while group.memory().held_bytes > held - (64 << 20):
            await asyncio.sleep(0.01)
    await node.resume(sandbox.id, spec)
    reading = await sandbox.agent.attach(process.id, stdout_from=0)
    await sandbox.agent.write_stdin(process.id, b"\n")
    assert isinstance(before, Output)
    told = b""
    async for item in reading:
        told += item.data if isinstance(item, Output) and item.stream == "stdout" else b""
    assert told == before.data * 2
