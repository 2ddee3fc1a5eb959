from __future__ import annotations

import pytest

from .conftest import Sandlot


def test_env_leads_e2bs_clients_here(sandlot: Sandlot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDLOT_URL", "http://box:7263/")
    monkeypatch.setenv("SANDLOT_API_KEY", "sl_" + "0f" * 20)
    assert sandlot("env", "e2b").stdout.splitlines() == [
        "export E2B_API_URL=http://box:7263",
        "export E2B_SANDBOX_URL=http://box:7263",
        "export E2B_API_KEY=e2b_" + "0f" * 20,
    ]


@pytest.mark.usefixtures("no_credentials")
def test_env_needs_a_key(sandlot: Sandlot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDLOT_URL", "http://box:7263")
    monkeypatch.delenv("SANDLOT_API_KEY", raising=False)
    assert "SANDLOT_API_KEY" in sandlot("env", "e2b", code=1).stderr


def test_env_knows_whose(sandlot: Sandlot) -> None:
    assert "e2b" in sandlot("env", "nobody", code=2).stderr
