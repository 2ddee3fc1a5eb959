"""The few requests to rtnetlink(7) that every slot costs, put together by hand.

To a library each message is a millisecond of processor time, to the kernel some microseconds.
Layouts from linux/rtnetlink.h, linux/if_link.h, linux/veth.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from sandlot.network import netlink
from sandlot.network.netlink import ACK, CREATE, attribute, nest, text

_EXCLUSIVE = 0x200
_NEW_LINK, _DELETE_LINK, _GET_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 17, 18, 20, 24
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_UP = 1
_NAME, _NETNS_FD, _LINK_INFO, _STATS = 3, 28, 18, 23
_PACKETS_AND_BYTES = struct.Struct("=4Q")
_KIND, _DATA, _PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _RTA_GATEWAY = 1, 2, 5
_TABLE_MAIN, _STATIC, _UNICAST = 254, 4, 1


class Routes:
    """One socket, in the network namespace of the thread that opened it. All raise OSError."""

    def __init__(self, kernel: socket.socket) -> None:
        self._kernel = kernel

    def add_cable(self, name: str, peer: str, peer_netns: int) -> None:
        """A veth pair: one end here, the other in the namespace of that descriptor."""
        other = _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, peer)
        other += attribute(_NETNS_FD, struct.pack("=I", peer_netns))
        info = text(_KIND, "veth") + nest(_DATA, nest(_PEER, other))
        body = _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name) + nest(_LINK_INFO, info)
        self._ask(_NEW_LINK, body, CREATE | _EXCLUSIVE)

    def set_up(self, index: int) -> None:
        self._ask(_NEW_LINK, _LINK.pack(0, 0, index, _UP, _UP))

    def remove(self, index: int) -> None:
        """Idempotent."""
        self._ask(_DELETE_LINK, _LINK.pack(0, 0, index, 0, 0), but=errno.ENODEV)

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """Idempotent."""
        packed = IPv4Address(address).packed
        body = _ADDRESS.pack(socket.AF_INET, prefix, 0, 0, index)
        body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
        self._ask(_NEW_ADDRESS, body, CREATE | _EXCLUSIVE, but=errno.EEXIST)

    def add_default_route(self, gateway: str) -> None:
        """Idempotent."""
        body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _STATIC, 0, _UNICAST, 0)
        body += attribute(_RTA_GATEWAY, IPv4Address(gateway).packed)
        self._ask(_NEW_ROUTE, body, CREATE | _EXCLUSIVE, but=errno.EEXIST)

    def traffic(self, name: str) -> tuple[int, int]:
        """Bytes received and sent by that interface, as it sees it itself."""
        self._kernel.send(netlink.message(_GET_LINK, 0, 1, _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name)))
        kind, body = next(netlink.received(self._kernel))
        if kind != _NEW_LINK:
            netlink.check((kind, body))
        _, _, received, sent = _PACKETS_AND_BYTES.unpack_from(netlink.attributes(body, _LINK.size)[_STATS])
        return received, sent

    def _ask(self, kind: int, body: bytes, flags: int = 0, *, but: int = 0) -> None:
        self._kernel.send(netlink.message(kind, flags | ACK, 1, body))
        netlink.check(next(netlink.received(self._kernel)), but=but)


@contextmanager
def routes() -> Iterator[Routes]:
    with netlink.connected(socket.NETLINK_ROUTE) as kernel:
        yield Routes(kernel)
