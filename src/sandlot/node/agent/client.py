"""The host's end of the agent protocol."""

from __future__ import annotations

import asyncio
import os
import socket

from sandlot.errors import DeadlineExceeded, GuestError, SandlotError, Unavailable
from sandlot.node.agent.activity import Activity
from sandlot.node.agent.calls import CALL_TIMEOUT
from sandlot.node.agent.files import GuestFiles
from sandlot.node.agent.frames import OLDEST_VERSION, PROTOCOL_VERSION, FrameType
from sandlot.node.agent.link import Link
from sandlot.node.agent.model import (
    GuestActivity,
    GuestStats,
    ProcessInfo,
    Renewal,
    Renewed,
    SpawnSpec,
    Waiting,
)
from sandlot.node.agent.port import PortStream
from sandlot.node.agent.process import Process, encode_spawn, read_info
from sandlot.node.agent.wire import Reader, Writer

OUTPUT_WINDOW = 1024 * 1024
STDIN_PIECE = 128 * 1024
MAX_PROCESSES = 4096
MAX_PROCESSES_BYTES = 16 * 1024 * 1024
"""Of a whole list, on the wire: above what an agent ever has to tell."""
FROM_NOW_ON = (1 << 64) - 1
ENTROPY_BYTES = 64
_RENEWABLE = 4


