"""Forks and snapshots: others like this one as it was at one moment, which from then on are their own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from sandlot.errors import Conflict, InvalidArgument, NotEnoughSpace, NotFound, SandlotError
from sandlot.node import Node, NodeSandbox, NodeSettings, Presence, SandboxSpec, Tier
from sandlot.node.disks import DiskPool
from tests.integration.node.conftest import MIB, Create, run
from tests.integration.node.test_pausing import counted, counting, written


@pytest.fixture
def tier() -> Tier:
    """Where memory is kept."""
    return Tier.GVISOR


@pytest.fixture
def spec(spec: SandboxSpec) -> SandboxSpec:
    return replace(spec, id="sborigin")


@pytest.fixture
async def sandbox(create: Create, spec: SandboxSpec) -> NodeSandbox:
    return await create(id=spec.id)


def children(spec: SandboxSpec, count: int) -> list[SandboxSpec]:
    return [replace(spec, id=f"sbchild{n}", hostname=f"child{n}", generation=1) for n in range(count)]


def whole(made: list[NodeSandbox | SandlotError]) -> list[NodeSandbox]:
    for each in made:
        if isinstance(each, SandlotError):
            raise each
    return [each for each in made if isinstance(each, NodeSandbox)]


async def ended(node: Node, *sandboxes: NodeSandbox) -> None:
    for each in sandboxes:
        await node.destroy(each.id)
    await node.drain()


async def test_children_go_on_from_the_same_moment_and_are_their_own(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, settings: NodeSettings
) -> None:
    await run(sandbox.agent, "echo '10.0.0.9 mine # box' >> /etc/hosts; chmod 4755 /root")
    await counting(sandbox)
    made = whole(await node.fork(sandbox.id, children(spec, 3)))
    assert [each.id for each in made] == ["sbchild0", "sbchild1", "sbchild2"]
    for each in (sandbox, *made):
        await counted(each, written(each))
    before = time.time()
    told = await asyncio.gather(
        *(run(each.agent, "hostname; cat /etc/hostname /run/sandlot/generation; date +%s") for each in made)
    )
    assert [each.out.split()[:3] for each in told] == [[f"child{n}", f"child{n}", "1"] for n in range(3)]
    clocks = [int(each.out.split()[3]) for each in told]
    assert all(before - 2 < clock < time.time() + 2 for clock in clocks), (before, clocks, time.time())
    hosts = await run(made[1].agent, "cat /etc/hosts; stat -c %a:%U:%G /root")
    assert "127.0.1.1\tchild1\n" in hosts.out
    assert "10.0.0.9 mine # child1\n" in hosts.out
    assert hosts.out.endswith("4755:root:root\n")
    random = [(await run(each.agent, "od -An -N8 -tx8 /dev/urandom")).out for each in (sandbox, *made)]
    assert len(set(random)) == 4
    await run(made[0].agent, "echo mine > /root/mine")
    assert (await run(made[1].agent, "ls /root/mine")).exit.code != 0
    assert (await run(sandbox.agent, "ls /root/mine")).exit.code != 0
    assert (await run(sandbox.agent, "hostname")).out == f"{spec.hostname}\n"
    owners = {path.stat().st_uid for path in (made[0].parts.disk.upper / "root").iterdir()}
    assert owners == {made[0].parts.disk.ids.base}
    assert not list((settings.data_dir / "node" / "captures").iterdir())
    await ended(node, *made)


async def test_a_childs_secret_is_its_own(node: Node, sandbox: NodeSandbox, spec: SandboxSpec) -> None:
    (child,) = whole(await node.fork(sandbox.id, children(spec, 1)))
    await node.stop()
    await node.start()
    child, sandbox = await node.adopt(child.id), await node.adopt(sandbox.id)
    assert (await run(child.agent, "hostname")).out == "child0\n"
    assert (await run(sandbox.agent, "hostname")).out == f"{spec.hostname}\n"
    await ended(node, child)


async def test_one_that_fails_does_not_keep_the_others(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    good, taken, other = children(spec, 3)
    taken, other = replace(taken, id=sandbox.id), replace(other, memory_bytes=128 * MIB)
    made = await node.fork(sandbox.id, [good, taken, other])
    assert isinstance(made[0], NodeSandbox)
    assert isinstance(made[1], Conflict)
    assert isinstance(made[2], InvalidArgument)
    assert (await run(made[0].agent, "hostname")).out == "child0\n"
    assert (await run(sandbox.agent, "hostname")).out == f"{spec.hostname}\n"
    await ended(node, made[0])


async def test_a_fork_that_is_given_up_leaves_nothing(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    for steps in (0, 1, 50, 300):
        forking = asyncio.create_task(node.fork(sandbox.id, children(spec, 2)))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        forking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forking
        await node.drain()
        assert {await node.presence(each.id) for each in children(spec, 2)} == {Presence.GONE}
        assert (await run((await node.adopt(sandbox.id)).agent, "echo on")).out == "on\n"


@pytest.mark.parametrize("state", ["running", "frozen", "suspended"])
async def test_a_snapshot_is_of_one_moment_and_the_original_stays_as_it_was(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, state: str
) -> None:
    await counting(sandbox)
    if state == "frozen":
        await node.pause(sandbox.id)
    elif state == "suspended":
        await node.suspend(sandbox.id, memory=True)
    facts = await node.snapshot(sandbox.id, "snap", memory=True)
    assert facts.memory
    assert 0 < facts.stored_bytes <= facts.size_bytes + MIB
    assert (facts.downtime_s > 0) == (state != "suspended")
    was = Presence.RUNNING if state == "running" else Presence(state)
    assert await node.presence(sandbox.id) is was
    made = [await node.restore(child, "snap", memory=True) for child in children(spec, 2)]
    for each in made:
        await counted(each, written(each))
        assert (await run(each.agent, "hostname")).out == f"{each.id[2:]}\n"
    back = await node.resume(sandbox.id, spec)
    await counted(back, written(back))
    assert (await run(back.agent, "echo on")).out == "on\n"
    await node.delete_snapshot("snap")
    with pytest.raises(NotFound):
        await node.restore(replace(spec, id="sblate"), "snap", memory=True)
    assert (await run(made[0].agent, "echo on")).out == "on\n"
    await ended(node, *made)


@pytest.mark.parametrize("tier", list(Tier))
async def test_files_alone_begin_anew(node: Node, create: Create, spec: SandboxSpec, tier: Tier) -> None:
    sandbox = await create(id=spec.id)
    await run(sandbox.agent, "echo kept > /root/kept; chown 1000:1000 /root/kept; chmod 6750 /root/kept")
    if tier is Tier.CONTAINER:
        await run(sandbox.agent, "cp /bin/true /root/t; setcap cap_net_bind_service=ep /root/t || true")
    await counting(sandbox)
    facts = await node.snapshot(sandbox.id, "snap", memory=False)
    assert not facts.memory
    await counted(sandbox, written(sandbox))
    (child,) = children(spec, 1)
    if tier is Tier.CONTAINER:
        with pytest.raises(Conflict):
            await node.snapshot(sandbox.id, "other", memory=True)
        with pytest.raises(Conflict):
            await node.fork(sandbox.id, [child])
    with pytest.raises(Conflict, match="files only"):
        await node.restore(child, "snap", memory=True)
    made = await node.restore(child, "snap", memory=False)
    told = await run(made.agent, "cat /root/kept; stat -c %a:%u:%g /root/kept; hostname; cat /etc/hostname")
    assert told.out == "kept\n6750:1000:1000\nchild0\nchild0\n"
    assert not [each for each in await made.agent.processes() if each.running]
    await ended(node, made)


async def test_a_name_is_taken_once_and_nothing_is_left_of_the_second(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    await run(sandbox.agent, "head -c 20000000 /dev/urandom > /root/big")
    await node.snapshot(sandbox.id, "snap", memory=True)
    with pytest.raises(Conflict):
        await node.snapshot(sandbox.id, "snap", memory=True)
    assert (await run(sandbox.agent, "echo on")).out == "on\n"
    second = await node.snapshot(sandbox.id, "other", memory=True)
    assert second.stored_bytes < second.size_bytes / 2
    assert {each.name for each in await node.sweep_snapshots({"snap"})} == {"other"}
    with pytest.raises(NotFound):
        await node.snapshot("sbnone", "none", memory=True)
    with pytest.raises(NotFound):
        await node.fork("sbnone", children(spec, 1))
    assert set(spec.rootfs.layers) <= node.layers()


async def test_an_open_file_that_is_replaced_for_a_child_is_no_obstacle(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    await run(sandbox.agent, "exec 3<>/etc/hosts; (sleep 1000 >/dev/null 2>&1 &)")
    (child,) = whole(await node.fork(sandbox.id, children(spec, 1)))
    assert (await run(child.agent, "grep -c child0 /etc/hosts; pgrep -c sleep")).out == "1\n1\n"
    await ended(node, child)


async def test_an_open_file_that_is_deleted_is_told_and_it_goes_on(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec
) -> None:
    """This runtime cannot save one."""
    await run(sandbox.agent, "exec 4<>/root/gone; rm /root/gone; (sleep 1000 >/dev/null 2>&1 &)")
    await counting(sandbox)
    for _ in range(2):
        with pytest.raises(Conflict, match="/root/gone open, which was deleted"):
            await node.fork(sandbox.id, children(spec, 1))
        with pytest.raises(Conflict, match="/root/gone"):
            await node.suspend(sandbox.id, memory=True)
        await counted(sandbox, written(sandbox))
    assert (await run(sandbox.agent, "pkill -x sleep -o; echo on")).out == "on\n"
    await node.suspend(sandbox.id, memory=True)
    back = await node.resume(sandbox.id, spec)
    await counted(back, written(back))


@pytest.mark.parametrize("state", ["running", "frozen", "suspended"])
async def test_it_goes_back_to_a_snapshot_under_its_id(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, state: str
) -> None:
    await counting(sandbox)
    await node.snapshot(sandbox.id, "snap", memory=True)
    seen = written(sandbox)
    await run(sandbox.agent, "echo later > /root/later")
    await run(sandbox.agent, "exec 3<>/root/gone; rm /root/gone; (sleep 1000 >/dev/null 2>&1 &)")
    await counted(sandbox, seen + 20)
    if state == "frozen":
        await node.pause(sandbox.id)
    elif state == "suspended":
        await run(sandbox.agent, "pkill -x sleep -o")
        await node.suspend(sandbox.id, memory=True)
    back = await node.roll_back(sandbox.id, replace(spec, generation=1), "snap")
    assert (await run(back.agent, "ls /root/later")).exit.code != 0
    assert (await run(back.agent, "hostname")).out == f"{spec.hostname}\n"
    await counted(back, written(back))
    assert await node.presence(sandbox.id) is Presence.RUNNING
    assert not sandbox.parts.disk.image.exists()
    again = await node.roll_back(sandbox.id, replace(spec, generation=2), "snap")
    assert (await run(again.agent, "cat /run/sandlot/generation")).out == "2\n"


@pytest.mark.parametrize("state", ["running", "frozen", "suspended"])
async def test_where_it_cannot_go_back_it_is_as_it_was(
    node: Node, sandbox: NodeSandbox, spec: SandboxSpec, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await counting(sandbox)
    await node.snapshot(sandbox.id, "snap", memory=True)
    await run(sandbox.agent, "echo later > /root/later")
    if state == "frozen":
        await node.pause(sandbox.id)
    elif state == "suspended":
        await node.suspend(sandbox.id, memory=True)
    was = await node.presence(sandbox.id)

    async def no_disk(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(DiskPool, "claim_copy", no_disk)
        with pytest.raises(NotEnoughSpace):
            await node.roll_back(sandbox.id, spec, "snap")
    assert await node.presence(sandbox.id) is was
    back = await node.resume(sandbox.id, spec)
    await counted(back, written(back))
    assert (await run(back.agent, "cat /root/later")).out == "later\n"
    with pytest.raises(NotFound):
        await node.roll_back(sandbox.id, spec, "none")
    assert (await run(back.agent, "cat /root/later")).out == "later\n"
