"""Frames of the agent protocol: a pure codec. ``docs/agent-protocol.md`` is the specification."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from sandlot.errors import GuestError

PROTOCOL_VERSION = 4
OLDEST_VERSION = 1
"""Of agents that an earlier server started: 2 added ACTIVITY, 3 marks in a watch and fields that older agents
leave unread, 4 RENEW."""
HEADER = struct.Struct("<IBBHI")
MAX_PAYLOAD = 256 * 1024
INITIAL_CREDIT = 64 * 1024
MINIMUM_CHARGE = 64
"""What a frame costs of its channel's credit at least: empty frames must not come without end."""

FLAG_FINAL = 0x01

_SMALL_BUFFER = 64 * 1024
_LARGE_BUFFER = 2 * (HEADER.size + MAX_PAYLOAD)


class FrameType(IntEnum):
    HELLO = 0x01
    WELCOME = 0x02
    PING = 0x03
    PONG = 0x04
    REPLY = 0x10
    ERROR = 0x11
    DATA = 0x12
    END = 0x13
    WINDOW = 0x14
    CANCEL = 0x15
    ENTRY = 0x16
    OUTPUT = 0x17
    SPAWN = 0x20
    ATTACH = 0x21
    PROCESSES = 0x22
    STDIN = 0x23
    SIGNAL = 0x24
    RESIZE = 0x25
    OOM_KILL = 0x26
    STATS = 0x27
    DIAL = 0x28
    ACTIVITY = 0x29
    RENEW = 0x2A
    STAT = 0x30
    LIST = 0x31
    READ = 0x32
    WRITE = 0x33
    MKDIR = 0x34
    MOVE = 0x35
    COPY = 0x36
    REMOVE = 0x37
    CHMOD = 0x38
    CHOWN = 0x39
    WATCH = 0x3A
    READ_TREE = 0x3B
    WRITE_TREE = 0x3C


CHARGED = frozenset({FrameType.DATA, FrameType.ENTRY, FrameType.OUTPUT})
_FROM_GUEST: dict[int, FrameType] = {
    int(kind): kind
    for kind in (
        FrameType.WELCOME, FrameType.PONG, FrameType.REPLY, FrameType.ERROR, FrameType.DATA,
        FrameType.END, FrameType.WINDOW, FrameType.ENTRY, FrameType.OUTPUT,
    )
}  # fmt: skip


class Frame(NamedTuple):
    kind: FrameType
    final: bool
    channel: int
    payload: bytes


def charge(length: int) -> int:
    """What a DATA, ENTRY or OUTPUT frame of ``length`` bytes costs of its channel's credit."""
    return length if length > MINIMUM_CHARGE else MINIMUM_CHARGE


def encode(kind: FrameType, channel: int, payload: bytes = b"", *, final: bool = False) -> bytes:
    return header(kind, channel, len(payload), final=final) + payload


def header(kind: FrameType, channel: int, length: int, *, final: bool = False) -> bytes:
    if length > MAX_PAYLOAD:
        raise ValueError(f"a frame holds at most {MAX_PAYLOAD} bytes, not {length}")
    return HEADER.pack(length, kind, FLAG_FINAL if final else 0, 0, channel)


class FrameDecoder:
    """Takes bytes of the guest in whatever pieces they come and gives whole frames.

    The caller receives straight into :meth:`space` and says how much came. Memory is bounded by two frames,
    and is small until the first large frame.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(_SMALL_BUFFER)
        self._view = memoryview(self._buffer)
        self._end = 0

    def space(self) -> memoryview:
        """Where the next bytes go; never empty."""
        return self._view[self._end :]

    def received(self, count: int) -> Iterator[Frame]:
        """The frames that the ``count`` new bytes complete. Consume the iterator before the next call.

        Raises GuestError for what can be no frame of a guest.
        """
        self._end += count
        at = 0
        while self._end - at >= HEADER.size:
            length, kind, flags, reserved, channel = HEADER.unpack_from(self._buffer, at)
            if length > MAX_PAYLOAD or reserved or flags & ~FLAG_FINAL or kind not in _FROM_GUEST:
                raise GuestError(f"the guest agent sent no possible frame (type {kind:#x}, {length} bytes)")
            start = at + HEADER.size
            if self._end - start < length:
                break
            at = start + length
            yield Frame(_FROM_GUEST[kind], bool(flags), channel, bytes(self._view[start:at]))
        self._keep(at)

    def _keep(self, at: int) -> None:
        left = self._end - at
        source = self._view
        if left >= HEADER.size and len(self._buffer) == _SMALL_BUFFER:
            length = HEADER.unpack_from(self._buffer, at)[0]
            if HEADER.size + length >= _SMALL_BUFFER:
                self._buffer = bytearray(_LARGE_BUFFER)
                self._view = memoryview(self._buffer)
        if left and (at or source is not self._view):
            self._view[:left] = source[at : at + left]
        self._end = left
