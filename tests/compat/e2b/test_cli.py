"""E2B's command line, where it speaks to a server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import e2b
import pexpect
import pytest

from .clients import modules_of, node, of_kind

Cli = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE_S = 60
[CLIENT] = of_kind("cli")


def program() -> list[str]:
    return [str(node()), str(modules_of(CLIENT) / "@e2b" / "cli" / "dist" / "index.js")]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs a command of somebody who has no account, only a key."""

    def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program(), *arguments],
            env=os.environ | {"HOME": str(tmp_path)},
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    return run


@pytest.fixture
def sandbox(shared: e2b.Sandbox) -> e2b.Sandbox:
    return shared


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.e2b("e2b sandbox list", "e2b sandbox info", "e2b sandbox metrics", "e2b sandbox logs")
def test_looking_at_sandboxes(cli: Cli, sandbox: e2b.Sandbox) -> None:
    rows: list[dict[str, Any]] = json.loads(output_of(cli("sandbox", "list", "--format", "json")))
    [row] = [row for row in rows if row["sandboxId"] == sandbox.sandbox_id]
    assert (row["state"], row["name"], row["memoryMB"]) == ("running", "base", 1024)
    info = output_of(cli("sandbox", "info", sandbox.sandbox_id))
    assert "State: running" in info
    assert sandbox.sandbox_id in output_of(cli("sandbox", "metrics", sandbox.sandbox_id))
    assert "created" in output_of(cli("sandbox", "logs", sandbox.sandbox_id))


@pytest.mark.e2b("e2b sandbox exec")
def test_commands(cli: Cli, sandbox: e2b.Sandbox) -> None:
    done = cli("sandbox", "exec", sandbox.sandbox_id, "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.stderr.startswith("err\n")
    fed = cli("sandbox", "exec", sandbox.sandbox_id, "wc -c", stdin="12345")
    assert output_of(fed).strip() == "5"


@pytest.mark.e2b("e2b sandbox create", "e2b sandbox kill")
def test_a_sandbox_is_made_and_killed(cli: Cli, server: object) -> None:
    id = output_of(cli("sandbox", "create", "base", "--detach")).strip()
    assert e2b.Sandbox.connect(id).is_running()
    assert "killed" in output_of(cli("sandbox", "kill", id))
    assert "wasn't found" in cli("sandbox", "kill", id).stderr


@pytest.mark.e2b("e2b sandbox connect")
def test_a_terminal(tmp_path: Path, sandbox: e2b.Sandbox) -> None:
    [command, *arguments] = [*program(), "sandbox", "connect", sandbox.sandbox_id]
    home = os.environ | {"HOME": str(tmp_path)}
    terminal = pexpect.spawn(
        command, arguments, env=home, dimensions=(30, 100), timeout=PATIENCE_S, encoding="utf-8"
    )
    try:
        terminal.expect(r"\$ ")
        terminal.sendline("stty size; echo $((6 * 7))")
        terminal.expect(r"30 100\s+42")
        terminal.sendline("exit")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)


@pytest.mark.e2b("e2b template list")
def test_templates(cli: Cli, server: object) -> None:
    rows = json.loads(output_of(cli("template", "list", "--format", "json")))
    assert {"base", "code-interpreter"} <= {row["templateID"] for row in rows}


@pytest.mark.e2b("e2b sandbox pause", "e2b sandbox resume")
def test_a_pause(cli: Cli, sandbox: e2b.Sandbox) -> None:
    id = sandbox.sandbox_id
    assert "has been paused" in output_of(cli("sandbox", "pause", id))
    assert "already paused" in output_of(cli("sandbox", "pause", id))
    assert "State: paused" in output_of(cli("sandbox", "info", id))
    paused = json.loads(output_of(cli("sandbox", "list", "--state", "paused", "--format", "json")))
    assert id in [row["sandboxId"] for row in paused]
    assert "has been resumed" in output_of(cli("sandbox", "resume", id))
    assert sandbox.is_running()


@pytest.mark.e2b("e2b sandbox snapshot create", "e2b sandbox snapshot list", "e2b sandbox snapshot delete")
def test_a_snapshot(cli: Cli, sandbox: e2b.Sandbox) -> None:
    id = sandbox.sandbox_id
    assert "Created snapshot" in output_of(cli("sandbox", "snapshot", "create", id, "--name", "by-hand"))
    rows = json.loads(output_of(cli("sandbox", "snapshot", "list", id, "--format", "json")))
    assert [row["names"] for row in rows] == [["by-hand"]]
    made = output_of(cli("sandbox", "create", "by-hand", "--detach")).strip()
    assert e2b.Sandbox.kill(made) is True
    assert "has been deleted" in output_of(cli("sandbox", "snapshot", "delete", "by-hand"))


@pytest.mark.e2b("e2b sandbox create(--lifecycle.ontimeout)")
def test_a_sandbox_that_its_timeout_pauses(cli: Cli, server: object) -> None:
    wish = ("--lifecycle.ontimeout", "pause", "--lifecycle.autoresume", "--timeout", "600")
    id = output_of(cli("sandbox", "create", "base", "--detach", *wish)).strip()
    assert e2b.Sandbox.get_info(id).lifecycle == {"on_timeout": "pause", "auto_resume": True}
    assert e2b.Sandbox.kill(id) is True


def test_what_is_not_there_yet_is_said(cli: Cli, server: object) -> None:
    done = cli("template", "delete", "base", "--yes")
    assert done.returncode != 0
    assert "not yet" in done.stdout + done.stderr


def test_a_wrong_key(cli: Cli, server: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_" + "0" * 40)
    done = cli("sandbox", "list")
    assert done.returncode != 0
    assert "key" in done.stdout + done.stderr
