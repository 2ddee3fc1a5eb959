"""What importing costs, what is exported, and that the generated half is up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sandlot
import sandlot.sdk

ROOT = Path(__file__).parents[3]


def loaded_by(statement: str) -> set[str]:
    program = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_next_to_nothing() -> None:
    assert not loaded_by("import sandlot") & {"httpx", "asyncio", "sandlot.sdk", "pydantic", "rich"}


def test_the_blocking_client_does_not_load_the_other() -> None:
    loaded = loaded_by("from sandlot import Sandbox")
    assert "sandlot.sdk._sync.sandbox" in loaded
    assert not loaded & {"sandlot.sdk._async.sandbox", "websockets", "pydantic", "fastapi", "sandlot.errors"}


def test_the_server_does_not_carry_the_client() -> None:
    assert not {name for name in loaded_by("import sandlot.server.run") if name.startswith("sandlot.sdk")}


def test_every_name_can_be_imported_from_both_places() -> None:
    for name in sandlot.sdk.__all__:
        assert getattr(sandlot, name) is getattr(sandlot.sdk, name)
    assert {*sandlot.sdk.__all__, "__version__"} == set(sandlot.__all__)
    with pytest.raises(AttributeError, match="Sandbocks"):
        sandlot.Sandbocks  # noqa: B018


def test_the_blocking_half_is_what_the_script_writes() -> None:
    check = [sys.executable, str(ROOT / "script/generate-sync"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, f"run script/generate-sync:\n{done.stdout}{done.stderr}"
