from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from sandlot.network.watch import _messages, default_route_watch, table_watch


async def ignore() -> None:
    pass


def message(kind: int, body: bytes) -> bytes:
    padding = bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + padding


def test_messages_of_one_datagram_are_told_apart() -> None:
    datagram = message(0x0A02, b"first") + message(24, b"second!!")
    assert list(_messages(datagram)) == [(0x0A02, b"first"), (24, b"second!!")]


@given(st.binary(max_size=200))
def test_any_datagram_comes_to_an_end(datagram: bytes) -> None:
    assert len(list(_messages(datagram))) <= len(datagram) // 16 + 1


def test_only_deletions_in_our_table_are_of_interest() -> None:
    interesting = table_watch("sandlot_ab12", ignore)._is_interesting
    assert interesting(0x0A02, b"....sandlot_ab12\0")
    assert not interesting(0x0A02, b"....sandlot_ab13\0")
    assert not interesting(0x0A02, b"....sandlot_ab12x\0")
    assert not interesting(0x0A0E, b"....sandlot_ab12\0")


def test_only_default_routes_are_of_interest() -> None:
    interesting = default_route_watch(ignore)._is_interesting
    assert interesting(24, bytes([2, 0, 0, 0]))
    assert not interesting(24, bytes([2, 24, 0, 0]))
    assert not interesting(16, bytes([2, 0, 0, 0]))
    assert not interesting(24, b"")
