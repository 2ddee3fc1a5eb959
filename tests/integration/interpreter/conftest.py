"""The real Python kernel, run by this Python, under the real interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandlot.core.interpreter import CodeEvent, Done, ErrorEvent, Interpreter, Limits, Result, Stderr, Stdout
from tests.unit.core.interpreter.local_guest import LocalGuest

# The kernel needs IPython, and its results want matplotlib and the like; they come with the dev extra.
PYTHON = os.environ.get("SANDLOT_KERNEL_PYTHON", sys.executable)
MAIN = Path(__file__).parents[3] / "guest" / "kernels" / "python" / "main.py"
KERNEL = [PYTHON, str(MAIN)]


@dataclass
class Execution:
    """All that a run said."""

    events: list[CodeEvent] = field(default_factory=list)

    def _text(self, kind: type[Stdout] | type[Stderr]) -> str:
        return "".join(event.text for event in self.events if isinstance(event, kind))

    @property
    def stdout(self) -> str:
        return self._text(Stdout)

    @property
    def stderr(self) -> str:
        return self._text(Stderr)

    @property
    def results(self) -> list[Result]:
        return [event for event in self.events if isinstance(event, Result)]

    @property
    def text(self) -> str | None:
        return next((result.text for result in self.results if result.is_main), None)

    @property
    def error(self) -> ErrorEvent | None:
        errors = [event for event in self.events if isinstance(event, ErrorEvent)]
        assert len(errors) < 2
        return errors[0] if errors else None

    @property
    def done(self) -> Done:
        last = self.events[-1]
        assert isinstance(last, Done)
        assert sum(isinstance(event, Done) for event in self.events) == 1
        return last


class Lab:
    """An interpreter to ask things of."""

    def __init__(self, guest: LocalGuest, interpreter: Interpreter) -> None:
        self.guest = guest
        self.interpreter = interpreter

    async def run(
        self,
        code: str,
        *,
        context: str | None = None,
        env: dict[str, str] | None = None,
        timeout: float | None = 60,
        seen: Callable[[CodeEvent], None] | None = None,
    ) -> Execution:
        execution = Execution()
        async for event in self.interpreter.run(code, context=context, env=env, timeout=timeout):
            execution.events.append(event)
            if seen is not None:
                seen(event)
        assert execution.done
        return execution

    async def value(self, code: str, *, context: str | None = None) -> str | None:
        execution = await self.run(code, context=context)
        assert execution.error is None, execution.error
        return execution.text


def interpreter_in(guest: LocalGuest, cwd: Path, limits: Limits = Limits()) -> Interpreter:
    return Interpreter(
        guest.agent,
        {"python": KERNEL},
        template="code-interpreter",
        user="user",
        cwd=str(cwd),
        env={"HOME": str(cwd), "FROM_SANDBOX": "yes"},
        limits=limits,
    )


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    """What the kernel and these tests import. Without it nothing here can pass, and should not seem to."""
    names = ["IPython", "PIL", "matplotlib", "numpy", "pandas", "plotly", "sympy"]
    code = f"import importlib.util as u; print(*[n for n in {names} if u.find_spec(n) is None])"
    missing = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    if missing:
        pytest.fail(f"{PYTHON} lacks {missing}: install the dev extra, or name another SANDLOT_KERNEL_PYTHON")


@pytest.fixture
async def guest() -> AsyncIterator[LocalGuest]:
    guest = LocalGuest()
    yield guest
    await guest.close()


@pytest.fixture
async def lab(guest: LocalGuest, tmp_path: Path) -> AsyncIterator[Lab]:
    interpreter = interpreter_in(guest, tmp_path)
    yield Lab(guest, interpreter)
    await interpreter.close()
