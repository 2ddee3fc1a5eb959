"""The server runs on uvloop, whose pipes and sockets are its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvloop

from sandlot.network import NetworkPolicy, NetworkPool

from .conftest import INSTANCE, Host
from .world import FAR, PORT, everything_of, nft, reached, running


def test_a_slot_from_first_to_last_on_uvloop(host: Host, tmp_path: Path, resolv_conf: Path) -> None:
    async def scenario() -> None:
        pool = NetworkPool(INSTANCE, tmp_path, size=1, resolv_conf=resolv_conf)
        await pool.start()
        try:
            online = await pool.claim(NetworkPolicy())
            offline = await pool.claim(NetworkPolicy(internet=False))
            async with (
                running("serve", str(PORT), netns=host.internet) as server,
                running("resolve", "127.0.0.53", "53", "23.0.0.9") as resolver,
            ):
                assert await server.line() == await resolver.line() == "ready"
                assert await reached(online.name, everything_of(FAR)) == set(everything_of(FAR))
                assert await reached(offline.name, everything_of(FAR)) == set()
                for protocol in ([], ["tcp"]):
                    async with running(
                        "lookup", online.dns, "example.com", *protocol, netns=online.name
                    ) as guest:
                        assert await guest.line() == "23.0.0.9"
                await nft("delete", "table", "inet", f"sandlot_{INSTANCE}")
                async with asyncio.timeout(10):
                    while "sandlot" not in await nft("list", "tables"):
                        pass
            await pool.release(online.name)
        finally:
            await pool.teardown()

    uvloop.run(scenario())
