"""Slots come, change, go; servers crash; the host gets back what was lent."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from sandlot.errors import LimitExceeded, NotFound, Unavailable
from sandlot.network import NetworkPolicy, NetworkPool, NetworkSlot, netlink

from .conftest import INSTANCE, NEIGHBOUR, Host, namespaces
from .world import FAR, HOST_PUBLIC, PORT, PROGRAMS, Program, Target, everything_of, ip, nft, reached, running

ONLINE = NetworkPolicy()
OFFLINE = NetworkPolicy(internet=False)


async def traces() -> dict[str, object]:
    """Everything on this host that bears our mark."""
    return {
        "links": {line for line in ip("-brief", "link").splitlines() if line.startswith("sl")},
        "addresses": ip("address", "show", "dev", "lo", "label", "lo:sl*"),
        "routes": ip("route", "show", "type", "unreachable"),
        "tables": await nft("list", "tables"),
        "namespaces": {name for name in namespaces() if name.startswith("sl-")},
    }


async def test_switching_internet_off_cuts_what_is_open_and_on_allows_anew(
    pool: NetworkPool, far_server: Program
) -> None:
    slot = await pool.claim(ONLINE)
    async with (
        running("converse", "tcp", FAR, str(PORT), netns=slot.name) as stream,
        running("converse", "udp", FAR, str(PORT), netns=slot.name) as datagrams,
    ):
        for flow in (stream, datagrams):
            assert await flow.line() == "connected"
            await flow.say("hello")
            assert await flow.line() == "heard"
        await pool.set_policy(slot, OFFLINE)
        for flow in (stream, datagrams):
            await flow.say("am I still here")
            assert await flow.line() == "silence"
    assert await reached(slot.name, everything_of(FAR)) == set()
    await pool.set_policy(slot, ONLINE)
    assert await reached(slot.name, everything_of(FAR)) == set(everything_of(FAR))


async def test_the_hosts_own_connections_survive_a_change_of_policy(pool: NetworkPool) -> None:
    slot = await pool.claim(ONLINE)
    async with running("serve", str(PORT), netns=slot.name) as guest:
        assert await guest.line() == "ready"
        async with running("converse", "tcp", slot.guest_ip, str(PORT)) as flow:
            assert await flow.line() == "connected"
            for policy in (OFFLINE, ONLINE):
                await pool.set_policy(slot, policy)
                await flow.say("hello")
                assert await flow.line() == "heard"


async def test_a_peer_of_a_former_guest_has_no_way_in_to_the_next(
    host: Host, tmp_path: Path, resolv_conf: Path, far_server: Program
) -> None:
    """The kernel remembers UDP flows for minutes, longer while the peer goes on sending."""
    pool = NetworkPool(INSTANCE, tmp_path, size=0, resolv_conf=resolv_conf)
    await pool.start()
    try:
        former = await pool.claim(ONLINE)
        async with running("converse", "udp", FAR, str(PORT), "7777", netns=former.name) as flow:
            assert await flow.line() == "connected"
            await flow.say("hello")
            assert await flow.line() == "heard"
        _, _, mapped_port, _ = (await far_server.line()).split(maxsplit=3)
        await pool.release(former.name)
        await pool.stop()
        skip_to_the_same_addresses(tmp_path, former)
        await pool.start()
        slot = await pool.claim(ONLINE)
        assert slot.guest_ip == former.guest_ip
        assert slot.name != former.name
        async with running("serve", "7777", netns=slot.name) as guest:
            assert await guest.line() == "ready"
            async with running("spoof", FAR, HOST_PUBLIC, mapped_port, netns=host.internet) as peer:
                assert await peer.line() == "sent"
            assert await reached(None, [Target("udp", slot.guest_ip, 7777)])
            assert slot.host_ip in await guest.line()
    finally:
        await pool.teardown()


async def test_connections_are_forgotten_before_addresses_come_round_again(
    pool: NetworkPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of slots that a crashed server had removed and not yet forgotten."""
    forgotten: list[str] = []
    monkeypatch.setattr(netlink, "forget_connections", forgotten.extend)
    slot = await pool.claim(ONLINE)
    await pool.release(slot.name)
    await pool.stop()
    assert slot.guest_ip in forgotten
    forgotten.clear()
    await pool.start()
    assert slot.guest_ip in forgotten


