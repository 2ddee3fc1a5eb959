"""Runs programs, each in a fresh sandbox, a few at a time, and judges what came of them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sandlot import AsyncSandbox, CommandResult, NotFoundError, SandboxError, SandboxGoneError
from tests.hostile.building import LIBS
from tests.hostile.partners import PARTNERS
from tests.hostile.program import BAD, Program
from tests.hostile.witness import Group, Witness

AT_ONCE = 4
_KEPT_BYTES = 4000
_VERDICT = re.compile(r"^VERDICT (\w+)(.*)$", re.MULTILINE)
_TOLERANCE_S = 30.0
_MARGIN_S = 60.0

_RUN: Mapping[str, tuple[str, ...]] = {
    ".awk": ("awk", "-f"),
    ".js": ("node",),
    ".pl": ("perl", "-I.", "-w"),
    ".py": ("python3",),
    ".sh": ("bash",),
    ".sql": ("sqlite3", "-batch", ":memory:", "-init"),
}
_LIBRARY: Mapping[str, str] = {
    ".js": "verdict.js",
    ".pl": "Verdict.pm",
    ".py": "verdict.py",
    ".sh": "verdict.sh",
}


@dataclass(frozen=True)
class Result:
    """What came of one program on one tier. ``harm`` is what the host saw; it must be empty."""

    program: str
    tier: str
    outcome: str
    said: str
    expected: tuple[str, ...]
    sandbox: str = ""
    seconds: float = 0.0
    harm: tuple[str, ...] = ()
    output: str = field(default="", repr=False)
    again: bool = False

    @property
    def applicable(self) -> bool:
        return bool(self.expected)

    @property
    def as_expected(self) -> bool:
        return not self.applicable or (self.outcome in self.expected and not self.harm)

    @property
    def explained(self) -> str:
        """In a sentence, for whoever reads that a test failed."""
        expected = " or ".join(self.expected)
        harm = "".join(f"\n  HARM: {one}" for one in self.harm)
        return (
            f"{self.program} on {self.tier}: {self.outcome} ({self.said}), expected {expected}; "
            f"sandbox: {self.sandbox}{harm}\n{printable(self.output[-2000:])}"
        )

    def to_dict(self) -> dict[str, object]:
        return asdict(self) | {"as_expected": self.as_expected}


class Tail:
    """The end of an output, however long it is, and whether something secret was anywhere in it."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = secrets
        self._overlap = max(map(len, secrets))
        self._kept = b""
        self.leaked = False

    def add(self, text: str) -> None:
        joined = self._kept[-self._overlap :] + text.encode(errors="replace")
        self.leaked = self.leaked or any(secret in joined for secret in self._secrets)
        self._kept = (self._kept + text.encode(errors="replace"))[-_KEPT_BYTES:]

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")


def printable(text: str) -> str:
    """Hostile output without anything that a terminal would obey."""
    return "".join(letter if letter in "\n\t" or letter.isprintable() else "·" for letter in text)


async def run_all(
    work: Iterable[tuple[Program, str]],
    binaries: Mapping[str, Path],
    witness: Witness,
    told: Callable[[Result], None],
) -> list[Result]:
    """The longest first; ``told`` hears of each result as it comes.

    What came out otherwise than expected without any harm may have lacked time only: it is tried once more,
    alone.
    """
    waiting = sorted(work, key=lambda each: (each[0].timeout, each[0].name), reverse=True)
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(program: Program, tier: str) -> Result:
        async with slots:
            result = await run_one(program, tier, binaries, witness)
            told(result)
            return result

    results = await asyncio.gather(*(one(program, tier) for program, tier in waiting))
    for index, ((program, tier), result) in enumerate(zip(waiting, results, strict=True)):
        if not result.as_expected and not result.harm and result.outcome != "escaped":
            results[index] = replace(await run_one(program, tier, binaries, witness), again=True)
            told(results[index])
    return sorted(results, key=lambda result: (result.program, result.tier))


async def run_one(program: Program, tier: str, binaries: Mapping[str, Path], witness: Witness) -> Result:
    expected = program.expected[tier]
    if not expected.outcomes:
        return Result(program.name, tier, "not applicable", expected.remark, ())
    started = time.monotonic()
    try:
        sandbox = await AsyncSandbox.create(
            program.template,
            isolation=tier,
            cpus=1,
            memory_mib=program.memory,
            disk_mib=program.disk,
            pids=program.pids,
            internet=program.internet,
            timeout=program.timeout + _MARGIN_S,
            metadata={"program": program.name},
        )
    except SandboxError as error:
        return Result(
            program.name, tier, "broken", f"there was no sandbox for it: {error}", expected.outcomes
        )
    try:
        result = await _watched(program, tier, sandbox, binaries, witness)
    finally:
        with suppress(SandboxError):
            await sandbox.kill()
    return replace(result, seconds=round(time.monotonic() - started, 2))


