"""docs/e2b.md says what the tests show and the door admits, of everything that E2B's packages can do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_the_page_is_as_it_would_be_generated() -> None:
    check = [sys.executable, str(ROOT / "script/generate-e2b"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, f"run script/generate-e2b:\n{done.stdout}{done.stderr}"