def skip_to_the_same_addresses(state_dir: Path, slot: NetworkSlot) -> None:
    """As if all other addresses of the block had been used meanwhile."""
    ledger = json.loads((state_dir / "network.json").read_text())
    ledger["reserved"] = int(slot.name.rsplit("-", 1)[1]) + 2047
    (state_dir / "network.json").write_text(json.dumps(ledger))


async def test_address_and_route_come_back(pool: NetworkPool, far_server: Program) -> None:
    slot = await pool.claim(ONLINE)
    ip("address", "flush", "dev", "eth0", namespace=slot.name)
    assert await reached(slot.name, everything_of(FAR)) == set()
    await pool.readdress(slot)
    await pool.readdress(slot)
    assert await reached(slot.name, everything_of(FAR)) == set(everything_of(FAR))


async def test_counters_count_as_the_guest_does(pool: NetworkPool, far_server: Program) -> None:
    slot = await pool.claim(ONLINE)
    received, sent = await pool.counters(slot)
    async with running("converse", "udp", FAR, str(PORT), netns=slot.name) as flow:
        assert await flow.line() == "connected"
        await flow.say("x" * 1000)
        assert await flow.line() == "heard"
    received_then, sent_then = await pool.counters(slot)
    assert sent_then - sent >= 1000
    assert 0 < received_then - received < 1000


async def test_slots_are_used_once(pool: NetworkPool) -> None:
    seen: list[NetworkSlot] = []
    for _ in range(10):
        slot = await pool.claim(ONLINE)
        assert slot.netns.exists()
        await pool.release(slot.name)
        assert not slot.netns.exists()
        seen.append(slot)
    assert len({slot.name for slot in seen}) == len({slot.guest_ip for slot in seen}) == 10


async def test_release_is_idempotent_and_what_is_released_cannot_be_used(pool: NetworkPool) -> None:
    slot = await pool.claim(ONLINE)
    await asyncio.gather(pool.release(slot.name), pool.release(slot.name))
    await pool.release(slot.name)
    for use in (pool.readdress(slot), pool.counters(slot), pool.set_policy(slot, ONLINE)):
        with pytest.raises(NotFound):
            await use


async def test_a_cancelled_release_is_finished(pool: NetworkPool) -> None:
    slot = await pool.claim(ONLINE)
    task = asyncio.create_task(pool.release(slot.name))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await pool.release(slot.name)
    assert not slot.netns.exists()


async def test_the_limit_is_named_and_a_release_makes_room(
    host: Host, tmp_path: Path, resolv_conf: Path
) -> None:
    pool = NetworkPool(INSTANCE, tmp_path, size=5, limit=3, resolv_conf=resolv_conf)
    await pool.start()
    try:
        outcomes = await asyncio.gather(*(pool.claim(ONLINE) for _ in range(5)), return_exceptions=True)
        slots = [outcome for outcome in outcomes if isinstance(outcome, NetworkSlot)]
        refusals = [outcome for outcome in outcomes if isinstance(outcome, LimitExceeded)]
        assert (len(slots), len(refusals)) == (3, 2)
        assert "3" in refusals[0].message
        await pool.release(slots[0].name)
        await pool.claim(OFFLINE)
    finally:
        await pool.teardown()


