"""`pip install .` yields a package that works without the checkout, the guest agent inside."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600

LOOK = """
import os, pathlib, sandlot.images
from sandlot.node.host import agent_binary
agent = agent_binary()
assert os.access(agent, os.X_OK), agent
kernels = pathlib.Path(sandlot.images.__file__).parent / "kernels"
assert (kernels / "python" / "main.py").is_file(), kernels
print(agent)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    [built] = folder.glob("sandlot-*.whl")
    return built


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True, timeout=TIMEOUT_S)


def test_the_wheel_carries_the_agent_of_both_architectures(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.rpartition("/")[2] for name in names if "agent/bin/" in name} == {
        "agent-x86_64",
        "agent-aarch64",
    }
    assert any(name.endswith("LICENSE") for name in names)


def test_what_is_installed_needs_no_checkout(wheel: Path, tmp_path: Path) -> None:
    """What it depends on comes from the environment of the tests."""
    pip("install", "--no-deps", "--target", str(tmp_path), str(wheel))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", LOOK]
    found = subprocess.run(command, cwd="/", env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.startswith(str(tmp_path))
