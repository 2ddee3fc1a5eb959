from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sandlot import Sandbox
from sandlot.server.local import LocalServer

Make = Callable[..., Sandbox]


@pytest.fixture
def make(server: LocalServer) -> Iterator[Make]:
    """Create sandboxes that end with the test."""
    with ExitStack() as stack:

        def create(template: str = "base", **options: Any) -> Sandbox:
            sandbox = Sandbox.create(template, **options)
            stack.callback(sandbox.kill)
            return sandbox

        yield create


@pytest.fixture(scope="module", params=["gvisor", "container"])
def sandbox(server: LocalServer, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """One sandbox of each tier, shared by a module's tests, which must not harm it."""
    with Sandbox.create("base", isolation=request.param, timeout=1800) as shared:
        yield shared
