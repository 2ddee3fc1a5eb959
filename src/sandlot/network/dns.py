"""A DNS forwarder for the guests: one listener on the instance's own address, on to the host's resolvers.

One address for all slots means one listener, whatever the number of sandboxes. Who asks is told by the source
address, which the firewall has checked against the interface. Answers are passed on as they are: what they
point to is the firewall's business.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections import Counter
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import structlog

from sandlot.errors import Unavailable

log = structlog.get_logger(__name__)

PORT = 53
MAX_QUERY = 4096
MAX_ANSWER = 65535
SERVER_DEADLINE = 2.0
DEADLINE = 5.0
IDLE_DEADLINE = 10.0
MAX_QUERIES = 512
MAX_QUERIES_PER_SLOT = 64
MAX_CONNECTIONS = 128
MAX_CONNECTIONS_PER_SLOT = 8
MAX_SERVERS = 3  # as many as the C library looks at
RESOLV_CONF_INTERVAL = 1.0

_HEADER = struct.Struct("!HHHHHH")
_LENGTH = struct.Struct("!H")
_Exchange = Callable[[str, int, bytes], Coroutine[Any, Any, bytes]]


class Resolvers:
    """The host's resolvers. The file is looked at once a second at most, and read again when changed."""

    def __init__(self, resolv_conf: Path, port: int = PORT) -> None:
        self.port = port
        self._path = resolv_conf
        self._servers: list[str] = []
        self._version: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")

    async def current(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= RESOLV_CONF_INTERVAL:
            self._looked_at = now
            await asyncio.to_thread(self._look)
        return list(self._servers)

    def prefer(self, server: str) -> None:
        """It has answered when those before it had not."""
        if server in self._servers:
            self._servers.remove(server)
            self._servers.insert(0, server)

    def _look(self) -> None:
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_ino, status.st_size)
            if version != self._version:
                self._servers = parse_resolv_conf(self._path.read_text(errors="replace"))
                self._version = version
        except OSError as error:
            log.warning("resolvers unknown", path=str(self._path), error=str(error))
            self._servers = self._servers or parse_resolv_conf("")


def parse_resolv_conf(text: str) -> list[str]:
    """Without a name server the local machine is asked: resolv.conf(5)."""
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                ip_address(words[1])
            except ValueError:
                continue
            servers.append(words[1])
    return servers[:MAX_SERVERS] or ["127.0.0.1"]


class Refused(Exception):
    """Not a query that we pass on; ``answer`` goes back instead, if anything does."""

    def __init__(self, answer: bytes | None) -> None:
        super().__init__()
        self.answer = answer


def check_query(wire: bytes) -> dns.message.Message:
    """One question of class IN that is not a zone transfer. Raises Refused."""
    if len(wire) < _HEADER.size or wire[2] & 0x80:  # no header, or itself an answer
        raise Refused(None)
    if (wire[2] >> 3) & 0xF != dns.opcode.QUERY:
        raise Refused(_bare_answer(wire, dns.rcode.NOTIMP))
    try:
        query = dns.message.from_wire(wire)
    except Exception:  # the parser's own errors, and whatever hostile bytes make of it
        raise Refused(_bare_answer(wire, dns.rcode.FORMERR)) from None
    if len(query.question) != 1:
        raise Refused(_bare_answer(wire, dns.rcode.FORMERR))
    question = query.question[0]
    if question.rdclass != dns.rdataclass.IN or question.rdtype in (dns.rdatatype.AXFR, dns.rdatatype.IXFR):
        raise Refused(_bare_answer(wire, dns.rcode.REFUSED))
    return query


def is_answer(wire: bytes, identifier: int, query: dns.message.Message) -> bool:
    """Whether the bytes are an answer to this query, sent under this identifier."""
    if len(wire) < _HEADER.size or wire[:2] != identifier.to_bytes(2, "big") or not wire[2] & 0x80:
        return False
    try:
        answer = dns.message.from_wire(wire, question_only=True)
    except Exception:
        return False
    if not answer.question:
        return answer.rcode() != dns.rcode.NOERROR
    return answer.question == query.question


