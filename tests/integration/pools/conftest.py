"""Servers whose pools are on, each for one test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandlot import Sandbox, Server
from sandlot.node import instance_of
from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

FILLED_S = 60.0


class Pooled:
    """A server of the test's own, as a client and as its machine see it."""

    def __init__(self, local: LocalServer) -> None:
        self.local = local

    @property
    def access(self) -> dict[str, Any]:
        return {"url": self.local.url, "api_key": self.local.key}

    def create(self, template: str = "base", **options: Any) -> Sandbox:
        return Sandbox.create(template, **options, **self.access)

    def pool(self, template: str = "base") -> dict[str, Any]:
        pools = Server(**self.access).pools()
        return next((pool for pool in pools if pool["template"] == template), {"hot": 0, "making": 0})

    def until(self, true: Callable[[dict[str, Any]], bool], template: str = "base") -> dict[str, Any]:
        deadline = time.monotonic() + FILLED_S
        while not true(pool := self.pool(template)):
            assert time.monotonic() < deadline, f"the pool stays as it is: {pool}"
            time.sleep(0.02)
        return pool

    def hot(self, count: int, template: str = "base") -> set[str]:
        """Wait until so many stand ready; the ids of all that there is on the machine."""
        self.until(lambda pool: pool["hot"] == count and not pool["making"], template)
        return self.present()

    def present(self) -> set[str]:
        folder = Path("/run") / f"sandlot-{instance_of(self.local.folder / 'data')}" / "sandboxes"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


Pools = Callable[..., Pooled]


@pytest.fixture
def serving(footprint: Footprint, tmp_path: Path) -> Iterator[Pools]:
    with ExitStack() as stack:

        def serve(pools: str = "base=1:2", **settings: str) -> Pooled:
            local = LocalServer(tmp_path, TEMPLATES_DIR, SANDLOT_POOLS=pools, **settings)
            return Pooled(stack.enter_context(running(local)))

        yield serve


@contextmanager
def running(local: LocalServer) -> Iterator[LocalServer]:
    local.start()
    try:
        yield local
    finally:
        local.end()
