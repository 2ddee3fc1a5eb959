"""A sandbox from its creation to its end: what a user notices, and what the host is left with."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from sandlot.errors import Conflict, InvalidArgument, NotEnoughSpace, NotFound, Unavailable
from sandlot.node import HostReport, Node, NodeSandbox, NodeSettings, RootFs, SandboxSpec, Tier
from tests.integration.node.conftest import Create, run, traces


async def test_a_new_sandbox_runs_commands_and_is_named(sandbox: NodeSandbox) -> None:
    await sandbox.agent.ping()
    ran = await run(sandbox.agent, "hostname; cat /etc/hostname; whoami")
    assert (ran.out.split(), ran.exit.code) == (["box", "box", "root"], 0)


async def test_destroying_it_leaves_nothing_on_the_host(
    node: Node, settings: NodeSettings, create: Create
) -> None:
    sandbox = await create()
    await run(sandbox.agent, "dd if=/dev/zero of=/root/file bs=1M count=20; sleep 1000 & sleep 1000 &")
    assert any(sandbox.id in trace for trace in traces(settings))
    await node.destroy(sandbox.id)
    assert not [trace for trace in traces(settings) if trace.split()[0].isdigit() and "run --detach" in trace]
    await node.drain()
    assert not [trace for trace in traces(settings) if sandbox.id in trace]
    assert sandbox.parts.disk.name not in {path.stem for path in sandbox.parts.disk.image.parent.glob("*")}
    assert not sandbox.parts.network.netns.exists()


async def test_gvisor_runs_from_huge_pages(sandbox: NodeSandbox, settings: NodeSettings) -> None:
    folder = Path(f"/run/sandlot-{settings.instance}/runtime")
    program = Path(f"/proc/{sandbox.parts.main.pid}/exe")
    assert (program.stat().st_dev == folder.stat().st_dev) == (sandbox.tier == Tier.GVISOR)


async def test_destroying_twice_and_destroying_nothing_is_fine(node: Node, create: Create) -> None:
    sandbox = await create()
    await asyncio.gather(node.destroy(sandbox.id), node.destroy(sandbox.id))
    await node.destroy(sandbox.id)
    await node.destroy("sbneverwas")


async def test_whoever_waits_learns_why_it_ended(node: Node, create: Create) -> None:
    destroyed, crashed = await create(), await create()
    await node.destroy(destroyed.id)
    assert await destroyed.wait_dead() == "it was destroyed"
    os.kill(crashed.parts.main.pid, signal.SIGKILL)
    assert await asyncio.wait_for(crashed.wait_dead(), 10) == "its runtime exited"
    with pytest.raises(NotFound, match="has ended"):
        _ = crashed.agent


async def test_a_lost_connection_is_made_again_and_processes_go_on(sandbox: NodeSandbox) -> None:
    await run(sandbox.agent, "(sleep 1; echo done > /root/done) >/dev/null 2>&1 &")
    lost = sandbox.agent
    await lost.close()
    agent = await _reconnected(sandbox, lost)
    ran = await run(agent, "until test -e /root/done; do sleep 0.1; done; cat /root/done")
    assert ran.out == "done\n"


async def test_several_at_once_each_have_their_own_files(create: Create) -> None:
    sandboxes = await asyncio.gather(*(create() for _ in range(3)))
    await asyncio.gather(*(run(each.agent, f"echo {each.id} > /root/mine") for each in sandboxes))
    found = await asyncio.gather(*(run(each.agent, "cat /root/mine") for each in sandboxes))
    assert [each.out.strip() for each in found] == [each.id for each in sandboxes]
    assert len({each.parts.disk.ids.base for each in sandboxes}) == 3


async def test_an_id_in_use_is_a_conflict_and_a_bad_one_is_refused(
    node: Node, spec: SandboxSpec, sandbox: NodeSandbox
) -> None:
    with pytest.raises(Conflict):
        await node.create(replace(spec, id=sandbox.id))
    with pytest.raises(InvalidArgument):
        await node.create(replace(spec, id="../escape"))
    await sandbox.agent.ping()


async def test_a_disk_larger_than_what_the_host_has_free_is_refused(node: Node, spec: SandboxSpec) -> None:
    with pytest.raises(NotEnoughSpace, match="Ask for a smaller disk"):
        await node.create(replace(spec, disk_bytes=1 << 50))
    await node.drain()
    with pytest.raises(NotFound):
        await node.adopt(spec.id)


async def test_a_template_that_cannot_start_says_what_the_runtime_said_and_leaves_nothing(
    node: Node, spec: SandboxSpec, settings: NodeSettings, tmp_path: Path
) -> None:
    layer = tmp_path / "broken" / "rootfs"
    layer.mkdir(parents=True)
    (layer / ".sandlot").write_text("a file where the agent's folder should be")
    with pytest.raises(Unavailable, match=r"its runtime says: (?!nothing)"):
        await node.create(replace(spec, rootfs=RootFs((layer,))))
    await node.drain()
    assert not [trace for trace in traces(settings) if spec.id in trace]


async def test_cancelling_a_creation_at_any_moment_leaves_nothing(
    node: Node, spec: SandboxSpec, settings: NodeSettings
) -> None:
    for after_ms in (0, 1, 3, 8, 20, 60, 120):
        making = asyncio.create_task(node.create(replace(spec, id=f"sbcancel{after_ms}")))
        await asyncio.wait([making], timeout=after_ms / 1000)
        making.cancel()
        await asyncio.wait([making])
        if not making.cancelled() and making.exception() is None:
            await node.destroy(f"sbcancel{after_ms}")
    await node.drain()
    assert not [trace for trace in traces(settings) if "sbcancel" in trace]


async def test_stopping_leaves_sandboxes_and_the_next_start_adopts_them(
    settings: NodeSettings, report: HostReport, node: Node, create: Create
) -> None:
    sandbox = await create()
    await run(sandbox.agent, "echo kept > /root/kept")
    await node.stop()
    await node.start()
    adopted = await node.adopt(sandbox.id)
    assert (await run(adopted.agent, "cat /root/kept")).out == "kept\n"
    assert (await adopted.stats()).cpu_seconds > 0
    assert await node.sweep({sandbox.id}) == []


async def test_one_that_died_while_the_server_was_away_is_not_found(node: Node, create: Create) -> None:
    sandbox = await create()
    await node.stop()
    os.kill(sandbox.parts.main.pid, signal.SIGKILL)
    await node.start()
    with pytest.raises(NotFound):
        await node.adopt(sandbox.id)
    removed = await node.sweep(set())
    assert "sandbox sbtest0" in map(str, removed)


async def test_two_servers_on_one_host_do_not_touch_each_other(
    node: Node, create: Create, spec: SandboxSpec, report: HostReport, tmp_path: Path
) -> None:
    sandbox = await create()
    other = Node(replace(node.settings, data_dir=tmp_path / "other"), report)
    await other.start()
    try:
        theirs = await other.create(spec)
        assert await other.sweep({spec.id}) == []
        assert await node.sweep(set()) == []
        await asyncio.gather(sandbox.agent.ping(), theirs.agent.ping())
        await other.destroy(spec.id)
    finally:
        await other.stop()
    await sandbox.agent.ping()


async def _reconnected(sandbox: NodeSandbox, lost: object) -> object:
    async with asyncio.timeout(10):
        while True:
            try:
                if (agent := sandbox.agent) is not lost:
                    return agent
            except Unavailable:
                pass
            await asyncio.sleep(0.01)
