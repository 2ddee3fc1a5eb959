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


def test_env_by_a_domain_leaves_no_address_that_would_win(
    sandlot: Sandlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDLOT_API_KEY", "sl_" + "0f" * 20)
    assert sandlot("env", "e2b", "--domain", "box.test:8443").stdout.splitlines() == [
        "unset E2B_API_URL",
        "unset E2B_SANDBOX_URL",
        "export E2B_DOMAIN=box.test:8443",
        "export E2B_API_KEY=e2b_" + "0f" * 20,
    ]
    assert "without https://" in sandlot("env", "e2b", "--domain", "https://box.test", code=2).stderr


@pytest.mark.usefixtures("no_credentials")
def test_env_needs_a_key(sandlot: Sandlot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDLOT_URL", "http://box:7263")
    monkeypatch.delenv("SANDLOT_API_KEY", raising=False)
    assert "SANDLOT_API_KEY" in sandlot("env", "e2b", code=1).stderr


def test_env_knows_whose(sandlot: Sandlot) -> None:
    assert "e2b" in sandlot("env", "nobody", code=2).stderr
