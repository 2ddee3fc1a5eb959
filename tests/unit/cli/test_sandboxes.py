from __future__ import annotations

import json

import pytest

from tests.unit.sdk.stub import KEY, Stub

from .conftest import Sandlot


def test_create_says_the_id_and_nothing_else(
    sandlot: Sandlot, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "from here")
    result = sandlot(
        "create", "code-interpreter", "--cpus", "2", "--memory", "512", "--timeout", "10m", "--no-internet",
        "-e", "A=b=c", "-e", "TOKEN", "-e", "UNSET_ANYWHERE", "-m", "job=x", "--isolation", "container",
    )  # fmt: skip
    assert result.stdout.strip() in stub.boxes
    assert stub.bodies == [
        {
            "template": "code-interpreter", "isolation": "container", "cpus": 2.0, "memory_mib": 512,
            "timeout_s": 600.0, "internet": False, "metadata": {"job": "x"},
            "env": {"A": "b=c", "TOKEN": "from here"},
        }
    ]  # fmt: skip
    sandlot("create", "--timeout", "none")
    assert stub.bodies[1]["timeout_s"] is None
    assert json.loads(sandlot("create", "--json").stdout)["state"] == "running"


def test_url_says_where_a_port_is_and_opens_it(sandlot: Sandlot, stub: Stub, sandbox: str) -> None:
    assert sandlot("url", sandbox[:10], "3000").stdout == f"https://3000-{sandbox}.box.test\n"
    closed = sandlot("create", "--ingress", "token").stdout.strip()
    assert stub.bodies[-1]["ingress"] == "token"
    assert sandlot("url", closed, "80").stdout == f"https://80-{closed}.box.test/?sandlot_token=t\n"
    assert "from 1 to 65535" in sandlot("url", sandbox, "70000", code=1).stderr


def test_ls_is_a_table_ids_or_json(sandlot: Sandlot, sandbox: str) -> None:
    other = sandlot("create", "-m", "job=x").stdout.strip()
    sandlot("kill", other)
    table = sandlot("ls", "-a").stdout.splitlines()
    assert table[0].split() == ["ID", "TEMPLATE", "ISOLATION", "STATE", "AGE", "ENDS", "IN", "METADATA"]
    assert table[1].split()[:4] == [sandbox, "base", "gvisor", "running"]
    assert table[2].split()[:4] == [other, "base", "gvisor", "killed"]
    assert table[2].endswith("job=x")
    assert sandlot("ls", "-q").stdout.split() == [sandbox]
    assert [one["id"] for one in json.loads(sandlot("ls", "--json").stdout)] == [sandbox]
    assert json.loads(sandlot("ls", "--json", "-m", "job=y").stdout) == []


def test_labels_from_elsewhere_cannot_command_the_terminal(sandlot: Sandlot, stub: Stub) -> None:
    sandlot("create", "-m", "x=\x1b[31m[red]boo")
    shown = sandlot("ls").stdout
    assert "\x1b" not in shown
    assert "�[31m[red]boo" in shown


def test_info_shows_it_also_after_its_end(sandlot: Sandlot, sandbox: str) -> None:
    shown = sandlot("info", sandbox).stdout
    assert "state:     running\n" in shown
    assert " UTC, in 4m\n" in shown
    sandlot("kill", sandbox)
    shown = sandlot("info", sandbox[:10]).stdout
    assert "killed by request" in shown
    assert json.loads(sandlot("info", sandbox, "--json").stdout)["created_at"].endswith("Z")


def test_the_beginning_of_an_id_is_enough_where_it_is_one(sandlot: Sandlot, sandbox: str) -> None:
    other = sandlot("create").stdout.strip()
    unique = next(sandbox[:n] for n in range(3, 22) if sandbox[:n] != other[:n])
    assert f"id:        {sandbox}\n" in sandlot("info", unique).stdout
    assert sandlot("info", "sb", code=1).stderr.startswith("sandlot: 'sb' is the beginning of several ids: ")
    missing = sandlot("info", "nothing", code=1).stderr
    assert missing == "sandlot: no sandbox has an id that begins with 'nothing'; `sandlot ls` lists them\n"
    assert "sb" + "a" * 20 in sandlot("info", "sb" + "a" * 20, code=1).stderr


def test_kill(sandlot: Sandlot, stub: Stub) -> None:
    one, two, three = (sandlot("create").stdout.strip() for _ in range(3))
    assert sandlot("kill", one).stdout.split() == [one]
    assert sandlot("kill", one).stderr == f"sandlot: {one} had ended before\n"
    assert sorted(sandlot("kill", "--all").stdout.split()) == sorted([two, three])
    assert "name sandboxes, or give --all; see `sandlot kill --help`" in sandlot("kill", code=2).stderr


def test_timeout(sandlot: Sandlot, sandbox: str) -> None:
    assert sandlot("timeout", sandbox, "2h").stdout in ("ends in 119m\n", "ends in 120m\n", "ends in 2h\n")
    assert sandlot("timeout", sandbox, "none").stdout == "never ends by itself\n"
    wrong = sandlot("timeout", sandbox, "soon", code=2).stderr
    assert "'soon' should be seconds, such as 90, 10m or 2h, or none" in wrong


def test_logs_tell_what_happened(sandlot: Sandlot, sandbox: str) -> None:
    sandlot("kill", sandbox)
    lines = sandlot("logs", sandbox, "-f").stdout.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["created", "started", "killed"]
    assert lines[2].endswith("running → killed  killed by request")
    events = [json.loads(line) for line in sandlot("logs", sandbox, "--json").stdout.splitlines()]
    assert events[1]["after"] == "running"


def test_ps_and_the_output_of_a_command(sandlot: Sandlot, sandbox: str) -> None:
    script = "echo out; echo err >&2; exec sleep 60"
    number = sandlot("exec", "-d", sandbox, "sh", "-c", script).stdout.strip()
    followed = sandlot("exec", sandbox, "sh", "-c", "sleep 0.2; echo done; exit 3", code=3)
    assert followed.stdout == "done\n"
    shown = sandlot("logs", sandbox, number)
    assert (shown.stdout, shown.stderr) == ("out\n", "err\n")
    table = sandlot("ps", sandbox).stdout.splitlines()
    assert "running" in table[1]
    assert "exit 3" in table[2]
    assert [one["running"] for one in json.loads(sandlot("ps", sandbox, "--json").stdout)] == [True, False]
    assert "command 77" in sandlot("logs", sandbox, "77", code=1).stderr


def test_stats(sandlot: Sandlot, sandbox: str) -> None:
    table = sandlot("stats").stdout
    assert table.splitlines()[1].split("   ")[1:3] == ["1.5 s", "10 MiB / 1.0 GiB"]
    assert json.loads(sandlot("stats", sandbox, "--json").stdout)[0]["processes"] == 2


def test_errors_are_one_line(
    sandlot: Sandlot, stub: Stub, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = sandlot("ls", "--alll", code=2)
    assert unknown.stderr.count("\n") == 1
    assert "--alll" in unknown.stderr
    assert "see `sandlot ls --help`" in unknown.stderr
    monkeypatch.setenv("SANDLOT_API_KEY", "sl_wrong")
    assert "make one with `sandlot keys create NAME`" in sandlot("ls", code=1).stderr
    monkeypatch.setenv("SANDLOT_API_KEY", KEY)
    monkeypatch.setenv("SANDLOT_URL", "http://127.0.0.1:9")
    nobody = sandlot("ls", code=1).stderr
    assert nobody.startswith("sandlot: no Sandlot server answers at http://127.0.0.1:9: start one with ")
    assert nobody.count("\n") == 1
