"""One request, one answer, one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sandlot.errors import DeadlineExceeded, GuestError
from sandlot.node.agent.frames import FrameType
from sandlot.node.agent.link import FAULTS, Channel, Link
from sandlot.node.agent.wire import Reader

CALL_TIMEOUT = 30.0


class Caller:
    """What every kind of call on a connection shares."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def _call(self, kind: FrameType, payload: bytes, *, timeout: float = CALL_TIMEOUT) -> Reader:
        with self._link.open(kind, payload) as channel:
            async with self._deadline(timeout):
                return Reader(await channel.reply())

    async def _open_stream(
        self, kind: FrameType, payload: bytes, *, window: int, timeout: float = CALL_TIMEOUT
    ) -> Channel:
        """A channel that the guest has opened; its ``greeting`` is what it said. The caller must drop it."""
        channel = self._link.open(kind, payload, window=window)
        try:
            async with self._deadline(timeout):
                await channel.opened()
        except BaseException:
            channel.drop()
            raise
        return channel

    @asynccontextmanager
    async def _deadline(self, timeout: float = CALL_TIMEOUT) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout):
                yield
        except TimeoutError:
            FAULTS.add("timeout")
            raise DeadlineExceeded(f"the guest agent did not answer in {timeout:g} s") from None

    @contextmanager
    def _distrusting(self) -> Iterator[None]:
        """An answer that cannot be understood ends the connection."""
        try:
            yield
        except GuestError as error:
            raise self._link.fail(error) from None
