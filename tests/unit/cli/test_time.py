"""Pausing, snapshots and forks in a shell."""

from __future__ import annotations

import json

from tests.unit.sdk.stub import Stub

from .conftest import Sandlot


def test_create_says_how_it_pauses_and_comes_back(sandlot: Sandlot, stub: Stub) -> None:
    id = sandlot(
        "create", "--on-timeout", "pause", "--pause-idle", "10m", "--pause-files-only", "--no-auto-resume",
        "--keep-paused", "7d", "--on-create", "make", "--on-resume", "reseed", "--ready", "curl -s :80",
    ).stdout.strip()  # fmt: skip
    assert stub.bodies == [
        {
            "template": "base", "timeout_s": 300, "on_timeout": "pause",
            "pause_idle_s": 600, "pause_memory": False, "auto_resume": False, "keep_paused_s": 604800,
            "hooks": {"on_create": "make", "on_resume": "reseed", "ready": "curl -s :80"},
        }
    ]  # fmt: skip
    shown = " ".join(sandlot("info", id).stdout.split())
    assert "on timeout: pause idle: pause after 10m with nothing to run" in shown
    assert "pauses: keep files only wakes: by resume only kept: 7d once it is paused" in shown
    assert "on create: make on resume: reseed ready: curl -s :80" in shown


def test_paused_ones_are_listed_so_and_go_on(sandlot: Sandlot, stub: Stub, sandbox: str) -> None:
    other = sandlot("create").stdout.strip()
    assert sandlot("pause", sandbox, other[:12]).stdout.split() == [sandbox, other]
    assert [line.split()[3:5] for line in sandlot("ls").stdout.splitlines()[1:]] == [["paused", "(disk)"]] * 2
    shown = sandlot("info", sandbox[:12]).stdout
    assert "paused (disk)" in shown
    assert "ends:" not in shown
    again = sandlot("pause", other, sandbox, code=1)
    assert (again.stdout, again.stderr) == ("", f"sandlot: sandbox {other} is paused\n")
    assert sandlot("exec", sandbox, "true", code=1).stderr == f"sandlot: sandbox {sandbox} is paused\n"
    assert sandlot("resume", sandbox, "--timeout", "10m").stdout.strip() == sandbox
    assert stub.bodies[-1] == {"timeout_s": 600}
    assert [one["state"] for one in json.loads(sandlot("resume", other, "--json").stdout)] == ["running"]
    assert stub.bodies[-1] == {}
    assert json.loads(sandlot("pause", other, "--files-only", "--json").stdout)[0]["depth"] == "files"
    assert sandlot("pause", sandbox, other, code=1).stdout.split() == [sandbox]
    assert "`sandlot timeout ID none`" in sandlot("resume", other, "--timeout", "none", code=2).stderr


def test_snapshots_are_made_listed_used_and_removed(sandlot: Sandlot, stub: Stub, sandbox: str) -> None:
    sandlot("exec", sandbox, "sh", "-c", "echo then > state")
    made = sandlot("snapshot", sandbox, "--name", "team/then", "--expires", "1h").stdout.strip()
    assert stub.bodies[-1] == {"name": "team/then", "expires_s": 3600}
    heading, line = sandlot("snapshots", "ls").stdout.splitlines()
    assert heading.split() == ["ID", "NAME", "SANDBOX", "KEEPS", "SIZE", "ON", "DISK", "AGE", "EXPIRES", "IN"]
    assert line.split()[:8] == [made, "team/then", sandbox, "memory", "3.0", "MiB", "1.0", "MiB"]
    assert sandlot("snapshots", "ls", "-q", "--sandbox", sandbox[:12]).stdout.split() == [made]
    sandlot("exec", sandbox, "sh", "-c", "echo now > state")
    assert sandlot("rollback", sandbox, "team/then").stdout.strip() == sandbox
    assert sandlot("exec", sandbox, "cat", "state").stdout == "then\n"
    assert "team/then" in sandlot("snapshot", sandbox, "--name", "team/then", code=1).stderr
    other = sandlot("create", "--snapshot", made).stdout.strip()
    assert stub.bodies[-1]["snapshot"] == made
    assert "template" not in stub.bodies[-1]
    assert f"snapshot:   {made}\n" in sandlot("info", other).stdout
    assert json.loads(sandlot("snapshot", other, "--files-only", "--json").stdout)["memory"] is False
    newer = sandlot("snapshot", sandbox, "--name", "team/then", "--take-name").stdout.strip()
    assert sandlot("snapshots", "rm", "team/then", made).stdout.split() == [newer, made]
    assert [one["sandbox_id"] for one in json.loads(sandlot("snapshots", "ls", "--json").stdout)] == [other]
    missing = sandlot("snapshots", "rm", "team/then", code=1).stderr
    assert missing == "sandlot: there is no snapshot 'team/then'\n"


def test_forks_print_ids_also_where_some_fail(sandlot: Sandlot, stub: Stub, sandbox: str) -> None:
    children = sandlot("fork", sandbox, "-n", "2", "--timeout", "none").stdout.split()
    assert stub.bodies[-1] == {"count": 2, "timeout_s": None}
    assert {stub.boxes[id].data["parent_id"] for id in children} == {sandbox}
    assert f"fork of:    {sandbox}\n" in sandlot("info", children[0]).stdout
    stub.failing_forks = 1
    partial = sandlot("fork", sandbox, "-n", "2", code=1)
    assert stub.boxes[partial.stdout.strip()].data["parent_id"] == sandbox
    assert partial.stderr == f"sandlot: 1 of 2 forks of {sandbox} were made: the machine is full\n"
    assert json.loads(sandlot("fork", sandbox, "--json").stdout)[0]["parent_id"] == sandbox
