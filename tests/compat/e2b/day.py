"""One day's work, as a program of its own, through any client of the matrix."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .clients import HERE, Client, modules_of, node, python_of

PARTS: Final = ("sandboxes", "commands", "terminal", "files", "code", "pausing", "snapshots", "errors")
WITHOUT_CODE: Final = tuple(part for part in PARTS if part != "code")
_PATIENCE_S: Final = 300


def work(
    client: Client,
    parts: Sequence[str],
    environment: Mapping[str, str] | None = None,
    through: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """What came of each part: facts, or the text of an error. ``through`` is a command that becomes it."""
    program = HERE / "scenarios"
    if client.kind == "python":
        command = [python_of(client), "-W", "ignore", program / "scenario.py"]
    else:
        command = [node(), program / "scenario.mjs", modules_of(client)]
    done = subprocess.run(
        [*through, *command, *parts],
        env=os.environ if environment is None else environment,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
