"""A server on gVisor that E2B's own clients find by their own environment variables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import e2b
import e2b_code_interpreter
import pytest

from sandlot.server.local import LocalServer

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


@pytest.fixture(scope="module")
def code(server: LocalServer) -> Iterator[e2b_code_interpreter.Sandbox]:
    """One sandbox with code interpreters, shared by a module's tests, which must not harm it."""
    sandbox = e2b_code_interpreter.Sandbox.create(timeout=1800)
    yield sandbox
    sandbox.kill()
