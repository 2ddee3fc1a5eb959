from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.sdk.stub import Stub

from .conftest import Sandlot

CLI = [sys.executable, "-m", "sandlot.cli.main"]


def test_exec_keeps_streams_and_exit_code(sandlot: Sandlot, sandbox: str) -> None:
    result = sandlot("exec", sandbox, "--", "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert sandlot("exec", sandbox, "echo", "-n", "--help").stdout == "--help"
    assert sandlot("exec", "-e", "A=1", sandbox, "printenv", "A").stdout == "1\n"
    assert sandlot("exec", "--timeout", "0.2", sandbox, "sleep", "60", code=124).stdout == ""
    assert "no-such" in sandlot("exec", sandbox, "no-such", code=1).stderr


def test_exec_passes_bytes_both_ways(sandlot: Sandlot, sandbox: str) -> None:
    blob = os.urandom(200_000)
    assert sandlot("exec", "-i", sandbox, "cat", input=blob).stdout_bytes == blob
    assert sandlot("exec", sandbox, "cat", input=blob).stdout_bytes == b""


def test_exec_in_a_terminal_needs_one(sandlot: Sandlot, sandbox: str) -> None:
    assert "needs a terminal" in sandlot("exec", "-t", sandbox, "true", code=1).stderr
    assert "needs a terminal" in sandlot("shell", code=1).stderr
    assert len(json.loads(sandlot("ls", "--json").stdout)) == 1


def test_an_interrupt_reaches_the_command(sandbox: str) -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen([*CLI, "exec", sandbox, "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "caught\n"
    assert process.wait(10) == 9


def test_a_reader_that_leaves_ends_the_command(sandlot: Sandlot, sandbox: str) -> None:
    line = f"{' '.join(CLI)} exec {sandbox} yes | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("y\n", "")
    [listed] = json.loads(sandlot("ps", sandbox, "--json").stdout)
    assert not listed["running"]


def test_run_brings_a_program_and_takes_its_results(
    sandlot: Sandlot, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("work.py").write_text(
        "import sys, pathlib\n"
        "print(sys.argv[1:], open('data.csv').read())\n"
        "pathlib.Path('out').mkdir(); pathlib.Path('out/r.txt').write_text('42'); sys.exit(5)\n"
    )
    Path("data.csv").write_text("a,b")
    wanted = ["--out", "out", "--out", "out/r.txt:copy.txt"]
    result = sandlot("run", *wanted, "--with", "data.csv", "work.py", "x", "--", "--fast", code=5)
    assert result.stdout == "['x', '--fast'] a,b\n"
    assert Path("out/r.txt").read_text() == Path("copy.txt").read_text() == "42"
    assert stub.bodies[0]["template"] == "code-interpreter"
    assert [box.data["state"] for box in stub.boxes.values()] == ["killed"]


def test_run_chooses_by_name_or_first_line(
    sandlot: Sandlot, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.sh").write_text("echo $BASH_VERSION")
    assert sandlot("run", "a.sh").stdout.strip()
    Path("b").write_text("#!/usr/bin/env -S sh -e\nfalse\necho no")
    assert sandlot("run", "b", code=1).stdout == ""
    Path("c.txt").write_text("hello")
    assert "how to run c.txt is not clear" in sandlot("run", "c.txt", code=1).stderr
    assert sandlot("run", "missing.py", code=1).stderr == "sandlot: there is no file missing.py\n"
    assert [body["template"] for body in stub.bodies if "template" in body] == ["base", "base"]
    missing = sandlot("run", "--out", "nowhere", "a.sh", code=1)
    assert "nowhere" in missing.stderr
    assert {box.data["state"] for box in stub.boxes.values()} == {"killed"}


def test_code_prints_and_shows_and_saves(sandlot: Sandlot, sandbox: str, tmp_path: Path) -> None:
    result = sandlot("code", sandbox, "print('hi')\n6 * 7")
    assert result.stdout == "hi\n42\n"
    assert sandlot("code", sandbox, "-", input="1 + 1").stdout == "2\n"
    assert sandlot("code", sandbox, "1 / 0", code=1).stderr == "Traceback\n"
    sandlot("code", sandbox, "1", "--save", str(tmp_path / "pictures"))
    assert (tmp_path / "pictures" / "result-1.png").read_bytes() == b"hi"
    assert json.loads(sandlot("code", "--json", sandbox, "1").stdout)["results"][0]["text"] == "1"
