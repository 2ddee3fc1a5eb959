"""A sandbox that runs on this node: its agent, its end, what it uses."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from sandlot.errors import NotFound, SandlotError, StandsStill, Unavailable
from sandlot.network import NetworkPool, NetworkSlot
from sandlot.node import attributes
from sandlot.node.agent import GuestAgent, Waiting
from sandlot.node.agent.activity import unnoticed
from sandlot.node.bundle import AGENT_PORT
from sandlot.node.cgroups import Cgroup, Limits, MemoryUse
from sandlot.node.disks import DiskSlot
from sandlot.node.drivers.base import Started
from sandlot.node.freezer import Freezer
from sandlot.node.guards import count_kernel_kills, end_all_at, end_process_at
from sandlot.node.model import OomEvent, Stats
from sandlot.node.patience import Patience
from sandlot.node.processes import wait_ended
from sandlot.node.records import Record

log = structlog.get_logger(__name__)

RECONNECT_S = 15.0
_RETRY_S = (0.003, 1.0)
_OOM_EVENTS_KEPT = 64
_OOM_EVENT_EVERY_S = 1.0


@dataclass(frozen=True)
class Parts:
    """What a running sandbox is made of on the host."""

    main: Started
    cgroup: Cgroup
    disk: DiskSlot
    network: NetworkSlot
    limits: Limits
    freeze_after_s: float


async def connect(address: str, secret: str, deadline_s: float) -> GuestAgent:
    """Connect to the agent of a sandbox that is known to run. Raises Unavailable."""
    deadline = time.monotonic() + deadline_s
    pause, longest = _RETRY_S
    while True:
        try:
            return await GuestAgent.connect(address, AGENT_PORT, secret)
        except (OSError, SandlotError) as error:
            if time.monotonic() + pause > deadline:
                raise Unavailable(f"the guest agent at {address} does not answer: {error}") from error
        await asyncio.sleep(pause)
        pause = min(longest, pause * 2)


class NodeSandbox:
    """Made by `Node`. Keeps one connection to the agent up, notices the sandbox's end, and lets it stand
    still while it has nothing to run.
    """

    def __init__(self, record: Record, parts: Parts, network: NetworkPool, agent: GuestAgent | None) -> None:
        """Without ``agent`` it is one that was paused: nobody can reach it before ``wake``."""
        self.id = record.id
        self.tier = record.tier
        self.address = parts.network.guest_ip
        self.parts = parts
        self._record = record
        self._network = network
        self._agent: GuestAgent | None = None
        self._linked = asyncio.Event()
        self._still: SandlotError | None = None
        self._stood_still = 0
        self._runs = asyncio.Event()
        self._runs.set()
        self._waiting: Callable[[], Awaitable[Waiting]] = _nobody_waits
        self._processes = 0  # as last told
        self._freezer = Freezer(
            parts.cgroup, self._has_nothing_to_run, parts.freeze_after_s if parts.cgroup.can_freeze else 0
        )
        if agent is not None:
            self._link(agent)
        self._dead: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ooms: deque[OomEvent] = deque(maxlen=_OOM_EVENTS_KEPT)
        self._oom_news = asyncio.Event()
        self._last_oom = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._own(self._watch_end(), "end")
        self._own(self._watch_agent(), "agent")
        self._own(count_kernel_kills(parts.cgroup, self._kernel_killed), "kernel out-of-memory kills")
        limits = parts.limits
        if limits.memory_high_bytes < limits.memory_max_bytes:
            watch = end_process_at(
                parts.cgroup, limits.memory_high_bytes, self._out_of_memory, self._freezer.awake
            )
            self._own(watch, "memory")
        if limits.tasks_high < limits.tasks_max:
            watch = end_all_at(parts.cgroup, limits.tasks_high, self._out_of_tasks, self._freezer.awake)
            self._own(watch, "processes")

    @property
    def agent(self) -> GuestAgent:
        """Raises Unavailable while the connection is being made again, and NotFound after the end."""
        if self._dead.done():
            raise NotFound(f"sandbox {self.id} has ended: {self._dead.result()}")
        if self._still is not None:
            raise self._still
        if self._agent is None:
            raise Unavailable(f"the connection into sandbox {self.id} was lost and is being made again")
        return self._agent

    @property
    def frozen(self) -> bool:
        """Whether it stands still: having nothing to run, until any call wakes it, or paused."""
        return self._freezer.frozen

    @property
    def idle_since(self) -> float | None:
        """Since when it has had nothing to run, by the loop's time; None while it runs or is paused."""
        return self._freezer.idle_since

    @property
    def thaws(self) -> int:
        """How often a call has found it frozen."""
        return self._freezer.thaws

    async def pause(self) -> None:
        """Freeze it until ``wake``; calls, those under way too, raise Unavailable. Idempotent.

        Raises Unavailable where it cannot be frozen.
        """
        self.refuse_calls(StandsStill(f"sandbox {self.id} is paused"))
        try:
            await self._freezer.pin()
        except BaseException:
            self.refuse_calls(None)
            raise

    async def wake(self) -> None:
        """Its agent answers again. Idempotent. Raises Unavailable, NotFound after the end."""
        self._freezer.unpin()
        self.refuse_calls(None)
        await self.linked()

    async def stand_still(self) -> None:
        """As ``pause``, for whoever has had its calls refused already."""
        await self._freezer.pin()

    @contextlib.contextmanager
    def held_awake(self) -> Iterator[None]:
        """It is not frozen inside, though it was paused."""
        self._freezer.unpin()
        with self._freezer.hold():
            yield

    async def hang_up(self) -> None:
        """End the connection to its agent; another is made once calls are let in."""
        if (agent := self._agent) is not None:
            self._agent = None
            self._linked.clear()
            await agent.close()

    async def linked(self) -> None:
        """Wait while the connection is made again. Raises as ``agent`` does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT_S):
                await self._linked.wait()
        _ = self.agent

    def refuse_calls(self, error: SandlotError | None) -> None:
        """Until it is None again, every call raises ``error``, and a lost connection is not made again."""
        self._still = error
        if error is None:
            self._runs.set()
        else:
            self._stood_still += 1
            self._runs.clear()
        if self._agent is not None:
            self._agent.refuse_calls(error)

    def heed(self, waiting: Callable[[], Awaitable[Waiting]]) -> None:
        """Every process keeps it awake but those of which ``waiting`` says that they only wait for a call."""
        self._waiting = waiting

    async def wait_dead(self) -> str:
        """Why it ended, once it has."""
        return await asyncio.shield(self._dead)

    async def oom_events(self) -> AsyncIterator[OomEvent]:
        """Events from now on, at most one a second, until the sandbox ends. For one reader."""
        while True:
            while self._ooms:
                yield self._ooms.popleft()
            if self._dead.done():
                return
            self._oom_news.clear()
            await self._oom_news.wait()

    async def stats(self) -> Stats:
        """Neither wakes it nor keeps it awake. Raises Unavailable, and NotFound after the end."""
        agent = self.agent if self._still is None else None
        try:
            cpu, memory, disk = await asyncio.to_thread(self._measure)
        except FileNotFoundError as error:
            raise NotFound(f"sandbox {self.id} has ended") from error
        if agent is not None and not self.frozen:
            with unnoticed():
                self._processes = (await agent.stats()).processes
        rx, tx = await self._network.counters(self.parts.network)
        return Stats(
            cpu_seconds=cpu,
            memory_bytes=memory,
            memory_limit_bytes=self._record.memory_bytes,
            disk_used_bytes=disk,
            disk_limit_bytes=self._record.disk_bytes,
            rx_bytes=rx,
            tx_bytes=tx,
            processes=self._processes,
        )

    async def file_attributes(self, paths: Collection[str], prefix: str) -> dict[str, dict[str, str]]:
        """Extended attributes of its files, by path; see ``attributes.read``. Wakes nobody."""
        return await asyncio.to_thread(attributes.read, self.parts.disk.root, paths, prefix)

    async def set_file_attributes(self, path: str, prefix: str, values: Mapping[str, str]) -> None:
        """Raises InvalidArgument, NotFound, NotEnoughSpace; see ``attributes.replace``."""
        await asyncio.to_thread(attributes.replace, self.parts.disk.root, path, prefix, values)

    async def close(self, reason: str | None = None) -> None:
        """Let go of it. With ``reason`` it is dead for everyone who waits; without, it goes on running."""
        if reason is not None:
            self._die(reason)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        await self._freezer.close()
        if self._agent is not None:
            agent, self._agent = self._agent, None
            await agent.close()

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"watch {name} of {self.id}")
        task.add_done_callback(_log_failure)
        self._tasks.append(task)

    def _measure(self) -> tuple[float, int, int]:
        cgroup = self.parts.cgroup
        return cgroup.cpu_seconds(), cgroup.memory().held_bytes, self.parts.disk.used_bytes()

    async def _watch_end(self) -> None:
        await wait_ended(self.parts.main)
        self._die("its runtime exited")

    async def _watch_agent(self) -> None:
        patience = Patience()
        while not self._dead.done():
            if (agent := self._agent) is None:
                await self._reconnect()
                continue
            connected = time.monotonic()
            await agent.wait_closed()
            self._agent = None
            self._linked.clear()
            await agent.close()
            pause = patience.lost(time.monotonic() - connected, agent.breach)
            if pause is None:
                self._die(f"its guest agent was replaced, or broke its protocol: {agent.breach}")
                return
            await asyncio.sleep(pause)

    async def _reconnect(self) -> None:
        await self._runs.wait()
        stood_still = self._stood_still
        try:
            with self._freezer.hold():
                agent = await connect(self.address, self._record.secret, RECONNECT_S)
        except Unavailable as error:
            if self._stood_still == stood_still:
                self._die(f"its runtime runs, but {error.message}")
        else:
            self._link(agent)

    def _link(self, agent: GuestAgent) -> None:
        agent.report_to(self._freezer)
        agent.refuse_calls(self._still)
        self._agent = agent
        self._linked.set()

    async def _has_nothing_to_run(self) -> bool:
        waiting = await self._waiting()
        if (agent := self._agent) is None:
            return False
        answer = await agent.activity(waiting)
        self._processes = answer.processes
        return answer.idle

    def _die(self, reason: str) -> None:
        if not self._dead.done():
            self._dead.set_result(reason)
            self._linked.set()
            self._oom_news.set()

    async def _out_of_memory(self, use: MemoryUse) -> None:
        if self._agent is None:
            return
        try:
            await self._agent.oom_kill()
        except SandlotError as error:
            log.warning("out of memory, and the agent ends nothing", sandbox=self.id, reason=error.message)
        self._tell_oom("its largest process was ended: the sandbox's memory was used up", use.held_bytes)

    async def _out_of_tasks(self) -> None:
        """A fork bomb: inside it outruns whoever ends it one by one, so whole process groups go at once."""
        if (agent := self._agent) is None:
            return
        try:
            running = [info.id for info in await agent.processes() if info.running]
            await asyncio.gather(*(agent.signal(id, signal.SIGKILL) for id in running))
        except SandlotError as error:
            log.warning("too many processes, and the agent ends none", sandbox=self.id, reason=error.message)
            return
        self._tell_oom("all its processes were ended: they multiplied past the sandbox's limit", 0)

    def _kernel_killed(self, count: int) -> None:
        self._tell_oom(f"the kernel ended {count} of its processes: the sandbox's memory was used up", 0)

    def _tell_oom(self, reason: str, held_bytes: int) -> None:
        now = time.monotonic()
        if now - self._last_oom < _OOM_EVENT_EVERY_S:
            return
        self._last_oom = now
        self._ooms.append(
            OomEvent(reason, held_bytes or self._record.memory_bytes, self._record.memory_bytes)
        )
        self._oom_news.set()


async def _nobody_waits() -> Waiting:
    return Waiting()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a watch failed", task=task.get_name(), exc_info=error)
