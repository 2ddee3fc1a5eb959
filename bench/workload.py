"""Many sandboxes that do small work for a while, as many agents would: for the bench of load and its test.

Each sandbox has a client that thinks, asks for something, checks the answer, thinks again, and after a while
kills its sandbox, looks whether it is gone, and makes another. Whatever went wrong is kept, never raised.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from sandlot import AsyncSandbox, SandboxError, SandboxGoneError

T = TypeVar("T")

REFUSALS = ("limit_exceeded",)
"""Codes by which the server says, as documented, that it will not take more (docs/api.md)."""
CREATE_PAUSE_S = 1.0
MEMORY_MIB = 256


class WrongAnswer(Exception):
    """The server said that it went well, and it did not."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``operations_per_s`` are offered by all clients together; a sandbox lives for ``operations_each``.

    Every ``container_each``-th sandbox is of the container tier, the others are gvisor's.
    """

    sandboxes: int
    seconds: float
    operations_per_s: float
    operations_each: int
    container_each: int = 5


@dataclass(frozen=True, slots=True)
class Failure:
    operation: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """One operation that went well. Seconds; ``at`` since the workload began."""

    at: float
    operation: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Sight:
    """The server and its sandboxes at one moment."""

    at: float
    live: int
    rss_mib: float
    pss_mib: float
    descriptors: int
    threads: int


@dataclass(slots=True)
class Outcome:
    """What came of it. From ``steady_at``, when the last of the first sandboxes stood, until ``over_at``,
    when the first was told to end, there are as many as planned: the rushes before and after are no figures.
    """

    done: list[Done] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    steady_at: float = 0.0
    over_at: float = 0.0

    def took_ms(self, operation: str) -> list[float]:
        """Of those that were begun in the steady time."""
        steady = [each for each in self.done if self.steady_at <= each.at < self.over_at]
        return [each.took_s * 1000 for each in steady if each.operation == operation]


class Workload:
    """A plan being carried out against the server that the environment names, whose process is ``pid``."""

    def __init__(self, plan: Plan, pid: int, *, seed: int = 1) -> None:
        self._plan = plan
        self._pid = pid
        self._random = random.Random(seed)
        self._begun = 0.0
        self._over = asyncio.Event()
        self._started = 0
        self._live = 0
        self._full = asyncio.Event()
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Returns once the time is over and every sandbox is killed."""
        self._begun = time.monotonic()
        watching = asyncio.create_task(self._watch())
        clients = [asyncio.create_task(self._client(number)) for number in range(self._plan.sandboxes)]
        try:
            await self._until_full(clients)
            self.outcome.steady_at = self._now()
            await asyncio.sleep(self._plan.seconds)
            self.outcome.over_at = self._now()
            self._over.set()
            await asyncio.gather(*clients)
        finally:
            for task in (watching, *clients):
                task.cancel()
            await asyncio.gather(watching, *clients, return_exceptions=True)
        return self.outcome

    async def _until_full(self, clients: Sequence[asyncio.Task[None]]) -> None:
        """A client never ends by itself before; where one breaks, that is raised."""
        full = asyncio.create_task(self._full.wait())
        try:
            await asyncio.wait([full, *clients], return_when=asyncio.FIRST_COMPLETED)
        finally:
            full.cancel()
        if not self._full.is_set():
            await asyncio.gather(*(client for client in clients if client.done()))

    async def _client(self, number: int) -> None:
        tier = "container" if number % self._plan.container_each == 0 else "gvisor"
        met = False
        while not self._over.is_set():
            sandbox = await self._try("create", partial(_create, tier))
            if sandbox is None:
                await asyncio.sleep(CREATE_PAUSE_S)
                continue
            self._live += 1
            if not met:
                met = True
                self._count_in()
            try:
                await self._live_one_life(sandbox)
            finally:
                self._live -= 1
                await self._try("kill", partial(_kill, sandbox))
            await self._try("gone", partial(_see_it_gone, sandbox), count=False)

    def _count_in(self) -> None:
        self._started += 1
        if self._started == self._plan.sandboxes:
            self._full.set()

    async def _live_one_life(self, sandbox: AsyncSandbox) -> None:
        work = Work(sandbox, self._random)
        # The first lives end at different times, so that later ones do.
        life = self._random.randint(
            max(1, self._plan.operations_each // 2), self._plan.operations_each * 3 // 2
        )
        for _ in range(life):
            if not await self._think():
                return
            operation, call = work.next()
            await self._try(operation, call)

    async def _think(self) -> bool:
        """False where the time is over before it has thought enough."""
        pause = self._random.expovariate(self._plan.operations_per_s / self._plan.sandboxes)
        try:
            async with asyncio.timeout(pause):
                await self._over.wait()
        except TimeoutError:
            return True
        return False

    async def _try(self, operation: str, call: Callable[[], Awaitable[T]], *, count: bool = True) -> T | None:
        begun = time.monotonic()
        try:
            made = await call()
        except SandboxError as error:
            if error.code in REFUSALS:
                self.outcome.refusals[f"{operation}: {error.code}"] += 1
            else:
                self.outcome.failures.append(Failure(operation, error.code, error.message))
        except Exception as error:
            self.outcome.failures.append(Failure(operation, type(error).__name__, str(error)))
        else:
            if count:
                self.outcome.done.append(Done(begun - self._begun, operation, time.monotonic() - begun))
            return made
        return None

    async def _watch(self) -> None:
        while True:
            self.outcome.sights.append(look(self._pid, self._now(), self._live))
            await asyncio.sleep(1.0)

    def _now(self) -> float:
        return time.monotonic() - self._begun


class Work:
    """What one sandbox is asked for. It knows what the answers must be."""

    def __init__(self, sandbox: AsyncSandbox, chance: random.Random) -> None:
        self._sandbox = sandbox
        self._random = chance
        self._files: dict[str, bytes] = {}

    def next(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        """The next operation: its name, and how it is done. Raises WrongAnswer, SandboxError."""
        choices = [("exec", self._exec, 55), ("write", self._write, 15), ("info", self._info, 5)]
        if self._files:
            choices += [("read", self._read, 15), ("list", self._list, 5), ("exec", self._count, 5)]
        [(name, call, _)] = self._random.choices(choices, [weight for *_, weight in choices])
        return name, call

    async def _exec(self) -> None:
        word = f"{self._random.getrandbits(64):x}"
        status = self._random.randrange(4)
        result = await self._sandbox.commands.run(f"echo {word}; echo {word}! >&2; exit {status}")
        expect((f"{word}\n", f"{word}!\n", status), (result.stdout, result.stderr, result.exit_code))

    async def _count(self) -> None:
        """What was written through the API is there for programs."""
        name = self._random.choice(list(self._files))
        result = await self._sandbox.commands.run(["wc", "-c", name])
        expect(f"{len(self._files[name])} {name}\n", result.stdout.lstrip())

    async def _write(self) -> None:
        name = f"work/{self._random.randrange(4)}.bin"
        data = self._random.randbytes(self._random.randrange(64 * 1024))
        self._files.pop(name, None)  # where the write fails, what is there is not known
        info = await self._sandbox.files.write(name, data)
        expect(len(data), info.size)
        self._files[name] = data

    async def _read(self) -> None:
        name = self._random.choice(list(self._files))
        data = await self._sandbox.files.read_bytes(name)
        if data != self._files[name]:
            raise WrongAnswer(f"{name} is not what was written: {len(data)} bytes")

    async def _list(self) -> None:
        found = {file.name: file.size for file in await self._sandbox.files.list("work")}
        for name, data in self._files.items():
            expect(len(data), found.get(Path(name).name))

    async def _info(self) -> None:
        expect("running", (await self._sandbox.info()).state)


def expect(wanted: object, found: object) -> None:
    if wanted != found:
        raise WrongAnswer(f"expected {wanted!r}, found {found!r}")


def look(pid: int, at: float = 0.0, live: int = 0) -> Sight:
    """What the process ``pid`` takes now (proc(5))."""
    process = Path(f"/proc/{pid}")
    status = _kib(process / "status")
    shares = _kib(process / "smaps_rollup")
    return Sight(
        at=at,
        live=live,
        rss_mib=status["VmRSS"] / 1024,
        pss_mib=shares["Pss"] / 1024,
        descriptors=len(os.listdir(process / "fd")),
        threads=len(os.listdir(process / "task")),
    )


async def _create(tier: str) -> AsyncSandbox:
    return await AsyncSandbox.create(isolation=tier, memory_mib=MEMORY_MIB, timeout=None)


async def _kill(sandbox: AsyncSandbox) -> None:
    if not await sandbox.kill():
        info = await sandbox.info()
        raise WrongAnswer(f"it had ended before: {info.state}, {info.reason}")


async def _see_it_gone(sandbox: AsyncSandbox) -> None:
    try:
        await sandbox.commands.run("true")
    except SandboxGoneError:
        return
    raise WrongAnswer("a killed sandbox ran a command")


def _kib(file: Path) -> dict[str, int]:
    return {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", file.read_text(), re.M)}
