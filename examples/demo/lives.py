"""A sandbox stands still, is kept, goes back, and becomes several, with all that it has in memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from sandlot import AsyncSandbox, AsyncServer, Hooks

from .checks import Check, Ledger
from .clock import Clock
from .report import Report

SUBJECT = "the sandbox's lives"
CHILDREN = 3
POOL_S = 30.0
# Nine bytes of a random generator that the guest's kernel keeps.
RANDOM = "od -An -N9 -tx1 /dev/urandom"


class Lives:
    """The same few variables and files, seen after each of these."""

    def __init__(self, report: Report, ledger: Ledger, clock: Clock) -> None:
        self._report = report
        self._ledger = ledger
        self._clock = clock

    async def show(self) -> None:
        """Raises SandboxError where one of these cannot be done at all."""
        hooks = Hooks(on_create="echo made >> log", on_resume="echo back >> log")
        async with await AsyncSandbox.create("code-interpreter", hooks=hooks, timeout=600) as sandbox:
            await sandbox.run_code("kept = {'total': 41}")
            await self._pause(sandbox)
            await self._roll_back(sandbox)
            await self._fork(sandbox)
        await self._take_a_hot_one()

    async def _pause(self, sandbox: AsyncSandbox) -> None:
        with self._clock.time("pause, code-interpreter with its memory"):
            paused = await sandbox.pause()
        with self._clock.time("resume, code-interpreter with its memory"):
            await sandbox.resume()
        total, log = await _total(sandbox), await sandbox.files.read("log")
        self._check("it was paused", paused.state == "paused", f"it was {paused.state} ({paused.depth})")
        self._check(
            "what it had in memory is there after a pause",
            total == "41",
            f"after it its variable is {total}, as before",
        )
        self._check("its hooks ran", log == "made\nback\n", f"its hooks wrote: {', '.join(log.split())}")

    async def _roll_back(self, sandbox: AsyncSandbox) -> None:
        with self._clock.time("snapshot of it, while it goes on"):
            snapshot = await sandbox.snapshot()
        await sandbox.run_code("kept.clear()")
        await sandbox.commands.run("rm -rf /home/user/*")
        with self._clock.time("rollback to the snapshot"):
            await sandbox.rollback(snapshot)
        total, whole = await _total(sandbox), await sandbox.files.exists("log")
        detail = (
            f"its variable, deleted, is {total} again; its files, deleted, are {'' if whole else 'not '}back"
        )
        self._check("a rollback undoes what was done", (total, whole) == ("41", True), detail)
        await snapshot.delete()

    async def _fork(self, sandbox: AsyncSandbox) -> None:
        with self._clock.time(f"fork into {CHILDREN}, until all of them answer"):
            children = await sandbox.fork(CHILDREN, timeout=300)
            await asyncio.gather(*(child.commands.run("true", check=True) for child in children))
        drawn = {(await child.commands.run(RANDOM, check=True)).stdout for child in children}
        for number, child in enumerate(children):
            await child.run_code(f"kept['total'] += {number}")
        totals = [await _total(one) for one in (sandbox, *children)]
        expected = ["41", *(str(41 + number) for number in range(CHILDREN))]
        detail = f"its variable is {totals[0]}; its children's, changed in each, are {', '.join(totals[1:])}"
        self._check("children have its memory, and change their own", totals == expected, detail)
        detail = f"{len(drawn)} of {CHILDREN} children drew random numbers of their own"
        self._check("children draw other random numbers", len(drawn) == CHILDREN, detail)
        await asyncio.gather(*(child.kill() for child in children))

    async def _take_a_hot_one(self) -> None:
        """This demo's server has one of template ``base`` stand ready."""
        ready = await self._hot_pool()
        with self._clock.time("create, base, that stood ready"):
            sandbox = await AsyncSandbox.create("base", timeout=300)
        async with sandbox:
            with self._clock.time("first command after create, base, that stood ready"):
                await sandbox.commands.run("true", check=True)
        hits = (await _pool())["hits"] - ready["hits"]
        self._check("it came from a hot pool", hits > 0, f"{ready['hot']} stood ready, and {hits} was taken")

    async def _hot_pool(self) -> dict[str, Any]:
        """The pool of the template, once one stands ready in it; as it is where none does for long."""
        deadline = time.monotonic() + POOL_S
        while not (pool := await _pool())["hot"] and time.monotonic() < deadline:  # noqa: ASYNC110 (a server is asked)
            await asyncio.sleep(0.2)
        return pool

    def _check(self, claim: str, passed: bool, detail: str) -> None:
        check = Check(claim, passed, detail)
        self._ledger.add(SUBJECT, check)
        self._report.check("", check)


async def _pool() -> dict[str, Any]:
    return next(pool for pool in await AsyncServer().pools() if pool["template"] == "base")


async def _total(sandbox: AsyncSandbox) -> str:
    return (await sandbox.run_code("kept['total']")).text or "lost"
