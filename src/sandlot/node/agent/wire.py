"""Payload fields: little-endian integers, byte strings with a 32-bit length, text in the guest's encoding."""

from __future__ import annotations

import struct

from sandlot.errors import GuestError, InvalidArgument

MAX_TEXT = 4096
"""Bytes of a text of the guest: the longest there is is a path."""

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_I64 = struct.Struct("<q")


def encode_text(text: str, what: str) -> bytes:
    """UTF-8, odd bytes as surrogates. Raises InvalidArgument where the text holds a NUL."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{what} cannot be encoded: {error.reason}") from None
    if b"\0" in raw:
        raise InvalidArgument(f"{what} holds a NUL byte")
    return raw


class Writer:
    """Builds one payload; every method returns the writer."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u8(self, value: int) -> Writer:
        self._parts.append(bytes((value,)))
        return self

    def u16(self, value: int) -> Writer:
        self._parts.append(_U16.pack(value))
        return self

    def u32(self, value: int) -> Writer:
        self._parts.append(_U32.pack(value))
        return self

    def u64(self, value: int) -> Writer:
        self._parts.append(_U64.pack(value))
        return self

    def i64(self, value: int) -> Writer:
        self._parts.append(_I64.pack(value))
        return self

    def blob(self, value: bytes) -> Writer:
        self._parts.append(_U32.pack(len(value)))
        self._parts.append(value)
        return self

    def text(self, value: str, what: str) -> Writer:
        return self.blob(encode_text(value, what))

    def done(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """Takes one payload of the guest apart. Anything missing or left over is a GuestError."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def _take(self, size: int) -> int:
        at = self._at
        if len(self._payload) - at < size:
            raise GuestError("the guest agent sent an answer that ends too soon")
        self._at = at + size
        return at

    def u8(self) -> int:
        return self._payload[self._take(1)]

    def u16(self) -> int:
        return int(_U16.unpack_from(self._payload, self._take(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack_from(self._payload, self._take(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack_from(self._payload, self._take(8))[0])

    def i64(self) -> int:
        return int(_I64.unpack_from(self._payload, self._take(8))[0])

    def blob(self) -> bytes:
        size = self.u32()
        at = self._take(size)
        return self._payload[at : at + size]

    def text(self) -> str:
        raw = self.blob()
        if len(raw) > MAX_TEXT:
            raise GuestError(f"the guest agent sent a text of {len(raw)} bytes; at most {MAX_TEXT} can be")
        return raw.decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        rest = self._payload[self._at :]
        self._at = len(self._payload)
        return rest

    @property
    def size(self) -> int:
        """Of the whole payload, in bytes."""
        return len(self._payload)

    @property
    def more(self) -> bool:
        return self._at < len(self._payload)

    def end(self) -> None:
        if self.more:
            raise GuestError("the guest agent sent an answer with something left over")
