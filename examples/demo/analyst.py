"""Replays the agent's steps in a sandbox, and checks its answer against the host's own computation."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandlot import AsyncSandbox

from . import verify
from .checks import Check, Ledger
from .clock import Clock
from .report import Report
from .transcript import STEPS, TASK, Step

SUBJECT = "the agent's job"
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Outcome:
    """What one step gave back."""

    text: str
    error: str | None
    pictures: tuple[bytes, ...]
    seconds: float


class Analyst:
    """The agent's side: files go in, steps run, charts and a clean table come out into ``out``."""

    def __init__(self, report: Report, ledger: Ledger, clock: Clock, out: Path) -> None:
        self._report = report
        self._ledger = ledger
        self._clock = clock
        self._out = out
        self._charts = 0

    async def work(self, files: Mapping[str, Path]) -> None:
        """Raises SandboxError when the sandbox fails; what the code does wrong is a failed check."""
        self._report.task(TASK)
        with self._clock.time("create, code-interpreter"):
            sandbox = await AsyncSandbox.create("code-interpreter", memory_mib=2048, timeout=600)
        async with sandbox:
            with self._clock.time("first command after create, code-interpreter"):
                await sandbox.commands.run("true", check=True)
            with self._clock.time("first run_code (starts the interpreter)"):
                await sandbox.run_code("1 + 1")
            for _ in range(10):
                with self._clock.time("run_code('1 + 1')"):
                    await sandbox.run_code("1 + 1")
            expected = asyncio.create_task(asyncio.to_thread(verify.compute, files))
            for name, path in files.items():
                await sandbox.files.upload(path, name)
            self._report.files_in(files)
            await self._replay(sandbox)
            answer = await sandbox.files.read("answer.json")
            table = await sandbox.files.download("flights_clean.csv", self._out / "flights_clean.csv")
            self._report.file_out(table)
        self._check_answer(answer, await expected)
        self._check_table(table, await expected)

    async def _replay(self, sandbox: AsyncSandbox) -> None:
        for number, step in enumerate(STEPS, 1):
            self._report.step(number, len(STEPS), step)
            outcome = await self._run(sandbox, step)
            self._report.outcome(outcome.text, outcome.error, outcome.seconds)
            self._check_step(number, step, outcome)

    async def _run(self, sandbox: AsyncSandbox, step: Step) -> Outcome:
        started = time.monotonic()
        if step.shell:
            result = await sandbox.commands.run(step.code, timeout=step.timeout)
            error = None if result.ok else f"exit code {result.exit_code}: {result.stderr}"
            return Outcome(result.stdout, error, (), time.monotonic() - started)
        execution = await sandbox.run_code(step.code, timeout=step.timeout)
        text = "".join(execution.logs.stdout)
        pictures = tuple(base64.b64decode(result.png) for result in execution.results if result.png)
        text += "\n".join(result.text for result in execution.results if result.text and not result.png)
        error = f"{execution.error.name}: {execution.error.value}" if execution.error else None
        return Outcome(text, error, pictures, time.monotonic() - started)

    def _check_step(self, number: int, step: Step, outcome: Outcome) -> None:
        for picture in outcome.pictures:
            self._charts += 1
            path = self._out / f"chart-{self._charts}.png"
            path.write_bytes(picture)
            self._report.file_out(path)
            whole = picture.startswith(_PNG) and len(picture) > 10_000
            self._ledger.add(SUBJECT, Check("the chart is a picture", whole, f"{len(picture):,} bytes"))
        expected = step.raises or "no error"
        found = (outcome.error or "no error").splitlines()[0]
        self._ledger.add(
            SUBJECT, Check(f"step {number} ends with {expected}", found.startswith(expected), found)
        )

    def _check_answer(self, text: str, expected: verify.Answer) -> None:
        try:
            loaded = json.loads(text)
        except (ValueError, RecursionError):
            loaded = None
        answer: dict[str, Any] = loaded if isinstance(loaded, dict) else {}
        wrong = verify.differences(answer, expected)
        detail = "; ".join(wrong) or f"{len(expected)} of {len(expected)} figures agree"
        check = Check(
            "the agent's figures are those that the host computes from the raw files", not wrong, detail
        )
        self._ledger.add(SUBJECT, check)
        self._report.answer(answer, expected, check)

    def _check_table(self, table: Path, expected: verify.Answer) -> None:
        rows = verify.count_clean(table)
        same = rows.total() == expected["flights"] and all(
            rows[status] == expected[status] for status in ("cancelled", "diverted")
        )
        check = Check(
            "the clean table holds every flight, once", same, f"{rows.total():,} rows, {dict(rows)}"
        )
        self._ledger.add(SUBJECT, check)
        self._ledger.add(SUBJECT, Check("a chart came out", self._charts > 0, f"{self._charts} charts"))
