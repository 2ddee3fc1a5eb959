from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.errors import InvalidArgument, LimitExceeded, Unavailable
from sandlot.network.addresses import (
    DEFAULT_RANGE,
    HIGHEST_NUMBER,
    AddressPlan,
    Ledger,
    check_instance,
    choose_block,
    interface_name,
    slot_name,
    slot_number,
)

PLAN = AddressPlan("ab12", IPv4Network("10.200.16.0/20"))


@given(st.integers(0, HIGHEST_NUMBER))
def test_a_slot_follows_from_its_number(number: int) -> None:
    slot = PLAN.slot(number)
    assert slot_number("ab12", slot.name) == slot_number("ab12", slot.host_if) == number
    assert len(slot.host_if) <= 15
    host, guest = IPv4Address(slot.host_ip), IPv4Address(slot.guest_ip)
    assert guest == host + 1
    assert int(host) % 2 == 0
    assert host in PLAN.block
    assert IPv4Address(slot.dns) not in (host, guest)


def test_no_two_slots_of_one_round_share_an_address() -> None:
    slots = [PLAN.slot(number) for number in range(PLAN.capacity)]
    assert len({slot.guest_ip for slot in slots} | {slot.host_ip for slot in slots}) == 2 * PLAN.capacity
    assert PLAN.slot(PLAN.capacity).guest_ip == PLAN.slot(0).guest_ip


@pytest.mark.parametrize(
    "name",
    ["", "sl-ab12-", "sl-ab12-01", "sl-ab12-1 ", "sl-ab12-1\n", "sl-ffff-1", "sl-ab12-٣", "xsl-ab12-1"],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert slot_number("ab12", name) is None


def test_names_of_instances_do_not_overlap() -> None:
    assert slot_number("ab12", slot_name("ab1", 2)) is None
    assert slot_number("ab12", interface_name("ab13", 2)) is None


@pytest.mark.parametrize("instance", ["", "abc", "ABCD", "ab12*", "ab12\n", "ab1g"])
def test_an_instance_is_four_hex_digits(instance: str) -> None:
    with pytest.raises(InvalidArgument):
        check_instance(instance)


def test_addresses_in_use_are_passed_over() -> None:
    assert PLAN.next_number(5, {5, 6, 8}) == 7
    assert PLAN.next_number(PLAN.capacity, {0, 1}) == PLAN.capacity + 2
    with pytest.raises(LimitExceeded):
        PLAN.next_number(0, range(PLAN.capacity))


@given(st.integers(0, 0xFFFF), st.lists(st.integers(0, 1023), max_size=50))
def test_a_block_overlaps_nothing(instance: int, taken: list[int]) -> None:
    networks = [IPv4Network((int(DEFAULT_RANGE.network_address) + index * 4096, 20)) for index in taken]
    block = choose_block(f"{instance:04x}", DEFAULT_RANGE, networks)
    assert block.subnet_of(DEFAULT_RANGE)
    assert not any(block.overlaps(network) for network in networks)


def test_a_single_address_takes_its_whole_block() -> None:
    usual = choose_block("0000", DEFAULT_RANGE, [])
    assert choose_block("0000", DEFAULT_RANGE, [IPv4Network(f"{usual[77]}/32")]) != usual


def test_no_free_block_is_said() -> None:
    with pytest.raises(Unavailable, match=r"10\.192\.0\.0/10"):
        choose_block("0000", DEFAULT_RANGE, [IPv4Network("10.0.0.0/8")])


def test_numbers_are_never_given_twice_whatever_crashes(tmp_path: Path) -> None:
    path = tmp_path / "state" / "network.json"
    given_out: list[int] = []
    for _ in range(4):
        ledger = Ledger.load(path)
        ledger.block = PLAN.block
        given_out += [ledger.take_number(PLAN, set()) for _ in range(300)]
    assert len(set(given_out)) == len(given_out)
    assert Ledger.load(path).block == PLAN.block


def test_numbers_stay_above_those_in_use_when_the_ledger_is_lost(tmp_path: Path) -> None:
    assert Ledger.load(tmp_path / "none.json").take_number(PLAN, {41, 7}) == 42


def test_numbers_begin_again_before_names_grow_too_long(tmp_path: Path) -> None:
    ledger = Ledger.load(tmp_path / "network.json")
    assert ledger.take_number(PLAN, {HIGHEST_NUMBER - 1}) < PLAN.capacity


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"block": "x", "reserved": 1, "forwarding": []}'])
def test_a_damaged_ledger_is_said_and_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "network.json"
    path.write_text(content)
    with pytest.raises(Unavailable, match="damaged"):
        Ledger.load(path)
    assert path.read_text() == content
