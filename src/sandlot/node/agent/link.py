"""The connection to an agent: channels with credit over one socket, every byte of the guest distrusted."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import cast

from sandlot.errors import (
    Conflict,
    GuestError,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    PermissionDenied,
    SandlotError,
    Unauthenticated,
    Unavailable,
)
from sandlot.node.agent.activity import Activity, is_noticed
from sandlot.node.agent.frames import (
    CHARGED,
    INITIAL_CREDIT,
    MAX_PAYLOAD,
    MINIMUM_CHARGE,
    OLDEST_VERSION,
    PROTOCOL_VERSION,
    Frame,
    FrameDecoder,
    FrameType,
    charge,
    encode,
    header,
)
from sandlot.node.agent.wire import Reader, Writer
from sandlot.tally import Counts

FAULTS = Counts("kind")
"""Of guest agents: ``protocol`` (nonsense), ``lost`` (the connection broke), ``silent`` (nothing came for too
long), ``timeout`` (one call was not answered in time).
"""
MAX_CHANNELS = 1024
MAX_DROPPED = 4096
MAX_CREDIT = 16 * 1024 * 1024
"""What a guest may grant ahead; more, or in smaller pieces than the protocol asks for, is a flood."""
LOOK_EVERY_S = 15.0
PING_AFTER_LOOKS = 2
SILENT_AFTER_LOOKS = 6
"""A guest that has open calls and says nothing is asked after so many looks, and given up after so many."""

_ERRORS: dict[int, type[SandlotError]] = {
    1: NotFound,
    2: InvalidArgument,
    3: PermissionDenied,
    4: Conflict,
    5: LimitExceeded,
    6: NotEnoughSpace,
    7: Unavailable,
    8: Unavailable,
    9: GuestError,
}
_UNAUTHENTICATED = 10


def decode_error(payload: bytes, *, greeting: bool = False) -> SandlotError:
    """The exception that an ERROR frame stands for.

    Only in answer to the ``greeting`` can it be about the secret: a guest must not send a caller off to look
    for other keys.
    """
    reader = Reader(payload)
    code, number, message = reader.u16(), reader.u32(), reader.text()
    reader.end()
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in message[:1024])
    details = {"errno": number} if number else {}
    if greeting and code == _UNAUTHENTICATED:
        return Unauthenticated(printable)
    return _ERRORS.get(code, GuestError)(printable or "the guest agent gave no reason", **details)


class Channel:
    """One call. A context manager: left before its final frame came, the call is cancelled in the guest."""

    def __init__(self, link: Link, number: int, window: int) -> None:
        self.number = number
        self.finished = False
        self.dropped = False
        self.greeting = b""
        self.noticed = is_noticed()
        self.lets_sleep = False
        self._link = link
        self._window = window
        self._frames: deque[Frame] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._replied = False
        self._guest_ended = False
        self._receivable = window
        self._consumed = 0
        self._credit = INITIAL_CREDIT
        self._more_credit: asyncio.Future[None] | None = None
        self._failure: SandlotError | None = None

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def drop(self) -> None:
        """Cancel the call in the guest unless it is over; nothing more is delivered."""
        if self.dropped:
            return
        self.dropped = True
        self._frames.clear()
        if not self.finished and self._failure is None:
            self._link.cancel(self)

    async def receive(self) -> Frame:
        """The next frame. Raises what an ERROR frame says, Unavailable when the connection goes."""
        while not self._frames:
            if self._failure is not None:
                raise self._failure
            if self.dropped or self.finished:
                raise Unavailable("the call is over")
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        frame = self._frames.popleft()
        if frame.kind is FrameType.ERROR:
            raise decode_error(frame.payload)
        if frame.kind in CHARGED:
            self._replenish(charge(len(frame.payload)))
        return frame

    async def reply(self) -> bytes:
        """The payload of the final REPLY, where nothing but that may come."""
        frame = await self.receive()
        if frame.kind is not FrameType.REPLY or not frame.final:
            raise self._link.fail(GuestError("the guest agent answered with something else than was asked"))
        return frame.payload

    async def opened(self) -> None:
        """Wait for the REPLY that says that a stream has begun; its payload becomes the ``greeting``."""
        frame = await self.receive()
        if frame.kind is not FrameType.REPLY or frame.final:
            raise self._link.fail(GuestError("the guest agent answered with something else than was asked"))
        self.greeting = frame.payload

    async def send(self, data: bytes | memoryview, kind: FrameType = FrameType.DATA) -> None:
        """Send ``data`` in as many frames as its size and the guest's credit ask for."""
        view = memoryview(data)
        while view and await self._has_credit(MINIMUM_CHARGE):
            size = min(len(view), self._credit, MAX_PAYLOAD)
            self._credit -= charge(size)
            await self._link.send_payload(kind, self.number, view[:size])
            view = view[size:]

    async def send_whole(self, kind: FrameType, payload: bytes) -> None:
        """Send one frame that must not be split."""
        cost = charge(len(payload))
        if await self._has_credit(cost):
            self._credit -= cost
            await self._link.send_payload(kind, self.number, payload)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        if not self.finished and self._failure is None:
            self._link.send(encode(FrameType.END, self.number))

    async def _has_credit(self, needed: int) -> bool:
        """Waits for it; False when the guest has ended the call: why, its last frame says."""
        while not self.finished and not self.dropped:
            if self._failure is not None:
                raise self._failure
            if self._credit >= needed:
                return True
            self._more_credit = asyncio.get_running_loop().create_future()
            await self._more_credit
        return False

    def _replenish(self, cost: int) -> None:
        self._consumed += cost
        if self._consumed * 2 >= self._window and not self.finished and not self.dropped:
            self._link.grant(self.number, self._consumed)
            self._receivable += self._consumed
            self._consumed = 0

    def accept(self, frame: Frame) -> None:
        """A frame of this channel has come. Raises GuestError where the guest breaks a rule."""
        if frame.kind is FrameType.WINDOW:
            self._grant(Reader(frame.payload))
            return
        if frame.kind in CHARGED:
            if not frame.payload:
                raise GuestError("the guest agent sent a piece of a stream with nothing in it")
            if self._guest_ended:
                raise GuestError("the guest agent went on with a stream that it had ended")
            self._receivable -= charge(len(frame.payload))
            if self._receivable < 0:
                raise GuestError("the guest agent sent more than its credit")
        elif frame.kind is FrameType.END:
            if self._guest_ended:
                raise GuestError("the guest agent ended a stream twice")
            self._guest_ended = True
        elif frame.kind is FrameType.REPLY and not frame.final:
            if self._replied:
                raise GuestError("the guest agent answered twice")
            self._replied = True
        elif frame.kind is FrameType.ERROR:
            decode_error(frame.payload)  # raises for one that says nothing
            if not frame.final:
                raise GuestError("the guest agent sent an error that ends nothing")
        self.finished = frame.final
        if not self.dropped:
            self._frames.append(frame)
            _wake(self._arrived)
            if self.finished:
                _wake(self._more_credit)

    def _grant(self, reader: Reader) -> None:
        granted = reader.u32()
        reader.end()
        self._credit += granted
        if granted < MINIMUM_CHARGE or self._credit > MAX_CREDIT:
            raise GuestError("the guest agent granted credit that nobody can use")
        _wake(self._more_credit)

    def fail(self, error: SandlotError) -> None:
        self._failure = error
        _wake(self._arrived)
        _wake(self._more_credit)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


