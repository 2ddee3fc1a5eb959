"""Names in a guest: through our forwarder, from the host's resolvers, where internet is allowed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import dns.message
import pytest_asyncio

from sandlot.network import NetworkPolicy, NetworkPool

from .conftest import Host
from .world import HOST_PUBLIC, ROUTER, Program, Target, ip, reached, running

ONLINE = NetworkPolicy()
OFFLINE = NetworkPolicy(internet=False)
ANSWER = "23.0.0.9"


@pytest_asyncio.fixture
async def resolver(host: Host) -> AsyncIterator[Program]:
    """Where systemd-resolved listens: on the host's own loopback."""
    ip("link", "set", "lo", "up")
    async with running("resolve", "127.0.0.53", "53", ANSWER) as program:
        assert await program.line() == "ready"
        yield program


async def lookup(netns: str | None, server: str, name: str, *options: str) -> str:
    async with running("lookup", server, name, *options, netns=netns) as program:
        return await program.line()


async def test_names_are_resolved_by_the_hosts_resolver(resolver: Program, pool: NetworkPool) -> None:
    slot = await pool.claim(ONLINE)
    assert await lookup(slot.name, slot.dns, "example.com") == ANSWER
    assert await resolver.line() == "udp example.com."
    assert await lookup(slot.name, slot.dns, "example.org", "tcp") == ANSWER
    assert await resolver.line() == "tcp example.org."


async def test_answers_too_large_for_udp_come_by_tcp(resolver: Program, pool: NetworkPool) -> None:
    slot = await pool.claim(ONLINE)
    assert await lookup(slot.name, slot.dns, "large.example.com") == ANSWER


async def test_without_internet_no_query_arrives(resolver: Program, pool: NetworkPool) -> None:
    offline, online = await pool.claim(OFFLINE), await pool.claim(ONLINE)
    assert await lookup(offline.name, offline.dns, "secret.example.com") == "nothing"
    assert await lookup(offline.name, offline.dns, "secret.example.com", "tcp") == "nothing"
    assert await lookup(online.name, online.dns, "open.example.com") == ANSWER
    assert await resolver.line() == "udp open.example.com."


async def test_a_guests_old_flow_ends_with_its_permission(resolver: Program, pool: NetworkPool) -> None:
    """A flow that has seen answers counts as established; that must not let a revoked guest go on asking."""
    slot = await pool.claim(ONLINE)
    query = f"hex {dns.message.make_query('example.com', 'A').to_wire().hex()}"
    async with running("converse", "udp", slot.dns, "53", netns=slot.name) as flow:
        assert await flow.line() == "connected"
        await flow.say(query)
        assert await flow.line() == "heard"
        await pool.set_policy(slot, OFFLINE)
        await flow.say(query)
        assert await flow.line() == "silence"


async def test_only_guests_may_ask(resolver: Program, pool: NetworkPool, host: Host) -> None:
    slot = await pool.claim(ONLINE)
    assert await lookup(None, slot.dns, "example.com") == "nothing"
    ip("route", "add", f"{slot.dns}/32", "via", HOST_PUBLIC, namespace=host.internet)
    assert await reached(host.internet, [Target("udp", slot.dns, 53), Target("tcp", slot.dns, 53)]) == set()


async def test_a_changed_resolv_conf_is_noticed_and_a_dead_server_passed_over(
    host: Host, pool: NetworkPool, resolv_conf: Path
) -> None:
    slot = await pool.claim(ONLINE)
    assert await lookup(slot.name, slot.dns, "example.com") == "SERVFAIL"
    replacement = resolv_conf.with_suffix(".new")
    replacement.write_text(f"nameserver 127.0.0.99\nnameserver {ROUTER}\n")
    os.replace(replacement, resolv_conf)
    async with running("resolve", ROUTER, "53", "23.0.0.10", netns=host.internet) as other:
        assert await other.line() == "ready"
        async with asyncio.timeout(10):
            while await lookup(slot.name, slot.dns, "example.com") != "23.0.0.10":
                pass


async def test_garbage_is_answered_or_ignored_and_harms_nobody(resolver: Program, pool: NetworkPool) -> None:
    slot = await pool.claim(ONLINE)
    async with running("converse", "udp", slot.dns, "53", netns=slot.name) as flow:
        assert await flow.line() == "connected"
        for garbage in ("00", "ff" * 400, "1234 0100 0001 0000 0000 0000 c00c 0001 0001".replace(" ", "")):
            await flow.say(f"hex {garbage}")
            assert await flow.line() in ("heard", "silence")
    assert await lookup(slot.name, slot.dns, "example.com") == ANSWER
