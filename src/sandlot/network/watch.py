"""Hear from the kernel when something that we depend on has changed, instead of asking again and again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

import structlog

log = structlog.get_logger(__name__)

SETTLE = 0.1
RETRY = 1.0
MAX_DATAGRAMS = 64

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
_NFT_DELETIONS = {0x0A00 | message for message in (2, 5, 8, 11)}  # of a table, chain, rule or set
RTMGRP_IPV4_ROUTE = 0x40
_RTM_ROUTES = {24, 25}
_HEADER = struct.Struct("=IHHII")


class Watch:
    """Calls ``react`` after an interesting message, and again after a second as long as it fails."""

    def __init__(
        self,
        protocol: int,
        groups: int,
        is_interesting: Callable[[int, bytes], bool],
        react: Callable[[], Awaitable[None]],
    ) -> None:
        self._protocol = protocol
        self._groups = groups
        self._is_interesting = is_interesting
        self._react = react
        self._changed = asyncio.Event()
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, self._protocol)
        self._socket.setblocking(False)
        self._socket.bind((0, self._groups))
        asyncio.get_running_loop().add_reader(self._socket, self._read, self._socket)
        self._task = asyncio.create_task(self._run(), name="network watch")

    async def stop(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def _read(self, netlink: socket.socket) -> None:
        for _ in range(MAX_DATAGRAMS):
            try:
                datagram = netlink.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # messages were lost: they may have been interesting
                    self._changed.set()
                return
            if any(self._is_interesting(kind, body) for kind, body in _messages(datagram)):
                self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._react()
                await asyncio.sleep(SETTLE)
            except Exception as error:
                log.exception("network repair failed, trying again", error=str(error))
                await asyncio.sleep(RETRY)
                self._changed.set()


def table_watch(table: str, react: Callable[[], Awaitable[None]]) -> Watch:
    """Somebody removed the nft table, or something of it (elements aside)."""
    name = table.encode() + b"\0"
    return Watch(
        NETLINK_NETFILTER,
        1 << (NFNLGRP_NFTABLES - 1),
        lambda kind, body: kind in _NFT_DELETIONS and name in body,
        react,
    )


def default_route_watch(react: Callable[[], Awaitable[None]]) -> Watch:
    def is_interesting(kind: int, body: bytes) -> bool:
        return kind in _RTM_ROUTES and len(body) > 1 and body[1] == 0  # rtm_dst_len

    return Watch(socket.NETLINK_ROUTE, RTMGRP_IPV4_ROUTE, is_interesting, react)


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, position)
        if length < _HEADER.size:
            return
        yield kind, datagram[position + _HEADER.size : position + length]
        position += (length + 3) & ~3
