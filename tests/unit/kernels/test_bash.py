"""The Bash kernel as a process, with the host's own bash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MAIN = Path(__file__).parents[3] / "guest" / "kernels" / "bash" / "main.py"


class Kernel:
    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(MAIN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"},
            start_new_session=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": "1", **request}).encode() + b"\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def run(self, code: str, *, interrupt_at: str | None = None, **options: Any) -> list[dict[str, Any]]:
        """All events of the run but the last; interrupted once it has said ``interrupt_at``."""
        events = [self.ask(op="run", code=code, **options)]
        while events[-1]["type"] != "done":
            if interrupt_at and interrupt_at in events[-1].get("text", ""):
                self.process.send_signal(signal.SIGINT)
                interrupt_at = None
            events.append(self.hear())
        return events[:-1]

    def stdout(self, code: str, **options: Any) -> str:
        return "".join(e["text"] for e in self.run(code, **options) if e["type"] == "stdout")


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path)
    assert kernel.ask(op="hello", context={"cwd": "/", "env": {}})["type"] == "ready"
    yield kernel
    os.killpg(kernel.process.pid, signal.SIGKILL)
    kernel.process.communicate()


def test_functions_options_and_folder_are_kept(kernel: Kernel) -> None:
    kernel.run("greet() { echo hello $1; }; shopt -s nullglob; cd /")
    assert kernel.stdout("greet you; shopt nullglob; pwd") == "hello you\nnullglob       \ton\n/\n"


def test_an_interrupt_ends_what_is_in_front_and_not_what_is_behind(kernel: Kernel) -> None:
    kernel.run("sleep 1000 & kept=1")
    error = kernel.run("echo up; while :; do sleep 1000; done", interrupt_at="up")[-1]
    assert (error["type"], error["name"]) == ("error", "KeyboardInterrupt")
    assert kernel.stdout("echo $kept; jobs -r | wc -l; kill %1") == "1\n1\n"


def test_a_terminal_is_nowhere_and_nothing_complains_of_that(kernel: Kernel) -> None:
    events = kernel.run("sh -c 'kill -INT $$'; kill -0 $$; test -t 2 && echo terminal; true")
    assert not [event for event in events if "ioctl" in event.get("text", "")]
    assert "terminal" not in str(events)


def test_a_shell_that_ends_is_said_and_the_next_run_has_a_new_one(kernel: Kernel) -> None:
    kernel.run("lost=1")
    error = kernel.run("exit 4")[-1]
    assert (error["name"], error["value"]) == ("SystemExit", "4")
    assert kernel.stdout('echo "[$lost]"') == "[]\n"


def test_names_that_are_no_variables_are_left_out_of_a_runs_environment(kernel: Kernel) -> None:
    env = {"GOOD": "a'b", "a-b": "no", "$(touch x)": "no"}
    assert kernel.stdout('echo "$GOOD"; ls', env=env) == "a'b\n"


def test_its_shell_is_told_as_one_that_only_waits(kernel: Kernel) -> None:
    told = kernel.ask(op="activity")
    assert told["reasons"] == []
    assert [str(pid) for pid in told["processes"]] == kernel.stdout("echo $$").split()


def test_a_shell_that_ended_between_runs_is_replaced_and_the_run_says_so(kernel: Kernel) -> None:
    pid = int(kernel.stdout("lost=1; echo $$"))
    os.kill(pid, signal.SIGKILL)
    while os.path.exists(f"/proc/{pid}"):
        pass
    events = kernel.run('echo "[$lost]"')
    assert [(event["type"], event["text"].strip()) for event in events] == [
        ("stderr", "sandlot: the shell has ended; this run starts with no variables"),
        ("stdout", "[]"),
    ]


def test_an_interrupt_at_any_moment_leaves_it_answering(kernel: Kernel) -> None:
    for _ in range(100):
        kernel.run("echo up", interrupt_at="up", env={"A": "1"})
        kernel.process.send_signal(signal.SIGINT)
        assert kernel.stdout("echo $A-", env={"A": "2"}) in ("2-\n", "")
    assert kernel.stdout("echo $A-") == "-\n"