class GuestAgent(GuestFiles):
    """One connection to the agent of one sandbox; calls run side by side on it.

    Reconnecting is the caller's: processes survive, and :meth:`attach` reads on from an offset. Every
    method raises Unavailable once the connection is gone, DeadlineExceeded when the guest does not answer
    in time, and GuestError when it answers nonsense, which closes the connection.
    """

    def __init__(self, link: Link, version: int, nonce: int, clock: float) -> None:
        super().__init__(link)
        self._version = version
        self.nonce = nonce
        """Tells whether process ids known from an earlier connection are this agent's."""
        self.connected_clock = clock
        """Unix time by the guest's clock when the connection was made."""
        self._stdin_locks: dict[int, asyncio.Lock] = {}

    @classmethod
    async def connect(cls, host: str, port: int, secret: str, *, timeout: float = 5.0) -> GuestAgent:
        """Raises Unavailable when nobody answers within ``timeout`` seconds, Unauthenticated for a wrong
        secret."""
        loop = asyncio.get_running_loop()
        link: Link | None = None
        try:
            async with asyncio.timeout(timeout):
                transport, link = await loop.create_connection(Link, host, port)
                connection: socket.socket = transport.get_extra_info("socket")
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                reader = Reader(await link.hello(secret))
            version, nonce, clock = reader.u16(), reader.u64(), reader.u64()
            reader.end()
            if not OLDEST_VERSION <= version <= PROTOCOL_VERSION:
                raise GuestError(f"the guest agent speaks version {version}, not {PROTOCOL_VERSION}")
        except TimeoutError:
            if link is not None:
                link.fail(Unavailable("closed"))
            raise Unavailable(f"the guest agent at {host}:{port} did not answer in {timeout:g} s") from None
        except OSError as error:
            reason = error.strerror or error
            raise Unavailable(f"the guest agent at {host}:{port} cannot be reached: {reason}") from None
        except BaseException as error:
            if link is not None:
                link.fail(error if isinstance(error, SandlotError) else Unavailable("closed"))
            raise
        return cls(link, version, nonce, clock / 1e6)

    def report_to(self, activity: Activity) -> None:
        """Tell it from now on of every call. To be called before the first one."""
        self._link.activity = activity

    async def close(self) -> None:
        """Close the connection; pending calls raise Unavailable. Processes in the guest go on. Idempotent."""
        self._link.fail(Unavailable("the connection to the guest agent was closed"))
        await self._link.wait_closed()

    def refuse_calls(self, error: SandlotError | None) -> None:
        """All calls, those under way too, raise ``error``, and the connection stays; None takes it back."""
        self._link.refuse(error)

    @property
    def breach(self) -> str | None:
        """How the guest broke the protocol, where that is why the connection is gone."""
        return self._link.breach

    async def wait_closed(self) -> None:
        """Returns when the connection is gone, whoever closed it."""
        await self._link.wait_closed()

    async def ping(self, *, timeout: float = 2.0) -> None:
        """Raises DeadlineExceeded when no answer comes within ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._link.ping()
        except TimeoutError:
            raise DeadlineExceeded(f"the guest agent did not answer in {timeout:g} s") from None

    # ---- processes ----

    async def spawn(self, spec: SpawnSpec) -> Process:
        """Start a program; the Process returned is attached to its output from the first byte.

        Raises NotFound when the command or ``cwd`` does not exist, InvalidArgument for an unknown user,
        PermissionDenied when the user may not run it, LimitExceeded at the sandbox's limit of processes.
        """
        return await self._open_process(FrameType.SPAWN, encode_spawn(spec))

    async def attach(
        self, process_id: int, *, stdout_from: int | None = None, stderr_from: int | None = None
    ) -> Process:
        """Read a process that runs or has lately ended. None is from now on, 0 from the oldest byte kept.

        Raises NotFound when there is no such process any more.
        """
        writer = Writer().u32(process_id)
        for offset in (stdout_from, stderr_from):
            writer.u64(FROM_NOW_ON if offset is None else offset)
        return await self._open_process(FrameType.ATTACH, writer.done())

    async def _open_process(self, kind: FrameType, payload: bytes) -> Process:
        channel = await self._open_stream(kind, payload, window=OUTPUT_WINDOW)
        with self._distrusting():
            return Process(self._link, channel, channel.greeting)

    async def processes(self) -> list[ProcessInfo]:
        """Those running and the newest of those that ended, oldest first."""
        found: list[ProcessInfo] = []
        size = 0
        more = True
        async with self._deadline():
            while more:
                after = found[-1].id if found else 0
                reader = await self._call(FrameType.PROCESSES, Writer().u32(after).done())
                size += reader.size
                with self._distrusting():
                    more = _read_page(reader, found)
                    if size > MAX_PROCESSES_BYTES:
                        raise GuestError("the guest agent sent a list of processes without end")
        return found

    async def write_stdin(self, process_id: int, data: bytes) -> None:
        """Returns when the process's pipe or terminal has taken all of it, however long that takes.

        Raises Conflict when the process has ended or closed its input. Cancelled: some of it may have gone.
        """
        lock = self._stdin_locks.setdefault(process_id, asyncio.Lock())
        try:
            async with lock:
                for at in range(0, len(data), STDIN_PIECE):
                    await self._stdin(process_id, data[at : at + STDIN_PIECE], last=False)
        finally:
            if not lock.locked():
                self._stdin_locks.pop(process_id, None)

    async def close_stdin(self, process_id: int) -> None:
        """End of input once everything written has been taken; on a terminal, a Ctrl-D."""
        await self._stdin(process_id, b"", last=True)

    async def _stdin(self, process_id: int, data: bytes, *, last: bool) -> None:
        payload = Writer().u32(process_id).u8(last).blob(data).done()
        with self._link.open(FrameType.STDIN, payload) as channel:
            await channel.reply()

    async def signal(self, process_id: int, signum: int, *, group: bool = True) -> None:
        """Signal the process, by default its whole group; KILL also reaches its session and descendants.

        Raises Conflict when it has ended, NotFound when it is not known.
        """
        await self._call(FrameType.SIGNAL, Writer().u32(process_id).u32(signum).u8(group).done())

    async def resize(self, process_id: int, rows: int, cols: int) -> None:
        """Raises InvalidArgument when the process has no terminal."""
        await self._call(FrameType.RESIZE, Writer().u32(process_id).u16(rows).u16(cols).done())

    async def oom_kill(self) -> int | None:
        """Kill the largest user process and mark its exit ``oom``. Its pid, or None where there is none."""
        reader = await self._call(FrameType.OOM_KILL, b"")
        with self._distrusting():
            return reader.u32() or None

    async def stats(self) -> GuestStats:
        reader = await self._call(FrameType.STATS, b"")
        with self._distrusting():
            return GuestStats(
                processes=reader.u32(),
                rss_bytes=reader.u64(),
                cpu_seconds=reader.u64() / 1e6,
                uptime=reader.u64() / 1e3,
                time=reader.u64() / 1e6,
            )

    async def activity(self, waiting: Waiting) -> GuestActivity:
        """What it has to run, leaving out the processes ``waiting``, but not their children.

        Raises Unavailable where an older agent cannot tell.
        """
        if self._version < 2:
            raise Unavailable("this sandbox has an agent of before, which cannot tell what it has to run")
        writer = Writer()
        for numbers in (waiting.ids, waiting.pids):
            writer.u32(len(numbers))
            for number in numbers:
                writer.u32(number)
        reader = await self._call(FrameType.ACTIVITY, writer.done())
        with self._distrusting():
            return GuestActivity(processes=reader.u32(), reason=reader.text())

    # ---- time ----

    @property
    def renewable(self) -> bool:
        """Whether it can be told of a restore. The memory of one that cannot must not be kept."""
        return self._version >= _RENEWABLE

    async def renew(self, renewal: Renewal) -> Renewed:
        """The first call after memory came back from a snapshot, over a connection made with the secret of
        then. This connection stays, others end, and new ones need the new secret. Bytes of the host's are
        mixed into the guest's random source.

        Where no answer came, either secret may be the one that counts: try both, and renew again. Raises
        Unavailable where an older agent cannot, InvalidArgument for a secret of not 1 to 256 bytes or a
        hostname of more than 64.
        """
        if not self.renewable:
            raise Unavailable("this sandbox has an agent of before, which cannot be told of a restore")
        writer = Writer().text(renewal.secret, "the secret").u64(renewal.generation)
        writer.text(renewal.hostname, "the hostname").blob(os.urandom(ENTROPY_BYTES))
        reader = await self._call(FrameType.RENEW, writer.done())
        with self._distrusting():
            did = reader.u8()
            reader.end()
        return Renewed(hostname=bool(did & 1), entropy=bool(did & 2), generation=bool(did & 4))

    # ---- ports ----

    async def dial(self, port: int, *, host: str = "127.0.0.1", timeout: float = CALL_TIMEOUT) -> PortStream:
        """Connect to a port inside the guest. ``host`` is an address, or "localhost" for either loopback.

        Raises NotFound when nothing listens there.
        """
        payload = Writer().text(host, "the host").u16(port).done()
        channel = await self._open_stream(FrameType.DIAL, payload, window=OUTPUT_WINDOW, timeout=timeout)
        return PortStream(self._link, channel)


def _read_page(reader: Reader, found: list[ProcessInfo]) -> bool:
    """Adds the processes of one answer; whether there are more."""
    before = len(found)
    more = bool(reader.u8())
    while reader.more:
        info = read_info(reader)
        if (found and info.id <= found[-1].id) or len(found) >= MAX_PROCESSES:
            raise GuestError("the guest agent sent an impossible list of processes")
        found.append(info)
    if more and len(found) == before:
        raise GuestError("the guest agent sent an impossible list of processes")
    return more
