"""Netlink: cables, addresses, routes, counters. All of it blocks, and runs in a ``LinkWorker``'s thread."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sandlot.network import netlink, netns
from sandlot.network.addresses import GUEST_IF, SLOT_PREFIX, AddressPlan, NetworkSlot, slot_number
from sandlot.network.rtnetlink import Routes, routes

P = ParamSpec("P")
T = TypeVar("T")

_LOOPBACK = 1  # the index of lo, in every namespace
_IPV4 = Path("/proc/sys/net/ipv4")
_IPV6 = Path("/proc/sys/net/ipv6")
_ANY_PUBLIC_ADDRESS = "1.1.1.1"  # only looked up in the routing table; nothing is sent


class LinkWorker:
    """One thread with its own netlink sockets; calls are done in order."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._links: Links | None = None

    async def call(self, method: Callable[Concatenate[Links, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            if self._links is None:
                self._links = Links()
            return method(self._links, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    async def close(self) -> None:
        def shut() -> None:
            if self._links is not None:
                self._links.close()

        await asyncio.get_running_loop().run_in_executor(self._threads, shut)
        await asyncio.to_thread(self._threads.shutdown)


class Links:
    def __init__(self) -> None:
        self._ip: Any = IPRoute()
        self._host_netns = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        self._ip.close()
        os.close(self._host_netns)

    # slots

    def make(self, slot: NetworkSlot) -> None:
        """A namespace with lo and eth0 up, addressed and routed. Leaves nothing behind when it fails."""
        try:
            netns.create(slot.netns, lambda: _furnish(slot, self._host_netns))
            _set_up_host_side(slot.host_if)
            with routes() as here:
                index = _index_here(slot.host_if)
                here.add_address(index, slot.host_ip, SLOT_PREFIX)
                here.set_up(index)
        except BaseException:
            self.remove(slot)
            raise

    def remove(self, slot: NetworkSlot) -> None:
        """Idempotent. The cable goes first: from then on nothing gets in or out.

        Connections that it had are still known to the host: see ``forget_connections``.
        """
        self.cut(slot.host_if)
        netns.remove(slot.netns)

    def retire(self, slot: NetworkSlot) -> int | None:
        """``remove``, but the empty namespace stands until the descriptor is closed.

        Ending one costs the kernel milliseconds of walks through all it knows of the network, and ending ten
        at a time costs the same.
        """
        held = netns.hold(slot.netns)
        try:
            self.remove(slot)
        except BaseException:
            if held is not None:
                os.close(held)
            raise
        return held

    def slots(self, instance: str) -> set[int]:
        """Numbers of all slots of the instance that exist on this host, whole or in part."""
        names = netns.names() + [link.get_attr("IFLA_IFNAME") for link in self._ip.get_links()]
        numbers = (slot_number(instance, name) for name in names)
        return {number for number in numbers if number is not None}

    def is_whole(self, slot: NetworkSlot) -> bool:
        """Whether the cable has this slot's address and the namespace can be entered."""
        try:
            index = _index_here(slot.host_if)
            addresses = {
                address.get_attr("IFA_ADDRESS")
                for address in self._ip.get_addr(family=socket.AF_INET, index=index)
            }
            return slot.host_ip in addresses and netns.run_inside(slot.netns, lambda: True)
        except (OSError, NetlinkError):
            return False

    def readdress(self, slot: NetworkSlot) -> None:
        """Put the guest's address and route back; runsc takes them off the cable whenever it starts."""
        netns.run_inside(slot.netns, lambda: _readdress(slot))

    def counters(self, slot: NetworkSlot) -> tuple[int, int]:
        """Bytes received and sent, as the guest sees them: the host's end counts the other way round."""
        with routes() as here:
            received_by_host, sent_by_host = here.traffic(slot.host_if)
        return sent_by_host, received_by_host

    def forget_connections(self, guest_ips: Iterable[str]) -> None:
        """Without this, a peer of a former sandbox could keep a way in to the next holder of the address."""
        netlink.forget_connections(guest_ips)

    def names(self) -> list[str]:
        """Of every interface of the host."""
        return [link.get_attr("IFLA_IFNAME") for link in self._ip.get_links()]

    def cut(self, interface: str) -> None:
        """Remove a cable, whatever it was for. Idempotent."""
        with _ignoring(errno.ENODEV), routes() as here:
            here.remove(_index_here(interface))

    # the host

    def labelled(self, label: str) -> list[str]:
        """IPv4 addresses on lo with this label."""
        addresses = self._ip.get_addr(family=socket.AF_INET, index=_LOOPBACK)
        return [each.get_attr("IFA_ADDRESS") for each in addresses if each.get_attr("IFA_LABEL") == label]

    def taken_networks(self) -> list[IPv4Network]:
        """Every IPv4 network that an address or a route of this host speaks of, but for the default route."""
        networks = [
            _network(address.get_attr("IFA_ADDRESS"), address["prefixlen"])
            for address in self._ip.get_addr(family=socket.AF_INET)
        ]
        for route in self._ip.get_routes(family=socket.AF_INET):
            gateway = route.get_attr("RTA_GATEWAY")
            if gateway:
                networks.append(_network(gateway, 32))
            if route["dst_len"]:
                networks.append(_network(route.get_attr("RTA_DST"), route["dst_len"]))
        return networks

    def hold_block(self, plan: AddressPlan) -> None:
        """Put the block's own address on lo, and a route that marks the block as taken.

        The route also keeps packets for slots that are gone from leaving by the default route.
        """
        with _ignoring(errno.EEXIST):
            self._ip.addr(
                "add",
                index=_LOOPBACK,
                address=str(plan.gateway),
                prefixlen=32,
                label=f"lo:sl{plan.instance}",
            )
        with _ignoring(errno.EEXIST):
            self._ip.route("add", dst=str(plan.block), type="unreachable")
        self._ip.link("set", index=_LOOPBACK, state="up")

    def holds_block(self, plan: AddressPlan) -> bool:
        return any(
            address.get_attr("IFA_ADDRESS") == str(plan.gateway)
            and address.get_attr("IFA_LABEL") == f"lo:sl{plan.instance}"
            for address in self._ip.get_addr(family=socket.AF_INET, index=_LOOPBACK)
        )

    def let_go_of_block(self, plan: AddressPlan) -> None:
        with _ignoring(errno.ESRCH):
            self._ip.route("del", dst=str(plan.block), type="unreachable")
        with _ignoring(errno.EADDRNOTAVAIL):
            self._ip.addr("del", index=_LOOPBACK, address=str(plan.gateway), prefixlen=32)

    def uplink(self) -> str | None:
        """The interface that traffic to the internet leaves by."""
        try:
            (route,) = self._ip.route("get", dst=_ANY_PUBLIC_ADDRESS)
        except NetlinkError:
            return None
        (link,) = self._ip.get_links(route.get_attr("RTA_OIF"))
        return str(link.get_attr("IFLA_IFNAME"))

    def enable_forwarding(self, interface: str) -> bool:
        """True when it was off and is now on."""
        switch = _IPV4 / "conf" / interface / "forwarding"
        if switch.read_text().strip() == "1":
            return False
        switch.write_text("1")
        return True

    def disable_forwarding(self, interface: str) -> None:
        with suppress(FileNotFoundError):
            (_IPV4 / "conf" / interface / "forwarding").write_text("0")


def _furnish(slot: NetworkSlot, host_netns: int) -> None:
    """Runs inside the new namespace."""
    for scope in ("all", "default"):
        _set(_IPV6 / "conf" / scope / "disable_ipv6", "1")
    with routes() as here:
        here.add_cable(GUEST_IF, slot.host_if, host_netns)
        here.set_up(_LOOPBACK)
        _address(here, slot)


def _readdress(slot: NetworkSlot) -> None:
    """Runs inside the namespace."""
    with routes() as here:
        _address(here, slot)


def _address(here: Routes, slot: NetworkSlot) -> None:
    """Idempotent."""
    index = _index_here(GUEST_IF)
    here.add_address(index, slot.guest_ip, SLOT_PREFIX)
    here.set_up(index)
    here.add_default_route(slot.host_ip)


def _index_here(interface: str) -> int:
    """In the calling thread's namespace. One question to the kernel, however many interfaces there are."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise NetlinkError(errno.ENODEV, f"no interface {interface}") from None


def _set_up_host_side(interface: str) -> None:
    conf = _IPV4 / "conf" / interface
    _set(_IPV6 / "conf" / interface / "disable_ipv6", "1")
    _set(conf / "forwarding", "1")
    _set(conf / "rp_filter", "1")
    _set(conf / "accept_redirects", "0")
    # Answer ARP only for this cable's own pair: else the guest learns which addresses the host has, and can
    # fill the host's neighbour table with senders that it made up.
    _set(conf / "arp_ignore", "2")


def _set(setting: Path, value: str) -> None:
    with suppress(FileNotFoundError):  # a kernel without IPv6
        setting.write_text(value)


def _network(address: str, prefix: int) -> IPv4Network:
    return IPv4Network((IPv4Address(address), prefix), strict=False)


@contextmanager
def _ignoring(code: int) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != code:
            raise
