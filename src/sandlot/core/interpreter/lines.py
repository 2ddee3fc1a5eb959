"""Bytes into lines, with a bound on what an endless one may take."""

from __future__ import annotations

from sandlot.errors import GuestError


class Lines:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without their ends. Raises GuestError for one over the limit."""
        *complete, rest = data.split(b"\n")
        if complete and self._pending:
            self._pending += complete[0]
            complete[0] = bytes(self._pending)
            self._pending.clear()
        self._pending += rest
        if len(self._pending) > self._limit or any(len(line) > self._limit for line in complete):
            self._pending.clear()
            raise GuestError(f"the kernel sent a line of more than {self._limit} bytes")
        return complete
