"""Every example is run as it stands: those in the SDK's docstrings, and those in README.md and docs/.

Those of docs/api.md are for a shell, and those in examples/ are programs of their own.

The convention: a fence that begins with ```python is a program. In a docstring it finds ``sandbox``, one of
its own. On a page the blocks are one program, from top to bottom, with ``sandbox`` there too. ``await``
works.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandlot import AsyncSandbox, Sandbox
from sandlot.server.local import LocalServer
from tests.compat.e2b.environment import environment_of

ROOT = Path(__file__).parents[2]
SDK = ROOT / "src" / "sandlot" / "sdk"
_FENCE = re.compile(r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
_SHELL_FENCE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELL_PAGE_S = 300


@dataclass(frozen=True)
class Example:
    file: Path
    line: int
    code: str
    name: str = ""

    @property
    def id(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}" + (f" {self.name}" if self.name else "")

    @property
    def is_for_interpreter(self) -> bool:
        return "run_code" in self.code or "contexts" in self.code

    def run(self, variables: dict[str, Any]) -> None:
        """Lines in a traceback are those of the file."""
        source = "\n" * (self.line - 1) + self.code
        code = compile(source, self.file, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, variables))
        else:
            exec(code, variables)


def blocks(file: Path, text: str, first_line: int, name: str = "") -> Iterator[Example]:
    for found in _FENCE.finditer(text):
        line = first_line + text[: found.start("code")].count("\n")
        yield Example(file, line, textwrap.dedent(found["code"]), name)


def docstring_examples() -> Iterator[Example]:
    for file in sorted(SDK.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            text = ast.get_docstring(node, clean=False)
            if text:
                yield from blocks(file, text, node.body[0].lineno, node.name)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


IN_DOCSTRINGS = list(docstring_examples())


@pytest.fixture(autouse=True)
def place(server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live server in the environment, and a folder of the example's own."""
    assert os.environ["SANDLOT_URL"]
    assert os.environ["SANDLOT_API_KEY"]
    for name, value in environment_of(server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def test_the_examples_are_found() -> None:
    names = {example.name for example in IN_DOCSTRINGS}
    assert {"create", "run_code", "download", "Terminal", "AsyncSandbox"} <= names


@pytest.mark.parametrize("example", IN_DOCSTRINGS, ids=lambda example: example.id)
def test_docstring(example: Example) -> None:
    with Sandbox.create("code-interpreter" if example.is_for_interpreter else "base") as sandbox:
        given: Any = sandbox
        if "_async" in example.file.parts:
            given = asyncio.run(AsyncSandbox.connect(sandbox.id))
        example.run({"__name__": "__main__", "sandbox": given})


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page: Path) -> None:
    found = list(blocks(page, page.read_text(), 1))
    if not found:
        return
    with Sandbox.create("code-interpreter", timeout=600) as sandbox:
        variables: dict[str, Any] = {"__name__": "__main__", "sandbox": sandbox}
        for example in found:
            example.run(variables)


def test_the_page_of_the_api_in_one_shell() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    script = "\n".join(["set -euo pipefail", *_SHELL_FENCE.findall(page)])
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=_SHELL_PAGE_S
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for sandbox in Sandbox.list(metadata={"job": "tour"}):
        pytest.fail(f"the page left {sandbox.id} in state {sandbox.state}")


def test_forks_try_what_their_parent_does_not() -> None:
    program = ROOT / "examples" / "fork_and_try.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    scores = {line[:18].strip(): line[18:].split()[0] for line in lines[:-1]}
    assert scores["is right"] == "100.0%"
    assert scores["never ends"] == scores["spoils the data"] == "0.0%"
    assert lines[-1] == "The parent goes on with the one that is right: (2, 1000)"
