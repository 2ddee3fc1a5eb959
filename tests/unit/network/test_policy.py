from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.errors import InvalidArgument
from sandlot.network.policy import BLOCKED, parse_allow


@given(st.integers(0, 2**32 - 1))
def test_every_address_that_is_not_global_is_blocked(number: int) -> None:
    """Python keeps its own copy of the registry."""
    address = IPv4Address(number)
    if not address.is_global:
        assert any(address in network for network in BLOCKED)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "22.0.0.1", "172.32.0.1", "100.128.0.1", "192.0.1.1"]
)
def test_public_addresses_are_not_blocked(address: str) -> None:
    assert not any(IPv4Address(address) in network for network in BLOCKED)


def test_allow_is_a_list_of_networks() -> None:
    assert parse_allow(["10.1.0.0/16", "10.2.3.4"]) == (
        IPv4Network("10.1.0.0/16"),
        IPv4Network("10.2.3.4/32"),
    )


@pytest.mark.parametrize("network", ["10.1.2.3/16", "mirror.lan", "fd00::/8", ""])
def test_what_is_no_network_is_named(network: str) -> None:
    with pytest.raises(InvalidArgument, match="network_allow"):
        parse_allow([network])
