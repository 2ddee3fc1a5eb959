"""One day's work through each version of E2B's JavaScript client, of either generation of its API."""

from __future__ import annotations

from typing import Any

import pytest

from sandlot.server.local import LocalServer

from .clients import of_kind
from .day import PARTS, WITHOUT_CODE, work

Outcome = dict[str, Any]


@pytest.fixture(scope="module", params=of_kind("javascript"), ids=str)
def outcome(request: pytest.FixtureRequest, server: LocalServer) -> Outcome:
    return work(request.param, PARTS if request.param.code_by_url else WITHOUT_CODE)


def test_sandboxes(outcome: Outcome) -> None:
    facts = outcome["sandboxes"]
    assert isinstance(facts, dict), facts
    assert 119 <= facts.pop("lasts") <= 180  # counted from when it began to be made
    assert facts == {
        "pages": [1, 1],
        "both": True,
        "metadata": True,
        "state": "running",
        "longer": True,
        "given": "1\n",
        "running": True,
        "metrics": True,
        "killed": [True, False],
        "runsOn": False,
    }


def test_commands(outcome: Outcome) -> None:
    assert outcome["commands"] == {
        "done": [0, "out\nä\n/tmp\n", "err\n", "out\nä\n/tmp\n"],
        "asRoot": "root\n",
        "failed": ["CommandExitError", 3, "no\n"],
        "timedOut": "TimeoutError",
        "listed": 1,
        "answered": "got ping\n",
        "killed": [True, False],
        "endedBy": "CommandExitError",
    }


def test_a_terminal(outcome: Outcome) -> None:
    assert outcome["terminal"] == {"exitCode": 0, "size": True}


def test_files(outcome: Outcome) -> None:
    assert outcome["files"] == {
        "written": "/home/user/notes/text.txt",
        "several": ["/tmp/several/a", "/tmp/several/b"],
        "text": "a",
        "bytes": True,
        "blob": True,
        "streamed": True,
        "made": [True, False],
        "renamed": "/home/user/notes/new.txt",
        "seen": ["text.txt", "new.txt"],
        "listed": ["deep", "deeper", "new.txt"],
        "size": True,
        "there": [True, False],
        "gone": True,
    }


def test_code(outcome: Outcome) -> None:
    if "code" not in outcome:
        pytest.skip("this version finds interpreters by their host name only; see test_domain.py")
    assert outcome["code"] == {
        "text": "42",
        "said": ["hello\n"],
        "error": "ZeroDivisionError",
        "elsewhere": "('/tmp', False)",
        "chart": "bar",
        "timedOut": "TimeoutError",
        "kept": "20",
        "given": "1",
    }


def test_pausing(outcome: Outcome) -> None:
    facts = outcome["pausing"]
    assert isinstance(facts, dict), facts
    assert facts.pop("refused") in ("SandboxNotFoundError", "SandboxNotRunningError", "TimeoutError")
    assert facts == {
        "paused": [True, False],
        "cutOff": True,
        "state": "paused",
        "running": [False, True],
        "goesOn": "got it\n",
    }


def test_snapshots(outcome: Outcome) -> None:
    facts = outcome["snapshots"]
    assert isinstance(facts, dict), facts
    assert facts.pop("forks") in (2, None)  # older ones have none
    assert facts == {"read": "kept", "listed": True, "deleted": [True, False]}


def test_errors(outcome: Outcome) -> None:
    facts = outcome["errors"]
    assert isinstance(facts, dict), facts
    assert facts.pop("noFolder") in ("FileNotFoundError", "NotFoundError")
    assert facts == {
        "wrongKey": "AuthenticationError",
        "noTemplate": "SandboxError",
        "noSandbox": "SandboxNotFoundError",
        "ended": "SandboxNotFoundError",
        "noProcess": "NotFoundError",
    }
