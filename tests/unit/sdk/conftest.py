from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .stub import KEY, Stub


@pytest.fixture
def stub(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, no_credentials: Path
) -> Iterator[Stub]:
    """A server of this test's own, found through the environment."""
    server = Stub(tmp_path_factory.mktemp("stub"))
    server.start()
    monkeypatch.setenv("SANDLOT_URL", server.url)
    monkeypatch.setenv("SANDLOT_API_KEY", KEY)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def no_credentials(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder, so that no test finds this machine's own server."""
    folder = tmp_path_factory.mktemp("config")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.delenv("SANDLOT_URL", raising=False)
    monkeypatch.delenv("SANDLOT_API_KEY", raising=False)
    return folder
