"""A host that runs out of something: refused and said so; what runs goes on; nothing stays."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .client import Client
from .host import Host
from .servers import Server


@pytest.fixture
def small(footprint: Footprint, tmp_path: Path) -> Iterator[Path]:
    """A data folder on a file system of 700 MiB."""
    data = tmp_path / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m", "small", str(data)], check=True)
    yield data
    subprocess.run(["umount", "--lazy", str(data)], check=True)


@pytest.fixture
async def server(small: Path, tmp_path: Path) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        server = Server(tmp_path, TEMPLATES_DIR)
        await server.open()
        stack.push_async_callback(server.close)
        await server.begin(known=False)
        await server.ready()
        yield server


async def test_a_full_disk_refuses_and_stops_nothing(server: Server) -> None:
    host = Host(server.instance, server.data_dir, idle_networks=2, idle_disks=2)
    client = Client(server.url, server.key)
    made = [(await client.create(tier, "full")).content["id"] for tier in ("gvisor", "container")]
    await asyncio.to_thread(host.expect, made)
    ballast = server.data_dir / "ballast"
    await asyncio.to_thread(_fill, ballast)
    for tier in ("gvisor", "container"):
        refused = await client.create(tier, "too much")
        assert refused.status == 507, refused
        assert refused.content["error"]["code"] == "not_enough_space"
    for id in made:
        assert (await client.run(id, "echo alive")).content == b"alive\n"
    await server.kill()
    ballast.unlink()
    await server.begin(known=True)
    await server.ready()
    await asyncio.to_thread(host.expect, made)
    for id in made:
        assert (await client.run(id, "echo alive")).content == b"alive\n"
        assert (await client.kill(id)).ok
    assert await client.all() == []
    await client.close()
    await server.stop()
    await asyncio.to_thread(host.expect_nothing)


async def test_the_kernel_takes_sandboxes_before_the_server(server: Server) -> None:
    host = Host(server.instance, server.data_dir, idle_networks=2, idle_disks=2)
    client = Client(server.url, server.key)
    for tier in ("gvisor", "container"):
        id = (await client.create(tier, "memory")).content["id"]
        await client.begin(id, "exec sleep 1000")
        scores = {_score(pid) for pid in host.groups()[id]} - {None}
        assert min(score for score in scores if score is not None) > (_score(server.pid) or 0)
        assert (await client.kill(id)).ok
    await client.close()
    await server.stop()


def _fill(path: Path) -> None:
    with path.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * (1 << 20))
                file.flush()
        except OSError:
            return


def _score(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())
    except OSError:
        return None