async def _watched(
    program: Program, tier: str, sandbox: AsyncSandbox, binaries: Mapping[str, Path], witness: Witness
) -> Result:
    started = time.monotonic()
    before = witness.group(sandbox.id)
    # Root of a gVisor sandbox may look into its agent, whose secret opens nothing but the same sandbox.
    secrets = witness.secrets(sandbox.id, agents=tier != "gvisor" or program.user != "root")
    tails = Tail(secrets), Tail(secrets)
    outcome, said = await _attack(program, sandbox, binaries, witness, tails)
    state = await _state(sandbox)
    harm = await witness.harm(tier, started)
    with suppress(OSError):
        harm += _unlimited(before, witness.group(sandbox.id))
    if any(tail.leaked for tail in tails):
        harm.append("something secret is in its output")
    return Result(
        program=program.name,
        tier=tier,
        outcome="escaped" if harm else outcome,
        said=said,
        expected=program.expected[tier].outcomes,
        sandbox=state,
        harm=tuple(harm),
        output="\n".join(tail.text.strip() for tail in tails),
    )


async def _attack(
    program: Program,
    sandbox: AsyncSandbox,
    binaries: Mapping[str, Path],
    witness: Witness,
    tails: tuple[Tail, Tail],
) -> tuple[str, str]:
    """The outcome, and what the program said about it."""
    try:
        command = await _upload(program, sandbox, binaries)
        running = asyncio.ensure_future(
            sandbox.commands.run(
                command,
                cwd="/home/user/attack",
                env=witness.told(),
                user=program.user,
                timeout=program.timeout,
                on_stdout=tails[0].add,
                on_stderr=tails[1].add,
                max_output=1,
            )
        )
        try:
            if program.partner is not None:
                partner = PARTNERS[program.partner]
                outcome, said = await asyncio.wait_for(partner(sandbox, witness.secret), program.timeout)
                return outcome, said
            result = await asyncio.wait_for(running, program.timeout + _TOLERANCE_S)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    except (SandboxGoneError, NotFoundError) as error:
        return "ended", f"the sandbox ended: {error}"
    except TimeoutError:
        return "stopped", "it did not end, nor could the sandbox say so"
    except SandboxError as error:
        return "ended", f"the sandbox no longer answers: {error}"
    return _judged(result, tails[0].text)


def _judged(result: CommandResult, output: str) -> tuple[str, str]:
    """A program's own word goes first; where it has none, how it ended tells."""
    if words := _VERDICT.findall(output):
        outcome, said = words[-1]
        return outcome, printable(said.strip())
    if result.timed_out:
        return "stopped", "its time was over"
    if result.oom:
        return "ended", "out of memory"
    if 128 < result.exit_code <= 128 + 64:
        return "ended", f"by signal {result.exit_code - 128}"
    return "broken", f"it exited with {result.exit_code} and no verdict"


async def _upload(program: Program, sandbox: AsyncSandbox, binaries: Mapping[str, Path]) -> list[str]:
    source = binaries.get(program.name, program.path)
    target = f"attack/{program.path.stem}{program.path.suffix if source is program.path else ''}"
    await sandbox.files.write(target, source.read_bytes(), mode=0o755)
    if library := _LIBRARY.get(program.path.suffix):
        await sandbox.files.write(f"attack/{library}", (LIBS / library).read_bytes())
    return [*_RUN.get(program.path.suffix, ()), f"/home/user/{target}"]


async def _state(sandbox: AsyncSandbox) -> str:
    """Whether the sandbox that was attacked from inside still works."""
    try:
        result = await asyncio.wait_for(sandbox.commands.run("echo here", timeout=8), 12)
    except (SandboxGoneError, NotFoundError):
        return "ended"
    except (SandboxError, TimeoutError):
        return "does not answer"
    return "answers" if result.stdout == "here\n" else "is full"


def _unlimited(before: Group, after: Group) -> list[str]:
    found = []
    if before.limits != after.limits:
        found.append(f"the limits of its control group changed: {before.limits} to {after.limits}")
    if after.memory_peak > after.limits["memory"]:
        found.append(f"it held {after.memory_peak} bytes of memory, above {after.limits['memory']}")
    return found


def write_json(results: Sequence[Result], path: Path) -> None:
    path.write_text(json.dumps([result.to_dict() for result in results], indent=1) + "\n")


def failures(results: Iterable[Result]) -> list[Result]:
    return [result for result in results if not result.as_expected or result.outcome in BAD]
