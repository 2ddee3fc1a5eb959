"""What there is to do with E2B's packages, found in the packages, and what the tests show to work."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import e2b
import e2b_code_interpreter
from e2b.sandbox_sync.commands.command import Commands
from e2b.sandbox_sync.commands.pty import Pty
from e2b.sandbox_sync.filesystem.filesystem import Filesystem

HERE: Final = Path(__file__).parent
CLASSES: Final[Mapping[str, type]] = {
    "Sandbox": e2b_code_interpreter.Sandbox,
    "commands": Commands,
    "CommandHandle": e2b.CommandHandle,
    "pty": Pty,
    "files": Filesystem,
    "WatchHandle": e2b.WatchHandle,
    "git": e2b.Git,
    "SandboxPaginator": e2b.SandboxPaginator,
    "SnapshotPaginator": e2b.SnapshotPaginator,
    "Template": e2b.Template,
    "Volume": e2b.Volume,
    "Secret": e2b.Secret,
    "SecretPaginator": e2b.SecretPaginator,
}
"""By the names under which users know them."""


def methods(name: str) -> list[str]:
    """``Sandbox.create`` and the like, in the order of the package's source."""
    owner = CLASSES[name]
    found = [each for base in owner.__mro__ for each in vars(base) if not each.startswith("_")]
    # Some are descriptors of the package's own, which give a class one function and its instances another.
    return [f"{name}.{each}" for each in dict.fromkeys(found) if inspect.isroutine(getattr(owner, each))]


def exceptions() -> list[str]:
    """The errors that the client raises."""
    classes = [value for value in vars(e2b).values() if inspect.isclass(value)]
    return sorted(each.__name__ for each in classes if issubclass(each, Exception))


def api() -> list[str]:
    """``POST /sandboxes`` and the like: what the client's generated half can send."""
    root = Path(e2b.__file__).parent
    files = [*(root / "api/client/api").rglob("*.py"), *(root / "volume/client/api").rglob("*.py")]
    found = {operation for file in files if (operation := _operation(file.read_text())) is not None}
    return sorted(found, key=lambda operation: [*reversed(operation.split())])


def _operation(source: str) -> str | None:
    method = re.search(r'"method": "(\w+)"', source)
    path = re.search(r'"url": f?"([^"]+)"', source)
    if method is None or path is None:
        return None
    return f"{method[1].upper()} {path[1].replace('_}', '}')}"


def marks() -> set[str]:
    """What tests are marked with, whatever they call a path's parameters and be they async."""
    return {
        canonical(mark) for file in HERE.glob("test_*.py") for mark in _marks_in(ast.parse(file.read_text()))
    }


def canonical(operation: str) -> str:
    """One name for each."""
    snake = re.sub(
        r"\{(\w+)\}", lambda found: "{" + re.sub(r"([a-z])ID\b", r"\1_id", found[1]) + "}", operation
    )
    return snake.removeprefix("Async")


def _marks_in(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.e2b":
            yield from (str(ast.literal_eval(argument)) for argument in call.args)
