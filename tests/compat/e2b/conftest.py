"""A server on gVisor that E2B's own clients find by their own environment variables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import e2b
import e2b_code_interpreter
import pytest

from sandlot.server.local import LocalServer
from tests.integration.tenants.conftest import Tenants, tenants_of

from .environment import MISLEADING, environment_of

Make = Callable[..., e2b.Sandbox]
AsyncMake = Callable[..., Awaitable[e2b.AsyncSandbox]]


@pytest.fixture(scope="session")
def server(server: LocalServer) -> Iterator[LocalServer]:
    """One for the whole run, which the clients find through the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in MISLEADING:
            patch.delenv(name, raising=False)
        for name, value in environment_of(server).items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def make(server: LocalServer) -> Iterator[Make]:
    """Create sandboxes that end with the test."""
    with ExitStack() as stack:

        def create(template: str = "base", **options: Any) -> e2b.Sandbox:
            sandbox = e2b.Sandbox.create(template, **options)
            stack.callback(sandbox.kill)
            return sandbox

        yield create


@pytest.fixture
async def async_make(server: LocalServer) -> AsyncIterator[AsyncMake]:
    """Create sandboxes that end with the test."""
    made: list[e2b.AsyncSandbox] = []

    async def create(template: str = "base", **options: Any) -> e2b.AsyncSandbox:
        made.append(await e2b.AsyncSandbox.create(template, **options))
        return made[-1]

    yield create
    await asyncio.gather(*(sandbox.kill() for sandbox in made))


@pytest.fixture
def sandbox(make: Make) -> e2b.Sandbox:
    """A new sandbox."""
    return make()


@pytest.fixture
async def async_sandbox(async_make: AsyncMake) -> e2b.AsyncSandbox:
    """A new sandbox."""
    return await async_make()


@pytest.fixture(scope="session")
def tenants(server: LocalServer) -> Iterator[Tenants]:
    """Makes tenants, each once for the whole run: commands that make and remove one take their time."""
    for make in tenants_of(server):
        yield cache(make)


@pytest.fixture(scope="module")
def shared(server: LocalServer) -> Iterator[e2b.Sandbox]:
    """One sandbox for a module's tests, which do it no harm and do not mind what others leave in it."""
    sandbox = e2b.Sandbox.create("base", timeout=1800)
    yield sandbox
    sandbox.kill()


@pytest.fixture
async def async_shared(shared: e2b.Sandbox) -> e2b.AsyncSandbox:
    """The same one."""
    return await e2b.AsyncSandbox.connect(shared.sandbox_id, timeout=1800)


@pytest.fixture(scope="module")
def code(server: LocalServer) -> Iterator[e2b_code_interpreter.Sandbox]:
    """One sandbox with code interpreters, shared by a module's tests, which must not harm it."""
    sandbox = e2b_code_interpreter.Sandbox.create(timeout=1800)
    yield sandbox
    sandbox.kill()
