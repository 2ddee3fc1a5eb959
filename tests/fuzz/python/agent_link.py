"""A guest that says anything, in any pieces, to calls that wait: the state machine of one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from sandlot.errors import SandlotError
from sandlot.node.agent import GuestAgent, Renewal, SpawnSpec, TreeEntry, Waiting
from sandlot.node.agent.files import DATA_WINDOW
from sandlot.node.agent.frames import PROTOCOL_VERSION, FrameType, encode
from sandlot.node.agent.link import Link

_LOOP: Final = asyncio.new_event_loop()
_KINDS: Final = tuple(FrameType)
_SPINS = 12


class Wire(asyncio.Transport):
    """Takes what the host sends, and says when it hangs up."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.sent = 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += len(data)

    def writelines(self, list_of_data: Any) -> None:
        self.sent += sum(map(len, list_of_data))

    def abort(self) -> None:
        self.aborted = True


async def _all(items: AsyncIterator[Any], most: int = 50) -> None:
    taken = 0
    async for _ in items:
        if (taken := taken + 1) >= most:
            return


async def _process(agent: GuestAgent, *, attach: bool) -> None:
    process = await (agent.attach(1) if attach else agent.spawn(SpawnSpec(["true"])))
    await _all(process)
    await process.close()


async def _port(agent: GuestAgent) -> None:
    async with await agent.dial(80) as port:
        await port.write(b"x" * 100_000)
        port.write_eof()
        while await port.read():
            pass


async def _watch(agent: GuestAgent) -> None:
    async with await agent.watching("/") as events:
        await events.so_far(50)
        await _all(events)


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x" * 50_000


async def _tree() -> AsyncIterator[TreeEntry | bytes]:
    yield TreeEntry("a", "file", size=3)
    yield b"abc"


_CALLS: Final[tuple[Callable[[GuestAgent], Coroutine[Any, Any, Any]], ...]] = (
    lambda agent: _process(agent, attach=False),
    lambda agent: _process(agent, attach=True),
    lambda agent: agent.processes(),
    lambda agent: agent.stats(),
    lambda agent: agent.stat("/"),
    lambda agent: agent.list("/"),
    lambda agent: _all(agent.read("/a", length=100)),
    lambda agent: agent.write("/a", _chunks()),
    lambda agent: _all(agent.read_tree("/")),
    lambda agent: agent.write_tree("/", _tree()),
    _watch,
    _port,
    lambda agent: agent.write_stdin(1, b"y" * 200_000),
    lambda agent: agent.ping(),
    lambda agent: agent.mkdir("/a"),
    lambda agent: agent.oom_kill(),
    lambda agent: agent.activity(Waiting([1], [2])),
    lambda agent: agent.renew(Renewal("s", 1, "h")),
)


def _feed(link: Link, data: bytes) -> None:
    while data:
        space = link.get_buffer(-1)
        size = min(len(space), len(data))
        space[:size] = data[:size]
        link.buffer_updated(size)
        data = data[size:]


def _pieces(data: bytes) -> list[bytes]:
    """Each begins with a byte: even, a frame is made of what follows; odd, that is sent as it is."""
    pieces = []
    at = 0
    while at + 4 <= len(data):
        how, kind, channel, size = data[at : at + 4]
        at += 4
        body = data[at : at + size]
        at += size
        if how & 1:
            pieces.append(body)
        else:
            frame = encode(
                _KINDS[kind % len(_KINDS)], channel % 5, body * (1 + (how >> 4)), final=bool(how & 2)
            )
            pieces.append(frame)
    return pieces


async def _spin() -> None:
    for _ in range(_SPINS):
        await asyncio.sleep(0)


def _held(link: Link) -> int:
    return sum(len(frame.payload) for channel in link._channels.values() for frame in channel._frames)


async def _play(data: bytes) -> None:
    link, wire = Link(), Wire()
    link.connection_made(wire)
    agent = GuestAgent(link, PROTOCOL_VERSION, 0, 0.0)
    calls = [asyncio.ensure_future(_CALLS[byte % len(_CALLS)](agent)) for byte in data[1 : 2 + data[0] % 4]]
    await _spin()
    for piece in _pieces(data[5:]):
        if wire.aborted:
            break
        _feed(link, piece)
        # REPLY, END and ERROR are not charged, and come once a channel.
        assert _held(link) <= len(calls) * (DATA_WINDOW + 3 * 262_144)
        await _spin()
    link.connection_lost(None)
    for _ in range(50):
        if all(call.done() for call in calls):
            break
        await _spin()
    assert all(call.done() for call in calls), "a call goes on though its connection is gone"
    for call in calls:
        error = call.exception()
        if error is not None and not isinstance(error, SandlotError):
            raise error
    await agent.close()


def one_input(data: bytes) -> None:
    if len(data) >= 6:
        _LOOP.run_until_complete(_play(data))