async def test_cancelled_claims_lose_no_slot(host: Host, tmp_path: Path, resolv_conf: Path) -> None:
    pool = NetworkPool(INSTANCE, tmp_path, size=0, resolv_conf=resolv_conf)
    await pool.start()
    try:
        for _ in range(5):
            task = asyncio.create_task(pool.claim(ONLINE))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await pool.claim(ONLINE)
        await pool.stop()
        assert len((await traces())["namespaces"]) == 1  # type: ignore[arg-type]
    finally:
        await pool.teardown()


async def test_fifty_claims_and_releases_leak_nothing(pool: NetworkPool) -> None:
    async def use() -> None:
        slot = await pool.claim(ONLINE)
        await pool.set_policy(slot, OFFLINE)
        await pool.release(slot.name)

    async def settled() -> tuple[int, int, dict[str, object]]:
        await pool.stop()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("net")]
        return len(os.listdir("/proc/self/fd")), len(threads), await traces()

    await use()
    before = await settled()
    await pool.start()
    for _ in range(10):
        await asyncio.gather(*(use() for _ in range(5)))
    assert await settled() == before


async def test_the_event_loops_thread_stays_where_it_is(pool: NetworkPool) -> None:
    here = os.readlink("/proc/thread-self/ns/net")
    slot = await pool.claim(ONLINE)
    await pool.readdress(slot)
    await pool.release(slot.name)
    assert os.readlink("/proc/thread-self/ns/net") == here
    assert await asyncio.to_thread(os.readlink, "/proc/thread-self/ns/net") == here


async def test_teardown_leaves_nothing(host: Host, tmp_path: Path, resolv_conf: Path) -> None:
    switch = Path("/proc/sys/net/ipv4/conf/up0/forwarding")
    before = await traces(), await asyncio.to_thread(switch.read_text)
    pool = NetworkPool(INSTANCE, tmp_path, size=2, resolv_conf=resolv_conf)
    await pool.start()
    await pool.claim(ONLINE)
    await pool.claim(OFFLINE)
    assert (await asyncio.to_thread(switch.read_text)).strip() == "1"
    assert (await asyncio.to_thread(Path("/proc/sys/net/ipv4/ip_forward").read_text)).strip() == "0"
    await pool.teardown()
    assert (await traces(), await asyncio.to_thread(switch.read_text)) == before
    await pool.teardown()
    with pytest.raises(Unavailable):
        await pool.claim(ONLINE)


async def test_a_restarted_server_finds_its_sandboxes_as_they_were(
    pool: NetworkPool, tmp_path: Path, resolv_conf: Path, far_server: Program
) -> None:
    online, offline, lost = [await pool.claim(policy) for policy in (ONLINE, OFFLINE, ONLINE)]
    await pool.stop()
    again = NetworkPool(INSTANCE, tmp_path, size=1, resolv_conf=resolv_conf)
    await again.start()
    try:
        assert await reached(online.name, everything_of(FAR)) == set(everything_of(FAR))
        assert await reached(offline.name, everything_of(FAR)) == set()
        assert await again.adopt(online.name, OFFLINE) == online
        assert await again.adopt(offline.name, ONLINE) == offline
        assert await again.sweep({online.name, offline.name}) == [lost.name]
        assert await reached(online.name, everything_of(FAR)) == set()
        assert await reached(offline.name, everything_of(FAR)) == set(everything_of(FAR))
        for name in (lost.name, f"sl-{INSTANCE}-999", f"sl-{NEIGHBOUR}-1", "../../etc/passwd"):
            with pytest.raises(NotFound):
                await again.adopt(name, ONLINE)
        fresh = await again.claim(ONLINE)
        assert fresh.name not in {online.name, offline.name, lost.name}
        assert await again.sweep(set()) == []
        assert fresh.netns.exists()
    finally:
        await again.teardown()


