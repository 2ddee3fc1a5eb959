"""`sandlot doctor --fix`: what a crash left is gone, and nobody else's is touched."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .client import Client
from .host import Host
from .servers import Server


def doctor(server: Server, *arguments: str, code: int = 0, said: str = "") -> str:
    command = (sys.executable, "-m", "sandlot.cli.main", "doctor", *arguments)
    own = ("--instance", server.instance, "--data-dir", str(server.data_dir))
    done = subprocess.run([*command, *own], capture_output=True, text=True, input=said, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def host_of(server: Server) -> Host:
    return Host(server.instance, server.data_dir, idle_networks=2, idle_disks=2)


@pytest.fixture
async def servers(footprint: Footprint, tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Two, each with a sandbox of each tier."""
    async with AsyncExitStack() as stack:
        pair = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            server = Server(tmp_path / name, TEMPLATES_DIR)
            await server.open()
            stack.push_async_callback(server.close)
            await server.begin(known=False)
            await server.ready()
            pair.append(server)
        yield pair[0], pair[1]


async def make(server: Server) -> list[str]:
    client = Client(server.url, server.key)
    answers = [await client.create(tier, "doctor") for tier in ("gvisor", "container")]
    await client.close()
    return [answer.content["id"] for answer in answers]


async def test_all_that_is_left_goes_and_a_live_server_keeps_what_it_has(
    servers: tuple[Server, Server], tmp_path: Path
) -> None:
    dead, alive = servers
    await make(dead)
    kept = await make(alive)
    await dead.kill()
    by_hand(dead)
    shutil.rmtree(dead.data_dir)

    shown = await asyncio.to_thread(doctor, dead, "--fix", code=1, said="n\n")
    for thing in ("processes", "mount", "loop device", "cable", "network namespace", "firewall table"):
        assert thing in shown
    assert host_of(dead).groups(), "nobody said yes"

    rows = json.loads(await asyncio.to_thread(doctor, dead, "--fix", "--yes", "--json"))
    assert {row["instance"] for row in rows} == {dead.instance}
    assert not [row for row in rows if row["problem"]]
    await asyncio.to_thread(host_of(dead).expect_nothing)
    assert "Nothing is left" in await asyncio.to_thread(doctor, dead, "--fix")

    assert "Nothing is left" in await asyncio.to_thread(doctor, alive, "--fix", "--yes")
    client = Client(alive.url, alive.key)
    for id in kept:
        assert (await client.run(id, "echo alive")).content == b"alive\n"
        assert (await client.kill(id)).ok
    await client.close()
    await alive.stop()


def by_hand(server: Server) -> None:
    """As an earlier version may have left them."""
    name = server.instance
    subprocess.run(["ip", "netns", "add", f"sl-{name}-99999"], check=True)
    subprocess.run(
        ["ip", "link", "add", f"sl{name}-99998", "type", "veth", "peer", "veth-nobody"], check=True
    )
    group = next(path for path in Path("/sys/fs/cgroup").glob(f"**/sandlot-{name}"))
    (group / "sbancient").mkdir()
    folder = Path(f"/run/sandlot-{name}-probe/disks/fff")
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "sandlot", str(folder)], check=True)


async def test_of_a_stopped_server_only_what_no_sandbox_needs(servers: tuple[Server, Server]) -> None:
    server, other = servers
    await other.stop()
    ids = await make(server)
    await server.kill()
    record = server.data_dir / "node" / "sandboxes" / "sbancient" / "record.json"
    record.parent.mkdir()
    record.write_text("{half a rec")
    shown = await asyncio.to_thread(doctor, server, "--fix", "--yes")
    assert "removed record sbancient" in shown, shown
    assert not any(id in shown for id in ids)

    await server.begin(known=True)
    await server.ready()
    client = Client(server.url, server.key)
    for id in ids:
        assert (await client.run(id, "echo alive")).content == b"alive\n"
    await asyncio.to_thread(host_of(server).expect, ids)
    for id in ids:
        assert (await client.kill(id)).ok
    await client.close()
    await server.stop()
    await asyncio.to_thread(host_of(server).expect_nothing)
    assert os.listdir(server.data_dir / "node" / "sandboxes") == []


async def test_what_is_kept_on_disk_stays_and_what_was_half_kept_goes(servers: tuple[Server, Server]) -> None:
    server, other = servers
    await other.stop()
    running, paused = await make(server)
    async with httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": server.key}, timeout=60) as http:
        for path, body in (
            (f"{running}/snapshots", {"name": "kept", "memory": False}),
            (f"{paused}/pause", {"memory": False}),
        ):
            answer = await http.post(f"/v1/sandboxes/{path}", json=body)
            assert answer.is_success, answer.text
    await server.kill()
    await asyncio.to_thread(half_made, server)

    shown = await asyncio.to_thread(doctor, server, "--fix", "--yes")
    for thing in ("captures/half (2 MiB)", "packs/half (2 MiB)", "copies/half (2 MiB)", "new/half"):
        assert thing in shown, shown
    kept = server.data_dir / "node" / "sandboxes" / paused / "record.json"
    disk = json.loads(kept.read_text())["disk"]
    assert (server.data_dir / "node" / "disks" / f"{disk}.img").exists()
    assert "Nothing is left" in await asyncio.to_thread(doctor, server, "--fix")

    await server.begin(known=True)
    await server.ready()
    client = Client(server.url, server.key)
    assert (await client.run(paused, "echo awake")).content == b"awake\n"
    async with httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": server.key}, timeout=60) as http:
        answer = await http.post("/v1/sandboxes", json={"snapshot": "kept"})
        assert answer.is_success, answer.text
        for id in (running, paused, answer.json()["id"]):
            assert (await client.kill(id)).ok
        assert (await http.delete("/v1/snapshots/kept")).is_success
    await client.close()
    await server.stop()
    await asyncio.to_thread(host_of(server).expect_nothing)


def half_made(server: Server) -> None:
    """As a server that was killed in the middle leaves them."""
    node = server.data_dir / "node"
    for folder in ("captures/half", "snapshots/copies/half", "snapshots/new/half"):
        (node / folder).mkdir(parents=True)
        (node / folder / "pages.img").write_bytes(os.urandom(2 << 20))
    (node / "snapshots" / "packs" / "half").write_bytes(os.urandom(2 << 20))