class Link(asyncio.BufferedProtocol):
    """The protocol object of one connection."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._channels: dict[int, Channel] = {}
        self._dropped = 0
        self._last = 0
        self._failure: SandlotError | None = None
        self._refusal: SandlotError | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._welcome: asyncio.Future[bytes] | None = None
        self._pongs: deque[asyncio.Future[None]] = deque()
        self._writable: asyncio.Future[None] | None = None
        self.activity: Activity | None = None
        self._heard = False
        self._silent_looks = 0
        self._next_look: asyncio.TimerHandle | None = None

    # ---- asyncio's side ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1024 * 1024, low=256 * 1024)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._decoder.space()

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = True
        try:
            for frame in self._decoder.received(nbytes):
                self._dispatch(frame)
        except SandlotError as error:
            self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._failure is None:
            FAULTS.add("lost")
        self.fail(Unavailable("the connection to the guest agent was lost"))
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._writable)
        self._writable = None

    # ---- calls ----

    async def hello(self, secret: str) -> bytes:
        """Introduce the host; the payload of WELCOME."""
        payload = Writer().u16(OLDEST_VERSION).u16(PROTOCOL_VERSION).text(secret, "the secret").done()
        self._welcome = asyncio.get_running_loop().create_future()
        self.send(encode(FrameType.HELLO, 0, payload))
        return await self._welcome

    async def ping(self) -> None:
        """Round trip. Raises Unavailable when the connection is gone."""
        if self._failure is not None:
            raise self._failure
        if len(self._pongs) >= MAX_CHANNELS:
            raise Unavailable("the guest agent does not answer")
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self.send(encode(FrameType.PING, 0))
        await pong
        if self._failure is not None:
            raise self._failure

    def open(self, kind: FrameType, payload: bytes, *, window: int = INITIAL_CREDIT) -> Channel:
        """Begin a call. ``window`` bytes of its answer may be on their way or wait to be consumed."""
        if (failure := self._failure or self._refusal) is not None:
            raise failure
        if len(payload) > MAX_PAYLOAD:
            raise InvalidArgument(f"the request has {len(payload)} bytes, and {MAX_PAYLOAD} is the limit")
        if len(self._channels) - self._dropped >= MAX_CHANNELS:
            raise LimitExceeded(f"more than {MAX_CHANNELS} calls at once to one sandbox")
        self._last = self._last % 0xFFFFFFFF + 1
        while self._last in self._channels:
            self._last = self._last % 0xFFFFFFFF + 1
        channel = Channel(self, self._last, window)
        self._channels[channel.number] = channel
        self._begin(channel)
        request = encode(kind, channel.number, payload)
        if window > INITIAL_CREDIT:
            request += _window(channel.number, window - INITIAL_CREDIT)
        self.send(request)
        return channel

    def cancel(self, channel: Channel) -> None:
        self._dropped += 1
        # Where the guest may be asleep that can wait until it wakes.
        self.send(encode(FrameType.CANCEL, channel.number), stir=not channel.lets_sleep)
        if self._dropped > MAX_DROPPED:
            self.fail(GuestError("the guest agent does not confirm the end of cancelled calls"))

    def refuse(self, error: SandlotError | None) -> None:
        """End every call with ``error``, though the guest stands still, and begin none until it is None."""
        self._refusal = error
        if error is not None:
            for channel in list(self._channels.values()):
                self.let_sleep(channel, True)
                channel.drop()
                channel.fail(error)

    def let_sleep(self, channel: Channel, may: bool) -> None:
        """Whether the guest may stand still though the channel is open."""
        is_open = self._channels.get(channel.number) is channel
        if is_open and may:
            self._end(channel)
        changed, channel.lets_sleep = channel.lets_sleep != may, may
        if is_open and changed and not may:
            self._begin(channel)

    def _begin(self, channel: Channel) -> None:
        if self.activity is not None:
            self.activity.begin(noticed=channel.noticed)
        if self._next_look is None:
            self._heard = True  # an answer is due from now on
            self._look()

    def _end(self, channel: Channel) -> None:
        if self.activity is not None and not channel.lets_sleep:
            self.activity.end(noticed=channel.noticed)

    def grant(self, number: int, credit: int) -> None:
        self.send(_window(number, credit))

    def send(self, data: bytes, *, stir: bool = True) -> None:
        if self._failure is None and self._transport is not None:
            if stir and self.activity is not None:
                self.activity.stir()
            self._transport.write(data)

    async def send_payload(self, kind: FrameType, number: int, payload: bytes | memoryview) -> None:
        """Send a frame and wait while the socket has its fill."""
        if self._failure is not None:
            raise self._failure
        assert self._transport is not None  # noqa: S101
        self._transport.writelines((header(kind, number, len(payload)), payload))
        if self._writable is not None:
            await asyncio.shield(self._writable)

    # ---- the end ----

    @property
    def breach(self) -> str | None:
        """How the guest broke the protocol, where that ended the connection."""
        return self._failure.message if isinstance(self._failure, GuestError) else None

    def fail(self, error: SandlotError) -> SandlotError:
        """Close the connection; every pending call gets ``error``, which is returned."""
        if self._failure is not None:
            return self._failure
        self._failure = error
        if isinstance(error, GuestError):
            FAULTS.add("protocol")
        if self._next_look is not None:
            self._next_look.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_exception(error)
        while self._pongs:
            _wake(self._pongs.popleft())
        self.resume_writing()
        for channel in list(self._channels.values()):
            channel.fail(error)
            self._end(channel)
        self._channels.clear()
        self._dropped = 0
        return error

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)

    # ---- whether anybody is there ----

    def _look(self) -> None:
        """Programs may be silent for ever, their agent may not: it answers PING whatever else it does.

        Looks are counted, not seconds: while this process stood still nobody could be heard.
        """
        self._next_look = None
        if all(channel.lets_sleep for channel in self._channels.values()):
            return
        self._silent_looks = 0 if self._heard else self._silent_looks + 1
        self._heard = False
        if self._silent_looks == PING_AFTER_LOOKS:
            self._pongs.append(asyncio.get_running_loop().create_future())
            self.send(encode(FrameType.PING, 0))
        elif self._silent_looks >= SILENT_AFTER_LOOKS:
            FAULTS.add("silent")
            silence = LOOK_EVERY_S * SILENT_AFTER_LOOKS
            self.fail(Unavailable(f"the guest agent has said nothing for {silence:g} s"))
            return
        self._next_look = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    # ---- frames of the guest ----

    def _dispatch(self, frame: Frame) -> None:
        if self._failure is not None:
            return
        if frame.channel == 0:
            self._dispatch_own(frame)
            return
        channel = self._channels.get(frame.channel)
        if channel is None or frame.kind in (FrameType.WELCOME, FrameType.PONG):
            raise GuestError(f"the guest agent sent a {frame.kind.name} frame that nobody asked for")
        channel.accept(frame)
        if channel.finished:
            del self._channels[frame.channel]
            self._end(channel)
            if channel.dropped:
                self._dropped -= 1

    def _dispatch_own(self, frame: Frame) -> None:
        if frame.kind is FrameType.ERROR:
            greeting = self._welcome is not None and not self._welcome.done()
            raise decode_error(frame.payload, greeting=greeting)
        if frame.kind is FrameType.WELCOME and self._welcome is not None and not self._welcome.done():
            self._welcome.set_result(frame.payload)
        elif frame.kind is FrameType.PONG and self._pongs:
            _wake(self._pongs.popleft())
        else:
            raise GuestError(f"the guest agent sent a {frame.kind.name} frame that nobody asked for")


def _window(number: int, credit: int) -> bytes:
    return encode(FrameType.WINDOW, number, Writer().u32(credit).done())
