"""Netlink messages, put together by hand where a program or a parser costs too much.

A slot's way in or out is one set element, and `nft` takes milliseconds of processor to start and to read its
own rules. Connections may be thousands, of which only a few bytes each are of interest.
Layouts from linux/netlink.h, linux/netfilter/{nfnetlink,nf_tables,nfnetlink_conntrack}.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

_NETFILTER = 12
_REQUEST, ACK, _DUMP, CREATE = 0x01, 0x04, 0x300, 0x400
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_KIND_OF_ATTRIBUTE = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct(">BBH")
_ATTRIBUTE = struct.Struct("=HH")
_DEADLINE_S = 10
_SOURCE = slice(2 * _ATTRIBUTE.size, 2 * _ATTRIBUTE.size + 8)
"""Where in a connection's tuple the first attribute of its first attribute lies: its IPv4 source."""

_INET = 1
_TABLES, _CONNECTIONS = 10 << 8, 1 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_ADD_ELEMENT, _DELETE_ELEMENT = _TABLES | 12, _TABLES | 14
_GET_CONNECTION, _DELETE_CONNECTION = _CONNECTIONS | 1, _CONNECTIONS | 2
_TUPLE_ORIGINAL = 1


@dataclass(frozen=True)
class Change:
    """An element to add to a set, or to delete from it. ``key`` is as the kernel keeps it."""

    adds: bool
    set: str
    key: bytes


def interface_and_address(interface: str, address: str) -> bytes:
    """The key of a set of type ``ifname . ipv4_addr``."""
    return interface.encode().ljust(16, b"\0") + IPv4Address(address).packed


def change_sets(table: str, changes: Iterable[Change]) -> None:
    """All in one transaction. Raises OSError, and then nothing has changed."""
    messages = [message(_BATCH_BEGIN, 0, 0, _nfgen(0, _TABLES >> 8))]
    for change in changes:
        kind, flags = (_ADD_ELEMENT, CREATE) if change.adds else (_DELETE_ELEMENT, 0)
        element = nest(1, nest(1, attribute(1, change.key)))
        body = text(1, table) + text(2, change.set) + nest(3, element)
        messages.append(message(kind, flags | ACK, len(messages), _nfgen(_INET, 0) + body))
    messages.append(message(_BATCH_END, 0, 0, _nfgen(0, _TABLES >> 8)))
    with connected() as kernel:
        kernel.send(b"".join(messages))
        for _ in messages[1:-1]:
            check(next(received(kernel)))


def forget_connections(sources: Iterable[str]) -> None:
    """Every connection that one of these addresses has begun. Raises OSError.

    The kernel walks its whole table for that, ~10 ms whatever is in it: ask once for many addresses.
    """
    wanted = {attribute(1, IPv4Address(source).packed) for source in sources}
    family = _nfgen(socket.AF_INET, 0)
    with connected() as kernel:
        kernel.send(message(_GET_CONNECTION, _DUMP, 1, family))
        for original in [found for found in _originals(kernel) if found[_SOURCE] in wanted]:
            kernel.send(message(_DELETE_CONNECTION, ACK, 2, family + original))
            check(next(received(kernel)), but=errno.ENOENT)


def _originals(kernel: socket.socket) -> Iterator[bytes]:
    """Of each connection of a dump the attribute by which it is known, as it came."""
    for kind, body in received(kernel):
        if kind == _DONE:
            return
        if kind == _ERROR:
            check((kind, body))
        for name, start, end in _attributes(body, _FAMILY.size):
            if name == _TUPLE_ORIGINAL:
                yield padded(body[start:end])
                break


def attributes(body: bytes, header: int) -> dict[int, bytes]:
    """What stands behind a message's own header, by kind, each without its header."""
    return {name: body[start + _ATTRIBUTE.size : end] for name, start, end in _attributes(body, header)}


def _attributes(body: bytes, position: int) -> Iterator[tuple[int, int, int]]:
    while position + _ATTRIBUTE.size <= len(body):
        length, name = _ATTRIBUTE.unpack_from(body, position)
        yield name & _KIND_OF_ATTRIBUTE, position, position + length
        position += max(_ATTRIBUTE.size, (length + 3) & ~3)


def connected(protocol: int = _NETFILTER) -> socket.socket:
    """A socket to the kernel part that speaks ``protocol``, in the calling thread's network namespace."""
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    kernel.settimeout(_DEADLINE_S)
    kernel.bind((0, 0))
    return kernel


def received(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Messages, as long as they are asked for."""
    while True:
        datagram = kernel.recv(1 << 16)
        position = 0
        while position + _HEADER.size <= len(datagram):
            length, kind, *_ = _HEADER.unpack_from(datagram, position)
            yield kind, datagram[position + _HEADER.size : position + length]
            position += max(_HEADER.size, (length + 3) & ~3)


def check(answer: tuple[int, bytes], *, but: int = 0) -> None:
    """Raises OSError where it is not the kernel's yes, or ``but``."""
    kind, body = answer
    if kind != _ERROR:
        raise OSError(errno.EPROTO, f"the kernel answered by netlink with a message of kind {kind}")
    number = -int(struct.unpack_from("=i", body)[0])
    if number not in (0, but):
        raise OSError(number, f"the kernel refuses by netlink: {os.strerror(number)}")


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, sequence, 0) + body


def _nfgen(family: int, resource: int) -> bytes:
    return _FAMILY.pack(family, 0, resource)


def attribute(name: int, value: bytes) -> bytes:
    return padded(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), name) + value)


def nest(name: int, value: bytes) -> bytes:
    return attribute(name | _NESTED, value)


def text(name: int, value: str) -> bytes:
    return attribute(name, value.encode() + b"\0")


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
