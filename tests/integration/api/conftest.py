from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sandlot.server.local import LocalServer

from .wire import PATIENCE_S, SANDBOXES

Make = Callable[..., str]


@pytest.fixture(scope="session")
def http(server: LocalServer) -> Iterator[httpx.Client]:
    """A client with a key, and nothing else of ours."""
    with httpx.Client(base_url=server.url, headers={"X-API-Key": server.key}, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
def make(http: httpx.Client) -> Iterator[Make]:
    """Create sandboxes, by id, that end with the test."""
    made: list[str] = []

    def create(**body: Any) -> str:
        answer = http.post(SANDBOXES, json=body)
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
        return made[-1]

    yield create
    for id in made:
        http.delete(f"{SANDBOXES}/{id}")


@pytest.fixture(scope="module", params=["gvisor", "container"])
def at(http: httpx.Client, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of one sandbox of each tier, with an interpreter; a module's tests share it."""
    body = {"template": "code-interpreter", "isolation": request.param, "timeout_s": 1800}
    answer = http.post(SANDBOXES, json=body)
    assert answer.status_code == 201, answer.text
    address = f"{SANDBOXES}/{answer.json()['id']}"
    yield address
    http.delete(address)
