"""The program: rounds of ordinary work with a kill in the middle, and what must be true after each."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandlot.core.lifecycle import State

from .client import EVERY_STATE, Answer, Client
from .host import Host
from .model import Known, explained
from .servers import Server

AT_MOST_ALIVE = 5
SETTLED_WITHIN_S = 60.0
COUNT_EVERY = 6  # rounds; counting waits until all cleaning is done
_PATHS = ("a", "b", "c")
_SHOW = "for f in a b c; do [ -e $f ] && echo $f $(cat $f); done; true"
_AT_REST = (State.RUNNING, State.PAUSED)
_WORK = "echo begun > /tmp/worker; exec sleep 1000000"
_REFUSALS = {0, 404, 409, 410, 502, 503, 504}  # what one may hear of a sandbox that something was done to


class Chaos:
    """One seed is one program; when exactly the kernel runs what is not in its hands."""

    def __init__(self, server: Server, host: Host, seed: int, say: Callable[[str], None]) -> None:
        self.kills: Counter[str] = Counter()
        self._server = server
        self._host = host
        self._dice = random.Random(seed)
        self._say = say
        self._known: dict[str, Known] = {}
        self._ended: dict[str, str] = {}
        self._wild: set[str] = set()
        self._marks = 0
        self._down = False

    async def run(self, kills: int) -> None:
        """Until that much was killed and all is well; raises AssertionError where it is not."""
        await self._server.begin(known=False)
        await self._server.ready()
        self._client = Client(self._server.url, self._server.key)
        try:
            rounds = 0
            while self.kills.total() < kills:
                rounds += 1
                await self._round()
                if rounds % COUNT_EVERY == 0:
                    await self._count()
            await self._finish()
        finally:
            await self._client.close()

    async def evidence(self) -> list[str]:
        """What is known of the sandboxes at a failure."""
        if not self._server.runs():
            return []
        client = Client(self._server.url, self._server.key)
        told = []
        for row in await client.all(state=EVERY_STATE):
            if row["id"] in self._known:
                told += [str(self._known[row["id"]]), str(row), str(await client.events(row["id"]))]
        await client.close()
        return told

    async def clean(self) -> None:
        """End whatever is left, after a failure."""
        await self._server.begin(known=True)
        await self._server.ready()
        client = Client(self._server.url, self._server.key)
        while found := await client.all():
            for each in found:
                await client.kill(each["id"])
        await client.close()
        await self._server.stop()

    # ── a round ──────────────────────────────────────────────────────────────────────────────────────

    async def _round(self) -> None:
        dice = self._dice
        self._down = dice.random() < 0.45
        self._wild.clear()
        work = [asyncio.create_task(each) for each in self._work()]
        shots = [
            asyncio.create_task(self._shoot())
            for _ in range(dice.choice((0, 1) if self._down else (2, 3, 4)))
        ]
        if self._down:
            await self._crash(shots)
        await asyncio.gather(*work, *shots)
        await self._settle()

    async def _crash(self, shots: list[asyncio.Task[None]]) -> None:
        """Kill the server, and some of those that are started in its place, each at some moment."""
        await asyncio.sleep(self._moment(0.4))
        await self._server.kill()
        self._count_kill("server")
        known = True
        while self._dice.random() < 0.45:
            # What a killed probe left is removed by the next one, so there must be one.
            known = known and self._dice.random() < 0.8
            await self._server.begin(known=known)
            await asyncio.sleep(self._moment(0.9))
            await self._server.kill()
            self._count_kill("server starting")
        await self._server.begin(known=known and self._dice.random() < 0.9)
        await self._server.ready()

    def _moment(self, longest_s: float) -> float:
        """Mostly early: most windows are short and near the beginning."""
        return longest_s * self._dice.random() ** 1.7

    # ── work ─────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> list[Awaitable[None]]:
        dice = self._dice
        work: list[Awaitable[None]] = []
        room = AT_MOST_ALIVE - len(self._known)
        for _ in range(dice.randint(min(1, room), max(0, min(3, room)))):
            self._marks += 1
            work.append(self._create(dice.choice(("gvisor", "container")), f"m{self._marks}"))
        for known in self._known.values():
            choices = [self._write, self._write, self._command, self._command, self._kill, None]
            if known.sleepy:
                choices += [self._resume, self._resume]
            else:
                choices += [self._time_out]
                if not known.timed:
                    choices += [self._pause] * (4 if known.tier == "gvisor" else 1)
            if (chosen := dice.choice(choices)) is not None:
                work.append(chosen(known, dice.random()))
        return work

    async def _create(self, tier: str, mark: str) -> None:
        answer = await self._client.create(tier, mark)
        self._say(
            f"create {tier} {mark}: {answer.status} {answer.content['id'] if answer.ok else answer.content}"
        )
        if not answer.ok:
            # A shot at whatever lives may have hit it before anybody knew its name.
            assert answer.status == 0 or self._down or self._wild, answer
            return
        known = self._known[answer.content["id"]] = Known(answer.content["id"], tier)
        if known.id in self._wild:
            known.hurt(State.FAILED, deadly=False)
        began = await self._client.begin(known.id, _WORK)
        if self._done(known, began) and known.id not in self._wild:
            known.worker = began.content["id"]

    async def _write(self, known: Known, chance: float) -> None:
        path, text = _PATHS[int(chance * 3)], f"{chance}"
        known.writing(path, text)
        if self._done(known, await self._client.write(known.id, path, text)):
            known.wrote(path, text)

    async def _command(self, known: Known, chance: float) -> None:
        path, text = _PATHS[int(chance * 3)], f"{chance}"
        known.writing(path, text)
        if self._done(
            known, await self._client.run(known.id, f"echo {text} > {path}.new; mv {path}.new {path}")
        ):
            known.wrote(path, text)

    async def _kill(self, known: Known, chance: float) -> None:
        known.hurt(State.KILLED, deadly=False)
        answer = await self._client.kill(known.id)
        self._say(f"kill {known.id}: {answer.status} {answer.content}")
        if answer.ok:
            known.hurt(State.KILLED, deadly=True)
        else:
            assert answer.status == 0 or self._down, answer

    async def _pause(self, known: Known, chance: float) -> None:
        """With its memory, where its tier has that, or its files alone."""
        memory = known.tier == "gvisor" and chance < 0.9
        known.sleepy = True
        if not memory:
            known.worker = None
        answer = await self._client.pause(known.id, memory=memory)
        self._say(f"pause {known.id} {memory=}: {answer.status} {'' if answer.ok else answer.content}")
        self._done(known, answer)

    async def _resume(self, known: Known, chance: float) -> None:
        answer = await self._client.resume(known.id)
        self._say(f"resume {known.id}: {answer.status} {'' if answer.ok else answer.content}")
        self._done(known, answer)

    async def _time_out(self, known: Known, chance: float) -> None:
        known.hurt(State.KILLED, deadly=False)
        known.timed = True
        answer = await self._client.set_timeout(known.id, 1 + chance)
        self._say(f"timeout {known.id}: {answer.status}")
        if self._done(known, answer):
            known.hurt(State.KILLED, deadly=True)

    def _done(self, known: Known, answer: Answer) -> bool:
        """Whether it was acknowledged. A refusal needs a cause."""
        if answer.ok:
            return True
        excused = self._down or known.may_end or known.id in self._wild or known.sleepy
        assert excused, (known, answer)
        assert answer.status in _REFUSALS, (known, answer)
        return False

    # ── shots ────────────────────────────────────────────────────────────────────────────────────────

    async def _shoot(self) -> None:
        """Kill some process that a sandbox is made of: mostly of one that is known, else of any."""
        dice = self._dice
        moment, at_known, pick, which = self._moment(0.4), dice.random() < 0.8, dice.random(), dice.random()
        await asyncio.sleep(moment)
        groups = self._host.groups()
        ids = sorted(set(groups) & set(self._known)) if at_known else sorted(groups)
        if not ids:
            return
        id = ids[int(pick * len(ids))]
        main = self._host.main_of(id)
        pids = [pid for pid in groups[id] if pid != main and _name_of(pid) != "stub"]
        if which < 0.5 and main is not None and main in groups[id]:
            self._hit(id, main, "main process")
        elif pids:
            pid = pids[int(which * 977) % len(pids)]
            self._hit(id, pid, _name_of(pid))

    def _hit(self, id: str, pid: int, what: str) -> None:
        self._wild.add(id)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        if (known := self._known.get(id)) is not None:
            # What is on disk by then needs no process any more.
            known.hurt(State.FAILED, deadly=what == "main process" and not known.sleepy)
            known.worker = None
        self._count_kill(f"{what} of {known.tier if known else 'one being made'}")
        self._say(f"shot {what} of {id}")

    def _count_kill(self, what: str) -> None:
        self.kills[what] += 1
        self._say(f"kill {self.kills.total()}: {what}")

    # ── what must be true ────────────────────────────────────────────────────────────────────────────

    async def _settle(self) -> None:
        """Wait until nothing is in between, and compare what is with what was said."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while True:
            listed = {each["id"]: each for each in await self._client.all()}
            between = [id for id, each in listed.items() if each["state"] not in _AT_REST]
            late = [id for id, known in self._known.items() if known.must_end and id in listed]
            if not between and not late:
                break
            assert time.monotonic() < deadline, f"in between: {between}; must have ended: {late}"
            await asyncio.sleep(0.05)
        for id, each in listed.items():
            assert id not in self._ended, f"{id} had ended, and runs"
            self._known.setdefault(id, Known(id, each["isolation"]))
        for known in list(self._known.values()):
            if known.id not in listed:
                await self._must_have_ended(known)
            elif listed[known.id]["state"] == State.RUNNING or self._dice.random() < 0.4:
                await self._must_live(known)
            else:
                assert known.sleepy, f"{known.id} is paused, and nobody wanted that"

    async def _must_live(self, known: Known) -> None:
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while not (answer := await self._client.run(known.id, _SHOW)).ok:
            assert known.may_end or known.id in self._wild, f"{known.id} must live: {answer}"
            assert time.monotonic() < deadline, f"{known.id} neither answers nor has ended: {answer}"
            if State((await self._client.get(known.id)).content["state"]).ended:
                known.hurt(State.FAILED, deadly=True)
                await self._must_have_ended(known)
                return
            await asyncio.sleep(0.1)
        lines = (line.partition(" ") for line in answer.content.decode().splitlines())
        wrong = known.compare({path: text for path, _, text in lines})
        assert not wrong, "\n".join(wrong)
        known.survived()
        if known.worker is not None:
            worker = await self._client.command(known.id, known.worker)
            assert worker.ok, f"{known.id}: its background process: {worker}"
            assert worker.content["running"], f"{known.id}: its background process: {worker}"

    async def _must_have_ended(self, known: Known) -> None:
        found = (await self._client.get(known.id)).content
        wrong = explained(known.id, found["state"], await self._client.events(known.id))
        if found["state"] not in known.may_end:
            wrong.append(f"{known.id} is {found['state']} ({found['reason']}), and may not be: {known}")
        if not found["reason"]:
            wrong.append(f"{known.id} is {found['state']} without a reason")
        assert not wrong, "\n".join(wrong)
        self._ended[known.id] = found["state"]
        del self._known[known.id]

    async def _count(self) -> None:
        """Everything on the host has its sandbox, every sandbox its things, and the pools are full."""
        for known in list(self._known.values()):
            await self._must_live(known)  # so that all of them have all things
        await asyncio.to_thread(self._host.expect, list(self._known))

    async def _finish(self) -> None:
        await self._count()
        for known in list(self._known.values()):
            assert (await self._client.kill(known.id)).ok
            known.hurt(State.KILLED, deadly=True)
        await self._settle()
        await self._count()
        for row in await self._client.all(state=EVERY_STATE):
            known_end = self._ended.get(row["id"])
            assert known_end in (None, row["state"]), f"{row['id']} was {known_end}, and is {row['state']}"
            assert State(row["state"]).ended, row
            assert not explained(row["id"], row["state"], await self._client.events(row["id"])), row
        await self._server.stop()
        await asyncio.to_thread(self._host.expect_nothing)


def _name_of(pid: int) -> str:
    """Of gVisor's the part it plays: all of them are called alike."""
    process = Path(f"/proc/{pid}")
    try:
        name, command = (process / "comm").read_text().strip(), (process / "cmdline").read_bytes()
    except OSError:
        return "?"
    if name != "exe":
        return name
    return "gofer" if b"gofer" in command else "sandbox" if command else "stub"