@pytest.mark.parametrize("place", ["named", "cabled", "unadmitted"])
async def test_what_a_killed_server_left_is_adopted_or_swept(
    host: Host, tmp_path: Path, resolv_conf: Path, place: str
) -> None:
    before = await traces()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAMS / "crash.py"),
        INSTANCE,
        str(tmp_path),
        place,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == -9
    kept, abandoned = [line for line in output.decode().splitlines() if line.startswith("sl-")]
    pool = NetworkPool(INSTANCE, tmp_path, size=0, resolv_conf=resolv_conf)
    await pool.start()
    try:
        slot = await pool.adopt(kept, ONLINE)
        removed = await pool.sweep({kept})
        assert abandoned in removed
        assert len(removed) >= 2
        assert (await traces())["namespaces"] == {kept}
        async with running("serve", str(PORT), netns=kept) as guest:
            assert await guest.line() == "ready"
            assert await reached(None, [Target("tcp", slot.guest_ip)])
    finally:
        await pool.teardown()
    assert await traces() == before


async def test_a_flushed_firewall_comes_back_at_once(pool: NetworkPool, host_server: Program) -> None:
    slot = await pool.claim(ONLINE)
    for damage in (
        "flush ruleset",
        f"flush table inet sandlot_{INSTANCE}",
        f"flush chain inet sandlot_{INSTANCE} from_slot",
    ):
        await nft(*damage.split())
        async with asyncio.timeout(10):
            while await reached(slot.name, everything_of(HOST_PUBLIC)):
                pass
    assert f"sl{INSTANCE}-" in await nft("list", "ruleset")


async def test_a_firewall_flushed_while_the_server_was_down_comes_back_closed(
    pool: NetworkPool, tmp_path: Path, resolv_conf: Path, far_server: Program, host_server: Program
) -> None:
    slot = await pool.claim(ONLINE)
    await pool.stop()
    await nft("flush", "ruleset")
    again = NetworkPool(INSTANCE, tmp_path, size=0, resolv_conf=resolv_conf)
    await again.start()
    try:
        assert await reached(slot.name, everything_of(FAR, HOST_PUBLIC)) == set()
        await again.adopt(slot.name, ONLINE)
        assert await reached(slot.name, everything_of(FAR, HOST_PUBLIC)) == set(everything_of(FAR))
    finally:
        await again.teardown()


async def test_another_firewall_in_the_way_is_named(
    host: Host, tmp_path: Path, resolv_conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await nft(
        "-f",
        "-",
        stdin="table ip docker { chain FORWARD { type filter hook forward priority 0; policy drop; }\n}",
    )
    pool = NetworkPool(INSTANCE, tmp_path, size=0, resolv_conf=resolv_conf)
    await pool.start()
    await pool.teardown()
    output = capsys.readouterr().out
    assert "ip docker FORWARD" in output
    assert "no internet" in output


async def test_a_new_uplink_is_used(host: Host, pool: NetworkPool, far_server: Program) -> None:
    slot = await pool.claim(ONLINE)
    ip("link", "add", "up1", "type", "veth", "peer", "name", "eth2", "netns", host.internet)
    ip("address", "add", "22.0.1.2/24", "dev", "up1")
    ip("link", "set", "up1", "up")
    ip("address", "add", "22.0.1.1/24", "dev", "eth2", namespace=host.internet)
    ip("link", "set", "eth2", "up", namespace=host.internet)
    ip("route", "replace", "default", "via", "22.0.1.1")
    async with asyncio.timeout(10):
        while await reached(slot.name, everything_of(FAR)) != set(everything_of(FAR)):
            pass


async def test_the_block_avoids_what_the_host_knows(host: Host, tmp_path: Path, resolv_conf: Path) -> None:
    first = NetworkPool(INSTANCE, tmp_path, size=0, resolv_conf=resolv_conf)
    await first.start()
    usual = (await first.claim(ONLINE)).dns
    await first.teardown()
    (tmp_path / "network.json").unlink()
    ip("route", "add", "blackhole", f"{usual}/32")
    await first.start()
    try:
        assert (await first.claim(ONLINE)).dns != usual
    finally:
        await first.teardown()
