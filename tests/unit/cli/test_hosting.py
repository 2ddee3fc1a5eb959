from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandlot.server import doctor, run, templates
from tests.unit.sdk.stub import HOST

from .conftest import Sandlot


def test_serve_takes_every_setting_as_a_flag(
    sandlot: Sandlot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SANDLOT_URL", "SANDLOT_API_KEY"):
        monkeypatch.delenv(name)
    served: list[Any] = []
    monkeypatch.setattr(run, "serve", lambda settings: served.append(settings) or 3)
    config = tmp_path / "sandlot.toml"
    config.write_text("port = 1\nmax_cpus = 3\n")
    sandlot(
        "serve", "--config", str(config), "--port", "7000", "--max-sandboxes", "50", "--access-log",
        "--data-dir", str(tmp_path), "--log-level=debug", code=3,
    )  # fmt: skip
    [settings] = served
    assert (settings.port, settings.max_cpus, settings.max_sandboxes) == (7000, 3, 50)
    assert (settings.access_log, settings.data_dir, settings.log_level) == (True, tmp_path, "debug")
    assert settings.host == "127.0.0.1"
    wrong = sandlot("serve", "--max-sandboxs", "50", code=1).stderr
    assert "--max-sandboxes" in wrong
    assert wrong.count("\n") == 1
    assert "'x' is not a flag" in sandlot("serve", "x", code=2).stderr


def test_keys_are_made_listed_and_revoked(sandlot: Sandlot, tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path / "data")]
    key = sandlot("keys", "create", "laptop", *where).stdout.strip()
    assert key.startswith("sl_")
    listed = sandlot("keys", "ls", *where).stdout
    assert "laptop" in listed
    assert key not in listed
    [entry] = json.loads(sandlot("keys", "ls", "--json", *where).stdout)
    assert sandlot("keys", "revoke", entry["id"], *where).stdout == f"revoked {entry['id']} (laptop)\n"
    assert "revoked" in sandlot("keys", "ls", *where).stdout
    assert "`sandlot keys ls` lists them" in sandlot("keys", "revoke", "key_x", *where, code=1).stderr


def test_tenants_are_made_bounded_listed_and_removed(sandlot: Sandlot, tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path / "data")]
    made = sandlot("tenants", "create", "acme", "--max-sandboxes", "5", "--max-cpus", "2.5", *where).stdout
    assert "`sandlot keys create NAME --tenant acme`" in made
    changed = sandlot("tenants", "set", "acme", "--max-cpus", "none", "--creates-per-minute", "9", *where)
    assert "max_sandboxes 5, max_cpus none" in changed.stdout
    sandlot("keys", "create", "laptop", "--tenant", "acme", *where)
    assert "acme" in sandlot("keys", "ls", *where).stdout
    default, acme = json.loads(sandlot("tenants", "ls", "--json", *where).stdout)[::-1]
    assert default["name"] == "default"
    assert set(default["quotas"].values()) == {None}
    assert acme["quotas"]["creates_per_minute"] == 9
    assert acme["use"] == {
        "sandboxes": 0,
        "cpus": 0.0,
        "memory_mib": 0,
        "disk_mib": 0,
        "paused": 0,
        "keys": 1,
    }
    assert "0 of 5" in sandlot("tenants", "ls", *where).stdout
    assert "has 1 key;" in sandlot("tenants", "rm", "acme", *where, code=1).stderr
    [key] = json.loads(sandlot("keys", "ls", "--json", *where).stdout)
    sandlot("keys", "revoke", key["id"], *where)
    assert sandlot("tenants", "rm", "acme", *where).stdout == "removed tenant acme\n"
    assert json.loads(sandlot("keys", "ls", "--json", *where).stdout) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["tenants", "create", "A b"], 1, "'A b' cannot be a tenant's name"),
        (["tenants", "create", "default"], 1, "there is a tenant 'default' already"),
        (["tenants", "create", "x", "--max-sandboxes", "-1"], 1, "max_sandboxes must be from 0"),
        (["tenants", "create", "x", "--max-cpus", "nan"], 1, "max_cpus must be from 0"),
        (["tenants", "create", "x", "--max-sandboxes", "1.5"], 2, "'1.5' is no whole number"),
        (["tenants", "set", "nobody", "--max-sandboxes", "1"], 1, "no tenant 'nobody'"),
        (["tenants", "set", "default"], 2, "at least one quota"),
        (["tenants", "rm", "default"], 1, "'default' stays"),
        (["tenants", "rm", "nobody"], 1, "no tenant 'nobody'"),
        (["keys", "create", "k", "--tenant", "nobody"], 1, "`sandlot tenants ls` lists them"),
    ],
)
def test_what_is_wrong_with_a_tenant_is_said_in_a_line(
    sandlot: Sandlot, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    said = sandlot(*words, "--data-dir", str(tmp_path), code=code).stderr
    assert says in said
    assert said.count("\n") == 1


def test_doctor_asks_the_server(sandlot: Sandlot) -> None:
    shown = sandlot("doctor").stdout
    assert "✓ gvisor            /usr/bin/runsc 1\n" in shown
    assert "✗ container\n      install runc\n" in shown
    assert json.loads(sandlot("doctor", "--json").stdout) == HOST


def test_doctor_without_a_server_looks_for_itself(sandlot: Sandlot, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_works(settings: object) -> dict[str, Any]:
        tier = {"tier": "gvisor", "available": False, "missing": ["install runsc"]}
        finding = {"name": "nft", "ok": False, "detail": "not found", "fix": "install nftables"}
        return {"tiers": [tier], "findings": [finding], "kernel": "6.1"}

    monkeypatch.setattr(doctor, "host_report", nothing_works)
    monkeypatch.setenv("SANDLOT_URL", "http://127.0.0.1:9")
    result = sandlot("doctor", code=1)
    assert "looking at this machine instead" in result.stderr
    assert "✗ nft               not found\n      install nftables\n" in result.stdout


def test_templates_are_listed_and_built(
    sandlot: Sandlot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sandlot("templates", "ls").stdout.splitlines()[1].split()[:4] == ["base", "abc", "5", "B"]
    assert json.loads(sandlot("templates", "ls", "--json", "--templates-dir", str(tmp_path)).stdout) == []

    async def build(settings: Any, name: str, *, progress: Callable[[Any], None], force: bool) -> Any:
        from sandlot.images import Progress, Template, TemplateConfig

        progress(Progress("base", "unpacking", 0.5))
        progress(Progress("base", "unpacking", 0.6))
        return Template(name, f"id-{force}", (), TemplateConfig())

    monkeypatch.setattr(templates, "build", build)
    result = sandlot("templates", "build", "base", "--force")
    assert result.stdout == "base id-True\n"
    assert result.stderr == "base: unpacking\n"