def _bare_answer(query: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """A header alone: the question may be what cannot be repeated."""
    identifier, flags = struct.unpack_from("!HH", query)
    kept = flags & (0x7800 | dns.flags.RD)
    return _HEADER.pack(identifier, dns.flags.QR | kept | rcode, 0, 0, 0, 0)


class Forwarder:
    def __init__(self, address: str, admits: Callable[[str], bool], resolvers: Resolvers) -> None:
        self._address = address
        self._admits = admits
        self._resolvers = resolvers
        self._queries: Counter[str] = Counter()
        self._connections: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._datagrams: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._datagram), local_addr=(self._address, PORT)
            )
            self._server = await asyncio.start_server(
                self._accept, self._address, PORT, limit=MAX_QUERY + _LENGTH.size
            )
        except OSError as error:
            await self.stop()
            raise Unavailable(
                f"cannot serve DNS to sandboxes on {self._address}:{PORT} ({error}); "
                "a resolver of this host that listens on every address must be told to leave this one out"
            ) from error

    async def stop(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # UDP

    def _datagram(self, wire: bytes, sender: tuple[str, int]) -> None:
        client = sender[0]
        if len(wire) > MAX_QUERY or not self._admits(client) or not self._has_room(client):
            return  # the guest's resolver asks again
        self._own(asyncio.create_task(self._answer_datagram(wire, sender), name=f"dns {client}"))

    async def _answer_datagram(self, wire: bytes, sender: tuple[str, int]) -> None:
        answer = await self._answer(sender[0], wire, _ask_by_udp)
        if answer is not None and self._datagrams is not None and not self._datagrams.is_closing():
            self._datagrams.sendto(answer, sender)

    # TCP

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._own(asyncio.create_task(self._connection(reader, writer), name="dns connection"))

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = str(writer.get_extra_info("peername")[0])
        if (
            self._connections[client] >= MAX_CONNECTIONS_PER_SLOT
            or self._connections.total() >= MAX_CONNECTIONS
            or not self._admits(client)
        ):
            writer.close()
            return
        self._connections[client] += 1
        try:
            await self._serve(client, reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            _count_down(self._connections, client)
            writer.close()

    async def _serve(self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._admits(client):
            async with asyncio.timeout(IDLE_DEADLINE):
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if length > MAX_QUERY:
                    return
                wire = await reader.readexactly(length)
            if not self._has_room(client):
                return
            answer = await self._answer(client, wire, _ask_by_tcp)
            if answer is None:
                return
            writer.write(_LENGTH.pack(len(answer)) + answer)
            async with asyncio.timeout(IDLE_DEADLINE):
                await writer.drain()

    # both

    def _has_room(self, client: str) -> bool:
        return self._queries[client] < MAX_QUERIES_PER_SLOT and self._queries.total() < MAX_QUERIES

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, client: str, wire: bytes, exchange: _Exchange) -> bytes | None:
        self._queries[client] += 1
        try:
            return await self._forward(wire, exchange)
        except Refused as refused:
            return refused.answer
        finally:
            _count_down(self._queries, client)

    async def _forward(self, wire: bytes, exchange: _Exchange) -> bytes:
        query = check_query(wire)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + DEADLINE
        for position, server in enumerate(await self._resolvers.current()):
            identifier = secrets.randbits(16)
            patience = min(SERVER_DEADLINE, give_up - loop.time())
            try:
                async with asyncio.timeout(patience):
                    answer = await _ask(server, self._resolvers.port, identifier, query, wire, exchange)
            except (OSError, EOFError, TimeoutError):
                continue
            if position:
                self._resolvers.prefer(server)
            return wire[:2] + answer[2:]
        raise Refused(_bare_answer(wire, dns.rcode.SERVFAIL))


async def _ask(
    server: str, port: int, identifier: int, query: dns.message.Message, wire: bytes, exchange: _Exchange
) -> bytes:
    answer = await exchange(server, port, identifier.to_bytes(2, "big") + wire[2:])
    if not is_answer(answer, identifier, query):
        raise OSError(f"{server} sent something else than an answer")
    return answer


async def _ask_by_udp(server: str, port: int, wire: bytes) -> bytes:
    """A connected socket with a source port of its own, so that strangers can hardly answer."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Answer(first), remote_addr=(server, port))
    try:
        transport.sendto(wire)
        return await first
    finally:
        transport.close()


async def _ask_by_tcp(server: str, port: int, wire: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, port, limit=MAX_ANSWER + _LENGTH.size)
    try:
        writer.write(_LENGTH.pack(len(wire)) + wire)
        await writer.drain()
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return await reader.readexactly(length)
    finally:
        writer.close()


def _count_down(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._received(data, (addr[0], addr[1]))


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, first: asyncio.Future[bytes]) -> None:
        self._first = first

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not self._first.done():
            self._first.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._first.done():
            self._first.set_exception(exc if isinstance(exc, OSError) else OSError(str(exc)))
