"""The nftables table of one instance.

Rules never change while the table stands: adding, removing or re-deciding a slot is a change of set elements.
The sets are mirrored here, so that the table can be made anew, whole and in one transaction, at any time.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Any

import structlog

from sandlot.errors import Unavailable
from sandlot.network import netlink
from sandlot.network.addresses import AddressPlan, NetworkSlot
from sandlot.network.netlink import Change, interface_and_address
from sandlot.network.policy import BLOCKED

log = structlog.get_logger(__name__)

NFT_DEADLINE = 10.0
MAX_CONNECTIONS = 4096
"""Connections to the internet that one slot may have tracked at a time: the host's table is shared by all."""
DNS_RATE = 200
"""Packets a second to the DNS forwarder from one slot, beyond which they are dropped before reaching us."""

Json = dict[str, Any]


class Firewall:
    def __init__(self, plan: AddressPlan, allow: Iterable[IPv4Network] = ()) -> None:
        self.table = table_name(plan.instance)
        self._plan = plan
        self._allow = tuple(allow)
        self._slots: dict[str, str] = {}  # host interface → guest address
        self._internet: set[str] = set()
        self._queue: list[tuple[list[Change], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def start(self, slots: Iterable[NetworkSlot]) -> None:
        """Make the table anew for the slots that exist. What they may reach is taken over from the old table.

        If that is gone (a reboot, ``nft flush ruleset``) they reach nothing until their policy is set again.
        """
        before = await self._stored_internet()
        self._slots = {slot.host_if: slot.guest_ip for slot in slots}
        self._internet = before & set(self._slots.values())
        await self._rebuild()

    async def stop(self) -> None:
        if self._writer is not None:
            await self._writer

    async def add(self, slot: NetworkSlot, *, internet: bool) -> None:
        self._slots[slot.host_if] = slot.guest_ip
        slots = Change(True, "slots", interface_and_address(slot.host_if, slot.guest_ip))
        await self._write([slots, *self._decide(slot.guest_ip, internet)])

    async def set_internet(self, slot: NetworkSlot, internet: bool) -> None:
        """In force for the next packet, of existing connections too."""
        if changes := self._decide(slot.guest_ip, internet):
            await self._write(changes)

    async def remove(self, slot: NetworkSlot) -> None:
        changes = self._decide(slot.guest_ip, False)
        if self._slots.pop(slot.host_if, None):
            changes.append(Change(False, "slots", interface_and_address(slot.host_if, slot.guest_ip)))
        if changes:
            await self._write(changes)

    def allows_internet(self, guest_ip: str) -> bool:
        return guest_ip in self._internet

    async def repair(self) -> bool:
        """Make the table anew if it is not what it should be. True when that was needed."""
        if await self._is_intact():
            return False
        await self._rebuild()
        return True

    async def _rebuild(self) -> None:
        await nft(ruleset(self._plan, self._allow, self._slots, self._internet))

    async def _is_intact(self) -> bool:
        try:
            listing = await nft_list("-t", "list", "table", "inet", self.table)
        except Unavailable:
            return False
        expected = ruleset(self._plan, self._allow, {}, set())
        return _shape(listing) == _shape(command["add"] for command in expected if "add" in command)

    async def _stored_internet(self) -> set[str]:
        try:
            listing = await nft_list("list", "set", "inet", self.table, "internet")
        except Unavailable:
            return set()
        return {address for entry in listing if "set" in entry for address in entry["set"].get("elem", [])}

    def _decide(self, guest_ip: str, internet: bool) -> list[Change]:
        if internet == (guest_ip in self._internet):
            return []
        if internet:
            self._internet.add(guest_ip)
        else:
            self._internet.discard(guest_ip)
        return [Change(internet, "internet", IPv4Address(guest_ip).packed)]

    async def _write(self, changes: list[Change]) -> None:
        """Changes that come during a transaction go into the next. A cancelled caller's change stands."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((changes, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain(), name=f"{self.table} writer")
        await done

    async def _drain(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            failure: Exception | None = None
            try:
                await change_sets(self.table, [change for changes, _ in batch for change in changes])
            except Unavailable as error:
                log.warning(
                    "firewall change refused, making the table anew", table=self.table, error=str(error)
                )
                try:
                    await self._rebuild()
                except Unavailable as again:
                    failure = again
            for _, done in batch:
                if done.done():
                    continue
                if failure is None:
                    done.set_result(None)
                else:
                    done.set_exception(failure)


def table_name(instance: str) -> str:
    return f"sandlot_{instance}"


async def drop_table(instance: str) -> None:
    """Idempotent."""
    table = {"table": {"family": "inet", "name": table_name(instance)}}
    await nft([{"add": table}, {"delete": table}])


async def tables() -> set[str]:
    """Tables of every instance on this host."""
    listing = await nft_list("list", "tables")
    names = (entry["table"]["name"] for entry in listing if "table" in entry)
    return {name for name in names if name.startswith("sandlot_")}


async def foreign_drops() -> list[tuple[str, str]]:
    """Chains of others (Docker's, ufw's) that drop packets by default, with what sandboxes lack through it.

    A packet passes only when every table lets it pass, so no rule of ours can help.
    """
    listing = await nft_list("list", "chains")
    chains = (entry["chain"] for entry in listing if "chain" in entry)
    lacking = {"forward": "internet", "input": "DNS"}
    return [
        (f"{chain['family']} {chain['table']} {chain['name']}", lacking[chain["hook"]])
        for chain in chains
        if chain.get("hook") in lacking and chain.get("policy") == "drop"
    ]


def ruleset(
    plan: AddressPlan, allow: Iterable[IPv4Network], slots: Mapping[str, str], internet: Iterable[str]
) -> list[Json]:
    """The whole table as one transaction that replaces what there was."""
    table = table_name(plan.instance)
    ours = f"sl{plan.instance}-*"
    block = _prefix(plan.block)
    gateway = str(plan.gateway)
    commands: list[Json] = []

    def add(kind: str, **content: Any) -> None:
        commands.append({"add": {kind: {"family": "inet", "table": table, **content}}})

    def add_set(name: str, kind: str | list[str], elements: list[Any], **content: Any) -> None:
        add("set", name=name, type=kind, **content, **({"elem": elements} if elements else {}))

    def rule(chain: str, *statements: Json) -> None:
        add("rule", chain=chain, expr=list(statements))

    itself = {"table": {"family": "inet", "name": table}}
    commands += [{"add": itself}, {"delete": itself}, {"add": itself}]

    for counter in (
        "ipv6",
        "spoofed",
        "to_host",
        "no_internet",
        "blocked",
        "from_outside",
        "too_many",
        "dns_rate",
    ):
        add("counter", name=counter)
    add_set(
        "slots", ["ifname", "ipv4_addr"], [{"concat": [name, address]} for name, address in slots.items()]
    )
    add_set("internet", "ipv4_addr", sorted(internet))
    add_set("blocked", "ipv4_addr", [_prefix(network) for network in BLOCKED], flags=["interval"])
    add_set("allowed", "ipv4_addr", [_prefix(network) for network in _merged(allow)], flags=["interval"])
    add_set("connections", "ipv4_addr", [], size=plan.block.num_addresses)
    add_set("dns_rates", "ipv4_addr", [], size=plan.block.num_addresses, flags=["timeout"], timeout=60)

    # Before anybody's destination NAT, which could turn a forbidden destination into another.
    add("chain", name="prerouting", type="filter", hook="prerouting", prio=-150, policy="accept")
    add("chain", name="input", type="filter", hook="input", prio=0, policy="accept")
    add("chain", name="forward", type="filter", hook="forward", prio=0, policy="accept")
    add("chain", name="postrouting", type="nat", hook="postrouting", prio=100, policy="accept")
    for chain in ("from_slot", "dns", "slot_to_host", "slot_to_internet", "to_slot"):
        add("chain", name=chain)

    rule("prerouting", _is(_meta("iifname"), ours), _jump("from_slot"))
    rule("prerouting", _is(_meta("iifname"), "lo"), _accept())
    rule("prerouting", _is(_ip("daddr"), block), *_drop("from_outside"))

    reply_to_host = (_in(_ct("state"), "established"), _is(_ct("direction"), "reply"))
    rule("from_slot", _not(_meta("nfproto"), "ipv4"), *_drop("ipv6"))
    rule("from_slot", _not({"concat": [_meta("iifname"), _ip("saddr")]}, "@slots"), *_drop("spoofed"))
    rule("from_slot", *reply_to_host, _accept())
    rule("from_slot", _not(_ip("saddr"), "@internet"), *_drop("no_internet"))
    for protocol in ("udp", "tcp"):
        rule("from_slot", _is(_ip("daddr"), gateway), _is(_port(protocol), 53), _goto("dns"))
    rule("from_slot", _not({"fib": {"result": "type", "flags": ["daddr"]}}, "unicast"), *_drop("to_host"))
    rule("from_slot", _accept())

    too_fast = {"limit": {"rate": DNS_RATE, "burst": 2 * DNS_RATE, "per": "second", "inv": True}}
    rule("dns", _count("dns_rates", too_fast), *_drop("dns_rate"))
    rule("dns", _accept())

    # Not by "established" alone: a flow that the guest began ends with its permission.
    rule("input", _is(_meta("iifname"), ours), _jump("slot_to_host"))
    rule("slot_to_host", *reply_to_host, _accept())
    for protocol in ("udp", "tcp"):
        rule(
            "slot_to_host",
            _is(_ip("saddr"), "@internet"),
            _is(_ip("daddr"), gateway),
            _is(_port(protocol), 53),
            _accept(),
        )
    rule("slot_to_host", *_drop("to_host"))

    rule("forward", _is(_meta("iifname"), ours), _jump("slot_to_internet"))
    rule("forward", _is(_meta("oifname"), ours), _jump("to_slot"))
    rule("slot_to_internet", _not(_meta("nfproto"), "ipv4"), *_drop("ipv6"))
    rule("slot_to_internet", _not(_ip("saddr"), "@internet"), *_drop("no_internet"))
    rule("slot_to_internet", _is(_meta("oifname"), ours), *_drop("blocked"))
    rule("slot_to_internet", _not(_ip("daddr"), "@allowed"), _is(_ip("daddr"), "@blocked"), *_drop("blocked"))
    too_many = {"ct count": {"val": MAX_CONNECTIONS, "inv": True}}
    rule("slot_to_internet", _in(_ct("state"), "new"), _count("connections", too_many), *_drop("too_many"))
    rule("slot_to_internet", _accept())

    rule("to_slot", _not(_meta("nfproto"), "ipv4"), *_drop("ipv6"))
    rule("to_slot", _not(_ip("daddr"), "@internet"), *_drop("no_internet"))
    rule("to_slot", _in(_ct("state"), "established"), _is(_ct("direction"), "reply"), _accept())
    # Path MTU discovery needs the errors that routers send.
    rule("to_slot", _in(_ct("state"), "related"), _is(_meta("l4proto"), "icmp"), _accept())
    rule("to_slot", *_drop("from_outside"))

    rule("postrouting", _is(_ip("saddr"), block), _not(_meta("oifname"), ours), {"masquerade": None})
    return commands


async def change_sets(table: str, changes: list[Change]) -> None:
    """One transaction. Raises Unavailable."""
    try:
        await asyncio.to_thread(netlink.change_sets, table, changes)
    except OSError as error:
        raise Unavailable(f"elements of {table} cannot be changed: {error}") from error


async def nft(commands: list[Json]) -> None:
    """One transaction. Raises Unavailable with what ``nft`` said."""
    await _run("-j", "-f", "-", stdin=json.dumps({"nftables": commands}).encode())


async def nft_list(*arguments: str) -> list[Json]:
    """Raises Unavailable; also when the thing asked for does not exist."""
    listing: list[Json] = json.loads(await _run("-j", *arguments))["nftables"]
    return listing


async def _run(*arguments: str, stdin: bytes = b"") -> bytes:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise Unavailable("nft is not installed: apt install nftables")
    with _in_memory(stdin) as file:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=file, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    try:
        async with asyncio.timeout(NFT_DEADLINE):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise Unavailable(f"nft did not end within {NFT_DEADLINE:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Unavailable(f"nft {' '.join(arguments)}: {errors.decode(errors='replace').strip()[:500]}")
    return output


@contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A file, because nft opens /dev/stdin, and uvloop's pipes are sockets, which cannot be opened."""
    descriptor = os.memfd_create("nft")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _shape(objects: Iterable[Json]) -> dict[str, int]:
    """What must be there: the names of chains and sets, and how many rules each chain has."""
    shape: dict[str, int] = {}
    for entry in objects:
        for kind in ("chain", "set"):
            if kind in entry:
                shape.setdefault(f"{kind} {entry[kind]['name']}", 0)
        if "rule" in entry:
            chain = f"chain {entry['rule']['chain']}"
            shape[chain] = shape.get(chain, 0) + 1
    return shape


def _merged(networks: Iterable[IPv4Network]) -> list[IPv4Network]:
    """An interval set refuses overlaps."""
    return list(collapse_addresses(networks))


def _prefix(network: IPv4Network) -> Json:
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def _meta(key: str) -> Json:
    return {"meta": {"key": key}}


def _ct(key: str) -> Json:
    return {"ct": {"key": key}}


def _ip(field: str) -> Json:
    return {"payload": {"protocol": "ip", "field": field}}


def _port(protocol: str) -> Json:
    return {"payload": {"protocol": protocol, "field": "dport"}}


def _match(operator: str, left: Json, right: Any) -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _is(left: Json, right: Any) -> Json:
    return _match("==", left, right)


def _not(left: Json, right: Any) -> Json:
    return _match("!=", left, right)


def _in(left: Json, right: Any) -> Json:
    return _match("in", left, right)


def _count(name: str, statement: Json) -> Json:
    return {"set": {"op": "add", "elem": _ip("saddr"), "set": f"@{name}", "stmt": [statement]}}


def _drop(counter: str) -> tuple[Json, Json]:
    return {"counter": counter}, {"drop": None}


def _accept() -> Json:
    return {"accept": None}


def _jump(chain: str) -> Json:
    return {"jump": {"target": chain}}


def _goto(chain: str) -> Json:
    return {"goto": {"target": chain}}
