"""A process in the guest, as one reader of it sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sandlot.errors import GuestError
from sandlot.node.agent.frames import FrameType
from sandlot.node.agent.link import Channel, Link
from sandlot.node.agent.model import Exit, Output, ProcessInfo, SpawnSpec, StreamName
from sandlot.node.agent.wire import Reader, Writer

MAX_ARGUMENTS = 1024
"""Of one process in a list: together they are cut after 4 KiB, and each takes 4 bytes at least."""
LATEST_START_US = 253_402_300_799_000_000
"""The end of the year 9999, which is that of calendars."""

_FLAG_TERMINAL = 1
_FLAG_STDIN = 2
_EXIT_TIMED_OUT = 1
_EXIT_OOM = 2
_INFO_TERMINAL = 1
_INFO_RUNNING = 2
_STREAMS: dict[int, StreamName] = {1: "stdout", 2: "stderr"}


class Process:
    """Iterate for Output, and finally one Exit. Only one consumer at a time.

    Not reading holds the process back once about 1 MiB waits here and ``keep_output`` in the guest;
    :meth:`close` lets it run on unread.
    """

    def __init__(self, link: Link, channel: Channel, opened: bytes) -> None:
        reader = Reader(opened)
        self.id = reader.u32()
        self.pid = reader.u32()
        reader.end()
        self._link = link
        self._channel = channel
        self._exit: Exit | None = None

    def __aiter__(self) -> AsyncIterator[Output | Exit]:
        return self

    async def __anext__(self) -> Output | Exit:
        if self._exit is not None:
            raise StopAsyncIteration
        frame = await self._channel.receive()
        try:
            if frame.kind is FrameType.OUTPUT and not frame.final:
                return decode_output(frame.payload)
            if frame.kind is FrameType.REPLY and frame.final:
                reader = Reader(frame.payload)
                self._exit = read_exit(reader)
                reader.end()
                return self._exit
            raise GuestError(f"the guest agent sent a {frame.kind.name} frame where output was due")
        except GuestError as error:
            raise self._link.fail(error) from None

    def let_sleep(self, may: bool, /) -> None:
        """Whether the sandbox may stand still though this reader waits. At first it may not."""
        self._link.let_sleep(self._channel, may)

    async def close(self) -> None:
        """Detach; the process goes on. Idempotent."""
        self._channel.drop()


def decode_output(payload: bytes) -> Output:
    reader = Reader(payload)
    stream, offset = _STREAMS.get(reader.u8()), reader.u64()
    if stream is None:
        raise GuestError("the guest agent sent output of no known stream")
    if not reader.more:
        raise GuestError("the guest agent sent output without a byte")
    return Output(stream, offset, reader.rest())


def read_exit(reader: Reader) -> Exit:
    code, signum, flags = reader.u32(), reader.u32(), reader.u8()
    if code > 255 or signum > 127:
        raise GuestError("the guest agent sent an impossible exit code")
    return Exit(
        code,
        signum or None,
        bool(flags & _EXIT_TIMED_OUT),
        bool(flags & _EXIT_OOM),
        reader.u64(),
        reader.u64(),
    )


def read_info(reader: Reader) -> ProcessInfo:
    number, pid, flags, started = reader.u32(), reader.u32(), reader.u8(), reader.u64()
    ended = read_exit(reader)
    user, tag, cwd = reader.text(), reader.text(), reader.text()
    count = reader.u32()
    if count > MAX_ARGUMENTS or started > LATEST_START_US:
        raise GuestError("the guest agent sent an impossible process")
    running = bool(flags & _INFO_RUNNING)
    return ProcessInfo(
        id=number,
        pid=pid,
        args=[reader.text() for _ in range(count)],
        cwd=cwd,
        user=user,
        tag=tag,
        pty=bool(flags & _INFO_TERMINAL),
        started_at=started / 1e6,
        running=running,
        exit=None if running else ended,
        stdout_end=ended.stdout_end,
        stderr_end=ended.stderr_end,
    )


def encode_spawn(spec: SpawnSpec) -> bytes:
    writer = Writer()
    _write_arguments(writer, spec.args)
    writer.u32(len(spec.env))
    for name, value in spec.env.items():
        writer.text(f"{name}={value}", f"the environment variable {name!r}")
    writer.text(spec.cwd or "", "the working directory").text(spec.user, "the user").text(spec.tag, "the tag")
    writer.u8((_FLAG_TERMINAL if spec.pty else 0) | (_FLAG_STDIN if spec.stdin else 0))
    writer.u16(spec.pty.rows if spec.pty else 0).u16(spec.pty.cols if spec.pty else 0)
    writer.u64(_milliseconds(spec.timeout)).u32(min(spec.keep_output, 0xFFFFFFFF))
    if spec.words:
        _write_arguments(writer, spec.words)
        _write_arguments(writer, spec.premises or [])
    return writer.done()


def _write_arguments(writer: Writer, arguments: list[str]) -> None:
    writer.u32(len(arguments))
    for argument in arguments:
        writer.text(argument, "an argument")


def _milliseconds(timeout: float | None) -> int:
    """0 is for ever; a timeout so short that it rounds to nothing must not be."""
    return 0 if timeout is None else max(1, min(int(timeout * 1000), 1 << 48))
