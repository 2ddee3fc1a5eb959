"""What a newcomer runs first, as a process of its own: it checks itself, and says so by its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600


def test_the_demo_does_its_job_and_keeps_the_host_whole(footprint: Footprint) -> None:
    environment = os.environ | {"SANDLOT_TEMPLATES_DIR": str(TEMPLATES_DIR), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "examples.demo", "--quick"]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert "fork bomb" in ran.stdout.lower()
