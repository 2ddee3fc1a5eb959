"""docs/idle.md on the real thing: what has nothing to run stands still, and nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from sandlot.core.watchers import Watchers
from sandlot.node import HostReport, Node, NodeSandbox, NodeSettings, SandboxSpec
from sandlot.node.agent import GuestAgent, PtySize, SpawnSpec
from sandlot.node.cgroups import Cgroup, CgroupLayout
from tests.integration.node.conftest import Create, run, traces
from tests.integration.node.test_crash import Orders, crash_when, orders

__all__ = ["orders"]

FREEZE_S = 30.0
_POLL_S = 0.01


async def frozen(sandbox: NodeSandbox) -> None:
    """Wait until all of it stands still."""
    await stands_still(sandbox.parts.cgroup)
    assert sandbox.frozen


async def stands_still(group: Cgroup) -> None:
    async with asyncio.timeout(FREEZE_S):
        while True:
            with suppress(FileNotFoundError):  # it may be yet to come
                if group.is_frozen():
                    return
            await asyncio.sleep(_POLL_S)


async def stays_awake(sandbox: NodeSandbox, beside: NodeSandbox) -> None:
    """An idle sandbox beside it, used later, is frozen twice meanwhile."""
    for _ in range(2):
        await beside.agent.stats()
        await frozen(beside)
    assert not sandbox.frozen
    assert not sandbox.parts.cgroup.is_frozen()


async def test_it_stands_still_and_the_next_call_finds_it_as_it_was(create: Create) -> None:
    sandbox, beside = await create(), await create()
    assert (await run(sandbox.agent, "echo kept > /tmp/kept; echo done")).out == "done\n"
    await frozen(sandbox)
    used = sandbox.parts.cgroup.cpu_seconds()
    await beside.agent.stats()
    await frozen(beside)
    assert sandbox.parts.cgroup.cpu_seconds() == used
    thaws = sandbox.thaws
    assert (await run(sandbox.agent, "cat /tmp/kept")).out == "kept\n"
    assert sandbox.thaws == thaws + 1
    await frozen(sandbox)


async def test_its_clocks_go_on(sandbox: NodeSandbox, create: Create) -> None:
    await frozen(sandbox)
    beside = await create()
    await frozen(beside)
    guest, host = (await sandbox.agent.stats()).time, (await beside.agent.stats()).time
    assert abs(guest - host) < 5


async def test_metrics_of_a_frozen_one_do_not_wake_it(sandbox: NodeSandbox) -> None:
    await frozen(sandbox)
    stats = await sandbox.stats()
    assert (stats.processes, stats.memory_bytes > 0) == (0, True)
    assert sandbox.frozen
    assert sandbox.thaws == 0


async def test_metrics_do_not_keep_it_awake(sandbox: NodeSandbox) -> None:
    async def measure() -> None:
        while not sandbox.frozen:
            await sandbox.stats()
            await asyncio.sleep(_POLL_S * 10)

    await asyncio.wait_for(measure(), FREEZE_S)


# ── what keeps it awake ──────────────────────────────────────────────────────────────────────────────

Cause = Callable[[GuestAgent], Awaitable[Callable[[], Awaitable[None]]]]


async def background_command(agent: GuestAgent) -> Callable[[], Awaitable[None]]:
    process = await agent.spawn(SpawnSpec(args=["/bin/sleep", "1000"]))
    await process.close()
    return lambda: agent.signal(process.id, signal.SIGKILL)


async def child_of_a_shell_that_ended(agent: GuestAgent) -> Callable[[], Awaitable[None]]:
    await run(agent, "sleep 1000 >/dev/null 2>&1 &")
    return lambda: _kill(agent)


async def daemon(agent: GuestAgent) -> Callable[[], Awaitable[None]]:
    """Its own session, its parent gone."""
    await run(agent, "(setsid sleep 1000 >/dev/null 2>&1 &)")
    return lambda: _kill(agent)


async def open_port(agent: GuestAgent) -> Callable[[], Awaitable[None]]:
    await run(agent, "(setsid python3 -m http.server 8080 >/dev/null 2>&1 &)")
    return lambda: _kill(agent, "python3")


async def stopped_process(agent: GuestAgent) -> Callable[[], Awaitable[None]]:
    process = await agent.spawn(SpawnSpec(args=["/bin/sleep", "1000"]))
    await agent.signal(process.id, signal.SIGSTOP)
    await process.close()
    return lambda: agent.signal(process.id, signal.SIGKILL)


async def terminal(agent: GuestAgent) -> Callable[[], Awaitable[None]]:
    shell = await agent.spawn(SpawnSpec(args=["/bin/sh"], pty=PtySize(24, 80)))

    async def leave() -> None:
        await agent.write_stdin(shell.id, b"exit\n")
        async for _ in shell:
            pass

    return leave


async def watch(agent: GuestAgent) -> Callable[[], Awaitable[None]]:
    return (await agent.watching("/tmp")).close


async def _kill(agent: GuestAgent, name: str = "sleep") -> None:
    assert (await run(agent, f"pkill -KILL {name}")).exit.code == 0


CAUSES: list[Cause] = [
    background_command, child_of_a_shell_that_ended, daemon, open_port, stopped_process, terminal, watch,
]  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
async def test_something_to_run_keeps_it_awake_and_its_end_does_not(create: Create, cause: Cause) -> None:
    sandbox, beside = await create(), await create()
    end = await cause(sandbox.agent)
    await stays_awake(sandbox, beside)
    await end()
    await frozen(sandbox)


async def test_a_watch_that_only_waits_to_be_asked_lets_it_stand_still(sandbox: NodeSandbox) -> None:
    watchers = Watchers(lambda: sandbox.agent)
    id = await watchers.create("/tmp")
    await frozen(sandbox)
    assert (await watchers.news(id))[1] == []
    await frozen(sandbox)
    await run(sandbox.agent, "echo 1 > /tmp/f")
    await frozen(sandbox)
    _, news = await watchers.news(id)
    assert [(event.kind, event.path) for event in news] == [("create", "/tmp/f"), ("write", "/tmp/f")]
    watchers.close()
    await frozen(sandbox)


async def test_a_covered_proc_is_no_proof_of_idleness(create: Create, spec: SandboxSpec) -> None:
    if spec.tier != "gvisor":
        pytest.skip("nobody in a container may mount")
    sandbox, beside = await create(), await create()
    await run(sandbox.agent, "(setsid sleep 1000 >/dev/null 2>&1 &) ; mount -t tmpfs none /proc")
    await stays_awake(sandbox, beside)


# ── what happens to a frozen one ─────────────────────────────────────────────────────────────────────


async def test_many_calls_at_once_find_it_awake(sandbox: NodeSandbox) -> None:
    await frozen(sandbox)
    ran = await asyncio.gather(*(run(sandbox.agent, f"echo {n}") for n in range(8)))
    assert [each.out for each in ran] == [f"{n}\n" for n in range(8)]
    assert sandbox.thaws == 1


async def test_a_caller_that_gives_up_as_it_thaws_leaves_it_usable_and_idle(sandbox: NodeSandbox) -> None:
    await frozen(sandbox)
    calling = asyncio.create_task(run(sandbox.agent, "true"))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert (await run(sandbox.agent, "echo alive")).out == "alive\n"
    await frozen(sandbox)


async def test_its_memory_limit_holds_after_a_thaw(sandbox: NodeSandbox) -> None:
    await frozen(sandbox)
    hog = await run(sandbox.agent, "python3", "-c", "kept = []\nwhile True: kept.append(bytearray(8 << 20))")
    assert hog.exit.code == 137
    assert (await run(sandbox.agent, "echo alive")).out == "alive\n"


async def test_ending_a_frozen_one_leaves_nothing(node: Node, create: Create, settings: NodeSettings) -> None:
    sandbox = await create()
    await frozen(sandbox)
    await node.destroy(sandbox.id)
    await node.drain()
    assert sandbox.parts.cgroup.processes() == []
    assert not [trace for trace in traces(settings) if sandbox.id in trace]


async def test_the_end_of_its_runtime_is_noticed_while_it_is_frozen(sandbox: NodeSandbox) -> None:
    await frozen(sandbox)
    os.kill(sandbox.parts.main.pid, signal.SIGKILL)
    sandbox.parts.cgroup.thaw()  # v1 lets nothing frozen die
    assert "runtime exited" in await asyncio.wait_for(sandbox.wait_dead(), FREEZE_S)


async def test_a_server_that_stops_leaves_it_frozen_and_the_next_one_wakes_it(
    settings: NodeSettings, report: HostReport, spec: SandboxSpec
) -> None:
    async with serving(settings, report) as first:
        sandbox = await first.create(spec)
        await run(sandbox.agent, "echo kept > /tmp/kept")
        await frozen(sandbox)
    assert sandbox.parts.cgroup.is_frozen()
    async with serving(settings, report) as second:
        adopted = await second.adopt(spec.id)
        assert (await run(adopted.agent, "cat /tmp/kept")).out == "kept\n"
        await frozen(adopted)
        await second.destroy(spec.id)
    assert traces(settings) == []


async def test_a_server_killed_while_it_is_frozen_loses_nothing(
    settings: NodeSettings, report: HostReport, orders: Orders
) -> None:
    id, group = "sbcrash0", Node(settings, report)._cgroups.group("sbcrash0")
    await crash_when(orders, lambda: stands_still(group))
    assert group.is_frozen()
    async with serving(settings, report) as node:
        adopted = await node.adopt(id)
        assert (await run(adopted.agent, "cat /etc/hostname")).out == "box\n"
        await frozen(adopted)
        await node.sweep(set())
        await node.destroy(id)
    assert traces(settings) == []


@asynccontextmanager
async def serving(settings: NodeSettings, report: HostReport) -> AsyncIterator[Node]:
    node = Node(settings, report)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


async def test_never_is_never(settings: NodeSettings, report: HostReport, spec: SandboxSpec) -> None:
    off = NodeSettings(**{**vars(settings), "freeze_idle_after_s": 0.0})
    async with serving(off, report) as node:
        sandbox = await node.create(spec)
        used = sandbox.parts.cgroup.cpu_seconds()
        if spec.tier == "gvisor":
            async with asyncio.timeout(FREEZE_S):
                while sandbox.parts.cgroup.cpu_seconds() < used + 0.05:  # of its own timer: 1.5 s and more
                    await asyncio.sleep(_POLL_S)
        assert not sandbox.frozen
        assert not sandbox.parts.cgroup.is_frozen()
        await node.destroy(spec.id)


# ── the two versions of control groups ───────────────────────────────────────────────────────────────


@contextmanager
def group_of_v2() -> Iterator[tuple[Cgroup, Path]]:
    """In the v2 hierarchy of a hybrid host there are no controllers, but its freezer is no controller."""
    root = CgroupLayout.detect().unified
    if root is None:
        pytest.skip("this host has no v2 hierarchy")
    parent = f"sandlot-test-{os.getpid()}"
    group = Cgroup(CgroupLayout(unified=root, v1={}), parent, "idle")
    folder = root / parent / "idle"
    folder.mkdir(parents=True)
    try:
        yield group, folder
    finally:
        group.kill()
        group.remove()
        (root / parent).rmdir()


async def test_v2_freezes_thaws_and_kills_what_is_frozen() -> None:
    with group_of_v2() as (group, folder):
        pipe = asyncio.subprocess.PIPE
        echo = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
        assert echo.stdin is not None
        assert echo.stdout is not None
        (folder / "cgroup.procs").write_text(str(echo.pid))
        group.freeze()
        await stands_still(group)
        echo.stdin.write(b"hello\n")
        answer = asyncio.create_task(echo.stdout.readline())
        await echo.stdin.drain()
        assert not answer.done()
        group.thaw()
        assert await asyncio.wait_for(answer, 10) == b"hello\n"
        group.freeze()
        await stands_still(group)
        await asyncio.to_thread(group.kill)
        assert await echo.wait() == -signal.SIGKILL
