from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging, sys, structlog
from sandlot.server import logs
logs.configure("info", sys.argv[1])
log = structlog.get_logger("x")
structlog.contextvars.bind_contextvars(request_id="r1")
log.debug("hidden")
log.info("shown", sandbox="sb1")
logging.getLogger("uvicorn.error").info("connection open /terminal?api_key=sl_secret")
local = "sl_" + "secret"
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
    logging.getLogger("library").exception("broken too")
"""


def run(format: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, format], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "sl_secret" not in done.stderr
    return done.stderr


def test_lines_for_machines() -> None:
    shown, broken, library = [json.loads(line) for line in run("auto").splitlines()]
    assert (shown["event"], shown["sandbox"], shown["request_id"], shown["level"]) == (
        "shown",
        "sb1",
        "r1",
        "info",
    )
    assert broken["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert (library["event"], library["request_id"]) == ("broken too", "r1")


def test_lines_for_people() -> None:
    text = run("text")
    assert "shown" in text
    assert "ZeroDivisionError" in text
