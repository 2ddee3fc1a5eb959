"""What a sandbox may reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

from sandlot.errors import InvalidArgument


@dataclass(frozen=True)
class NetworkPolicy:
    """``internet``: public IPv4 addresses and DNS. Without it the guest only answers the host."""

    internet: bool = True


BLOCKED = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; some clouds keep their metadata service here
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, limited broadcast
    )
)
"""What IANA's registry of special-purpose IPv4 addresses calls not globally reachable, and multicast."""


def parse_allow(networks: Iterable[str]) -> tuple[IPv4Network, ...]:
    """The admin's opt-in list of networks exempt from ``BLOCKED``. Raises InvalidArgument."""
    parsed = []
    for network in networks:
        try:
            parsed.append(IPv4Network(network))
        except ValueError as error:
            raise InvalidArgument(
                f"network_allow: {network!r} is not an IPv4 network such as 10.1.2.0/24 ({error})"
            ) from None
    return tuple(parsed)
