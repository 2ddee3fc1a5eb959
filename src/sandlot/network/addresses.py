"""Which addresses and names the slots of one instance have.

A slot is known by its number alone: name and addresses follow from it, so that nothing has to be looked up
after a restart. Numbers only grow, so that a name is never given twice, and addresses come round again only
after all others of the block were used.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from sandlot.errors import InvalidArgument, LimitExceeded, Unavailable

NETNS_DIR = Path("/run/netns")
GUEST_IF = "eth0"
DEFAULT_RANGE = IPv4Network("10.192.0.0/10")
BLOCK_PREFIX = 20
SLOT_PREFIX = 31
NUMBERS_AHEAD = 256
HIGHEST_NUMBER = 99_999_999  # an interface name has 15 bytes: "sl" + 4 + "-" + 8


@dataclass(frozen=True)
class NetworkSlot:
    """One network namespace and the two ends of its cable."""

    name: str
    netns: Path
    guest_ip: str
    host_ip: str
    guest_if: str
    host_if: str
    dns: str


class AddressPlan:
    """The arithmetic between a slot's number, its name and its addresses."""

    def __init__(self, instance: str, block: IPv4Network) -> None:
        self.instance = instance
        self.block = block
        self.gateway = block[1]
        self.capacity = block.num_addresses // 2 - 1  # the first pair holds the block's own address

    def slot(self, number: int) -> NetworkSlot:
        name = slot_name(self.instance, number)
        host = self.block[2 + 2 * (number % self.capacity)]
        return NetworkSlot(
            name=name,
            netns=NETNS_DIR / name,
            guest_ip=str(host + 1),
            host_ip=str(host),
            guest_if=GUEST_IF,
            host_if=interface_name(self.instance, number),
            dns=str(self.gateway),
        )

    def next_number(self, after: int, used: Collection[int]) -> int:
        """The first number from ``after`` on whose addresses no slot in ``used`` has."""
        busy = {number % self.capacity for number in used}
        for number in range(after, after + self.capacity):
            if number % self.capacity not in busy:
                return number
        raise LimitExceeded(f"all {self.capacity} addresses of this server's block {self.block} are in use")


def slot_name(instance: str, number: int) -> str:
    return f"sl-{instance}-{number}"


def interface_name(instance: str, number: int) -> str:
    return f"sl{instance}-{number}"


def slot_number(instance: str, name: str) -> int | None:
    """The number in a slot's or an interface's name; None when the name is not of this instance."""
    match = re.fullmatch(rf"sl-?{re.escape(instance)}-(0|[1-9]\d{{0,7}})", name, re.ASCII)
    return int(match[1]) if match else None


def check_instance(instance: str) -> None:
    """The name ends up in names of interfaces and in the firewall's patterns."""
    if not re.fullmatch(r"[0-9a-f]{4}", instance):
        raise InvalidArgument(f"an instance is named by 4 hex digits, not {instance!r}")


def choose_block(instance: str, within: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network:
    """A block that overlaps nothing in ``taken``; instances begin their search at different places."""
    occupied = list(taken)
    if within.prefixlen > BLOCK_PREFIX:
        raise InvalidArgument(f"the address range {within} must hold at least a /{BLOCK_PREFIX}")
    blocks = 1 << (BLOCK_PREFIX - within.prefixlen)
    size = 1 << (32 - BLOCK_PREFIX)
    first = int(instance, 16) % blocks
    for step in range(blocks):
        start = IPv4Address(int(within.network_address) + (first + step) % blocks * size)
        block = IPv4Network((start, BLOCK_PREFIX))
        if not any(block.overlaps(network) for network in occupied):
            return block
    raise Unavailable(
        f"no free /{BLOCK_PREFIX} in {within}: every one overlaps an address or a route of this host"
    )


@dataclass
class Ledger:
    """What must outlive the process: the block, which numbers were given out, what was changed."""

    path: Path
    block: IPv4Network | None = None
    reserved: int = 0
    forwarding: list[str] = field(default_factory=list)
    _next: int = 0

    @classmethod
    def load(cls, path: Path) -> Ledger:
        """An unreadable ledger is an error, not an empty one: live slots depend on it."""
        try:
            stored = json.loads(path.read_text())
            reserved = int(stored["reserved"])
            return cls(
                path,
                IPv4Network(stored["block"]) if stored["block"] else None,
                reserved,
                [str(name) for name in stored["forwarding"]],
                reserved,
            )
        except FileNotFoundError:
            return cls(path)
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(
                f"{path} is damaged ({error}); with no sandbox running it may be removed"
            ) from error

    def take_number(self, plan: AddressPlan, used: Collection[int]) -> int:
        """Blocks (disk) once in ``NUMBERS_AHEAD`` calls. A crash loses numbers; it never gives one twice."""
        start = max(self._next, max(used, default=-1) + 1)
        if start + plan.capacity > HIGHEST_NUMBER:
            start = 0
        number = plan.next_number(start, used)
        self._next = number + 1
        if not self.reserved - NUMBERS_AHEAD <= number < self.reserved:
            self.reserved = number + NUMBERS_AHEAD
            self.save()
        return number

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        content = {
            "block": str(self.block) if self.block else None,
            "reserved": self.reserved,
            "forwarding": self.forwarding,
        }
        with temporary.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
