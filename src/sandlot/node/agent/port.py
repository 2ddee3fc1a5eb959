"""A connection to a port inside the guest."""

from __future__ import annotations

from types import TracebackType

from sandlot.errors import Conflict, GuestError
from sandlot.node.agent.frames import FrameType
from sandlot.node.agent.link import Channel, Link


class PortStream:
    """Bytes both ways, each way ending on its own. An async context manager that closes."""

    def __init__(self, link: Link, channel: Channel) -> None:
        self._link = link
        self._channel = channel
        self._at_end = False
        self._sent_end = False

    async def read(self) -> bytes:
        """What came next, b"" at the end. Raises Unavailable when the guest's end broke."""
        while not self._at_end:
            frame = await self._channel.receive()
            if frame.kind is FrameType.DATA and not frame.final:
                if frame.payload:
                    return frame.payload
            elif frame.kind is FrameType.END or (frame.kind is FrameType.REPLY and frame.final):
                self._at_end = True
            else:
                raise self._link.fail(GuestError(f"the guest agent sent a {frame.kind.name} frame on a port"))
        return b""

    async def write(self, data: bytes | memoryview) -> None:
        """Returns when the data is on its way and there is room for more. Raises Conflict after the
        program in the guest has closed the connection."""
        if self._sent_end:
            raise Conflict("this end of the connection is closed")
        await self._channel.send(data)
        if self._channel.finished:
            raise Conflict("the program in the sandbox has closed the connection")

    def write_eof(self) -> None:
        """Half-close: the other end reads the end of the stream and may still answer."""
        if not self._sent_end:
            self._sent_end = True
            self._channel.end()

    async def close(self) -> None:
        """Close both ways at once. Idempotent."""
        self._channel.drop()

    async def __aenter__(self) -> PortStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
