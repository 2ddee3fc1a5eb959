from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from sandlot.network import NetworkPool

from . import world

# Names of namespaces are the whole machine's, and other test runs may be on it.
INSTANCE = f"{os.getpid() % 0xFFFF:04x}"
NEIGHBOUR = f"{os.getpid() % 0xFFFF + 1:04x}"


@dataclass
class Host:
    """The namespace the test runs in, and the name of the one that plays the internet."""

    internet: str


@pytest.fixture
def host() -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = namespaces()
    with world.fresh_host(), world.internet() as internet:
        yield Host(internet)
        left = namespaces() - before - {internet}
        for name in left:
            world.ip("netns", "delete", name)
    assert left == set()


def namespaces() -> set[str]:
    """Those that a test of this room could have made."""
    return {
        name
        for name in os.listdir("/run/netns")
        if name.startswith((f"sl-{INSTANCE}-", f"sl-{NEIGHBOUR}-", f"sandlot-test-{os.getpid()}-"))
    }


@pytest.fixture
def resolv_conf(tmp_path: Path) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.53\n")
    return path


@pytest_asyncio.fixture
async def pool(host: Host, tmp_path: Path, resolv_conf: Path) -> AsyncIterator[NetworkPool]:
    pool = NetworkPool(INSTANCE, tmp_path, size=2, resolv_conf=resolv_conf)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.teardown()


@pytest_asyncio.fixture
async def far_server(host: Host) -> AsyncIterator[world.Program]:
    """Answers on every address that the internet's namespace has."""
    async with world.running("serve", str(world.PORT), netns=host.internet) as program:
        assert await program.line() == "ready"
        yield program


@pytest_asyncio.fixture
async def host_server(host: Host) -> AsyncIterator[world.Program]:
    """A careless service of the host, on every address it has."""
    async with world.running("serve", str(world.PORT)) as program:
        assert await program.line() == "ready"
        yield program
