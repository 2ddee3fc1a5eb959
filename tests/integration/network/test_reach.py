"""What a guest reaches, and who reaches a guest."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sandlot.network import NetworkPolicy, NetworkPool

from .conftest import INSTANCE, NEIGHBOUR, Host
from .world import (
    FAR,
    HOST_LAN,
    HOST_PUBLIC,
    LAN_PEER,
    METADATA,
    MIRROR,
    NOT_PUBLIC,
    PORT,
    ROUTER,
    Program,
    Target,
    everything_of,
    ip,
    nft,
    probe,
    reached,
    running,
)

ONLINE = NetworkPolicy()
OFFLINE = NetworkPolicy(internet=False)


@pytest.mark.parametrize("policy", [ONLINE, OFFLINE])
async def test_the_host_can_dial_the_guest(pool: NetworkPool, policy: NetworkPolicy) -> None:
    slot = await pool.claim(policy)
    async with running("serve", str(PORT), netns=slot.name) as guest:
        assert await guest.line() == "ready"
        assert await reached(None, everything_of(slot.guest_ip)) == set(everything_of(slot.guest_ip))


async def test_the_internet_sees_the_host_and_not_the_guest(pool: NetworkPool, far_server: Program) -> None:
    slot = await pool.claim(ONLINE)
    answers = await probe(slot.name, everything_of(FAR, ROUTER))
    assert set(answers.values()) == {HOST_PUBLIC, "icmp"}


async def test_a_guest_without_internet_reaches_nothing(
    pool: NetworkPool, far_server: Program, host_server: Program
) -> None:
    slot = await pool.claim(OFFLINE)
    targets = everything_of(FAR, ROUTER, HOST_PUBLIC, HOST_LAN, slot.host_ip, slot.dns, *NOT_PUBLIC)
    assert await reached(slot.name, targets) == set()


async def test_a_guest_never_reaches_the_host(pool: NetworkPool, host_server: Program) -> None:
    slot, other = await pool.claim(ONLINE), await pool.claim(ONLINE)
    addresses = [HOST_PUBLIC, HOST_LAN, slot.host_ip, other.host_ip, slot.dns]
    assert await reached(None, everything_of(*addresses)) == set(everything_of(*addresses))
    assert await reached(slot.name, everything_of(*addresses, "127.0.0.1")) <= {Target("icmp", "127.0.0.1")}


async def test_loopback_services_of_the_host_stay_out_of_reach_by_any_route(
    pool: NetworkPool, host_server: Program
) -> None:
    slot = await pool.claim(ONLINE)
    for command in (
        ("link", "set", "lo", "down"),
        ("route", "add", "127.0.0.1/32", "via", slot.host_ip, "dev", "eth0"),
        ("route", "add", "127.0.0.53/32", "via", slot.host_ip, "dev", "eth0"),
    ):
        ip(*command, namespace=slot.name)
    targets = [*everything_of("127.0.0.53"), Target("udp", "127.0.0.53", 53), Target("tcp", "127.0.0.53", 53)]
    assert await reached(slot.name, targets) == set()


async def test_private_networks_and_metadata_are_out_of_reach(pool: NetworkPool, far_server: Program) -> None:
    assert await reached(None, everything_of(*NOT_PUBLIC)) == set(everything_of(*NOT_PUBLIC))
    slot = await pool.claim(ONLINE)
    assert await reached(slot.name, everything_of(*NOT_PUBLIC)) == set()


async def test_networks_that_the_admin_allows_are_reached_and_their_neighbours_not(
    host: Host, tmp_path: Path, resolv_conf: Path, far_server: Program
) -> None:
    pool = NetworkPool(
        INSTANCE, tmp_path, size=0, allow=["10.1.2.0/24", "10.1.2.0/25"], resolv_conf=resolv_conf
    )
    await pool.start()
    try:
        slot, offline = await pool.claim(ONLINE), await pool.claim(OFFLINE)
        assert await reached(slot.name, everything_of(*NOT_PUBLIC)) == set(everything_of(MIRROR))
        assert await reached(offline.name, everything_of(MIRROR)) == set()
    finally:
        await pool.teardown()


async def test_a_published_port_of_the_host_is_no_way_around(pool: NetworkPool, far_server: Program) -> None:
    """Container engines publish ports by destination NAT, which happens before forwarding is decided."""
    await nft(
        "-f",
        "-",
        stdin=f"""table ip published {{ chain c {{ type nat hook prerouting priority dstnat;
        ip daddr {{ {HOST_PUBLIC}, {FAR} }} tcp dport 9999 dnat to {MIRROR}:{PORT}
        ip daddr {HOST_PUBLIC} tcp dport 9998 dnat to {FAR}:{PORT}
        }}
        }}""",
    )
    slot = await pool.claim(ONLINE)
    targets = [
        Target("tcp", HOST_PUBLIC, 9998),
        Target("tcp", HOST_PUBLIC, 9999),
        Target("tcp", FAR, 9999),
    ]
    assert await reached(slot.name, targets) == set()


async def test_guests_do_not_reach_each_other(host: Host, pool: NetworkPool, tmp_path: Path) -> None:
    neighbour_dir = tmp_path / "neighbour"
    neighbour_dir.mkdir()
    neighbour = NetworkPool(NEIGHBOUR, neighbour_dir, size=0, resolv_conf=tmp_path / "resolv.conf")
    await neighbour.start()
    try:
        slot, other, foreign = (
            await pool.claim(ONLINE),
            await pool.claim(ONLINE),
            await neighbour.claim(ONLINE),
        )
        async with (
            running("serve", str(PORT), netns=other.name) as first,
            running("serve", str(PORT), netns=foreign.name) as second,
        ):
            assert await first.line() == await second.line() == "ready"
            targets = everything_of(other.guest_ip, foreign.guest_ip)
            assert await reached(None, targets) == set(targets)
            assert await reached(slot.name, [*targets, *everything_of(foreign.host_ip, foreign.dns)]) == set()
    finally:
        await neighbour.teardown()


async def test_nobody_outside_reaches_a_guest(host: Host, pool: NetworkPool) -> None:
    slot = await pool.claim(ONLINE)
    async with running("serve", str(PORT), netns=slot.name) as guest:
        assert await guest.line() == "ready"
        for address in (slot.guest_ip, slot.host_ip, slot.dns):
            ip("route", "add", f"{address}/32", "via", HOST_PUBLIC, namespace=host.internet)
        targets = [*everything_of(slot.guest_ip, slot.host_ip, slot.dns), Target("udp", slot.dns, 53)]
        assert await reached(host.internet, targets) == set()


async def test_a_false_source_address_gets_nowhere(
    pool: NetworkPool, far_server: Program, host_server: Program
) -> None:
    slot, other = await pool.claim(ONLINE), await pool.claim(ONLINE)
    for source in (other.guest_ip, slot.host_ip, LAN_PEER, FAR, "22.0.0.77"):
        for destination in (FAR, slot.host_ip, HOST_PUBLIC, other.guest_ip):
            async with running("spoof", source, destination, str(PORT), netns=slot.name) as program:
                assert await program.line() == "sent"
    # The next thing that either server hears of is an honest packet.
    assert await reached(slot.name, [Target("udp", FAR)]) == {Target("udp", FAR)}
    assert await reached(None, [Target("udp", HOST_LAN)]) == {Target("udp", HOST_LAN)}
    assert "spoofed" not in await far_server.line()
    assert "spoofed" not in await host_server.line()


async def test_ipv6_is_off_and_leads_nowhere_when_it_is_switched_on(host: Host, pool: NetworkPool) -> None:
    slot = await pool.claim(ONLINE)
    assert "inet6" not in ip("address", "show", "dev", "eth0", namespace=slot.name)
    assert "inet6" not in ip("address", "show", "dev", slot.host_if)
    # As if a privileged guest, and a careless admin, had switched it on.
    for namespace, interface, address in (
        (slot.name, "eth0", "fe80::2"),
        (None, slot.host_if, "fe80::1"),
    ):
        await sysctl(f"net.ipv6.conf.{interface}.disable_ipv6=0", namespace)
        ip("-6", "address", "add", f"{address}/64", "dev", interface, "nodad", namespace=namespace)
    async with running("serve", str(PORT), "6") as server:
        assert await server.line() == "ready"
        assert await reached(None, [Target("tcp", "::1")]) == {Target("tcp", "::1")}
        assert await reached(slot.name, everything_of("fe80::1%eth0", "ff02::1%eth0")) == set()


async def test_metadata_stays_out_of_reach_through_a_route_of_the_guests_own(
    pool: NetworkPool, far_server: Program
) -> None:
    slot = await pool.claim(ONLINE)
    ip("route", "add", f"{METADATA}/32", "via", slot.host_ip, "dev", "eth0", namespace=slot.name)
    assert await reached(slot.name, everything_of(METADATA)) == set()


@pytest.mark.parametrize(("ports", "counter"), [("dns", "dns_rate"), ("each", "too_many")])
async def test_one_guest_cannot_use_up_what_all_share(
    host: Host, pool: NetworkPool, far_server: Program, ports: str, counter: str
) -> None:
    slot, other = await pool.claim(ONLINE), await pool.claim(ONLINE)
    destination = slot.dns if ports == "dns" else FAR
    async with running("flood", destination, "6000", ports, netns=slot.name) as program:
        assert await program.line() == "sent"
    listing = json.loads(await nft("-j", "list", "counter", "inet", f"sandlot_{INSTANCE}", counter))
    assert listing["nftables"][1]["counter"]["packets"] > 0
    assert await reached(other.name, everything_of(FAR)) == set(everything_of(FAR))


async def sysctl(setting: str, namespace: str | None) -> None:
    enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    process = await asyncio.create_subprocess_exec(
        *enter, "sysctl", "-q", "-w", setting, stdin=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
