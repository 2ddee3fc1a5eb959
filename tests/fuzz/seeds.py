"""First inputs: one ordinary conversation of each kind, from which the fuzzers depart."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sandlot.node.agent.files import encode_entry
from sandlot.node.agent.frames import FrameType, encode
from sandlot.node.agent.model import PtySize, SpawnSpec, TreeEntry
from sandlot.node.agent.process import encode_spawn
from sandlot.node.agent.wire import Writer

NEVER = 0xFFFFFFFF


def pieces(*parts: bytes, head: bytes = b"\0") -> bytes:
    """As ``connection.c`` wants it."""
    return head + b"".join(struct.pack("<H", len(part)) + part for part in parts)


def _path(path: str, user: str = "") -> Writer:
    return Writer().text(user, "").text(path, "")


def connections() -> Iterator[bytes]:
    spawn = encode_spawn(SpawnSpec(["a", "b"], {"A": "b"}, "/", "root", stdin=True, timeout=1, tag="t"))
    terminal = encode_spawn(SpawnSpec(["sh"], pty=PtySize(3, 4), user="1000:1000", keep_output=9))
    premises = ["$HOME", "/", "/etc/*.sh", "", "/etc/a", "", "/etc/b", "00"]
    words = encode_spawn(SpawnSpec(["/bin/bash", "-c", "a b"], words=["a", "b"], premises=premises))
    window = Writer().u32(1 << 20).done()
    yield pieces(encode(FrameType.PING, 0, b"x"), encode(FrameType.PING, 0))
    yield pieces(
        encode(FrameType.SPAWN, 1, spawn) + encode(FrameType.WINDOW, 1, window),
        encode(FrameType.STDIN, 2, Writer().u32(1).u8(0).blob(b"input").done()),
        encode(FrameType.STDIN, 3, Writer().u32(1).u8(1).blob(b"").done()),
        encode(FrameType.ATTACH, 4, Writer().u32(1).u64(0).u64((1 << 64) - 1).done()),
        encode(FrameType.SIGNAL, 5, Writer().u32(1).u32(9).u8(1).done()),
        encode(FrameType.PROCESSES, 6, Writer().u32(0).done()),
        encode(FrameType.CANCEL, 1),
    )
    yield pieces(
        encode(FrameType.SPAWN, 1, terminal),
        encode(FrameType.RESIZE, 2, Writer().u32(1).u16(5).u16(6).done()),
        encode(FrameType.STATS, 3) + encode(FrameType.OOM_KILL, 4),
        encode(FrameType.ACTIVITY, 6, Writer().u32(1).u32(1).done()),
        encode(FrameType.DIAL, 5, Writer().text("localhost", "").u16(80).done())
        + encode(FrameType.DATA, 5, b"d"),
    )
    write = _path("/a/b").text("1000:1000", "").u32(0o640).u8(1).done()
    yield pieces(
        encode(FrameType.WRITE, 1, write) + encode(FrameType.DATA, 1, b"text") + encode(FrameType.END, 1),
        encode(FrameType.STAT, 2, _path("/a/b", "1000").u8(1).done()),
        encode(FrameType.READ, 3, _path("/a/b").u64(1).u64((1 << 64) - 1).done()),
        encode(FrameType.LIST, 4, _path("/").u32(3).done()),
        encode(FrameType.COPY, 5, _path("/a").text("/c", "").done()),
        encode(FrameType.MOVE, 6, _path("/c").text("/d/e", "").u8(1).done()),
        encode(FrameType.CHMOD, 7, _path("/a/b").u32(0o600).done()),
        encode(FrameType.CHOWN, 8, _path("/a/b").text(":root", "").done()),
        encode(FrameType.REMOVE, 9, _path("/a").u8(1).done()),
    )
    entries = [
        TreeEntry("", "dir", 0o755),
        TreeEntry("f", "file", 0o644, size=3, mtime=5.5),
        b"abc",
        TreeEntry("d/l", "symlink", target="../f", uid=1, gid=2),
        TreeEntry("d", "dir", 0o500),
    ]
    tree = b"".join(
        encode(FrameType.DATA, 1, item)
        if isinstance(item, bytes)
        else encode(FrameType.ENTRY, 1, encode_entry(item))
        for item in entries
    )
    yield pieces(
        encode(FrameType.WATCH, 2, _path("/").u8(1).done()),
        encode(FrameType.MKDIR, 3, _path("w/x").u32(0o700).u8(1).done()),
        encode(FrameType.WRITE_TREE, 1, _path("/t").done()) + tree + encode(FrameType.END, 1),
        encode(FrameType.READ_TREE, 4, _path("/t", "1").done()),
        encode(FrameType.CANCEL, 2),
    )
    # A time that 64 bits of nanoseconds do not hold once it is added up.
    early = (
        Writer()
        .u8(1)
        .u32(0o644)
        .u64(0)
        .u32(NEVER)
        .u32(NEVER)
        .i64(-(1 << 63) + 1)
        .text("f", "")
        .text("", "")
        .done()
    )
    yield pieces(
        encode(FrameType.WRITE_TREE, 1, _path("/t").done())
        + encode(FrameType.ENTRY, 1, early)
        + encode(FrameType.END, 1),
        encode(FrameType.READ_TREE, 2, _path("/t").done())
        + encode(FrameType.STAT, 3, _path("/t/f").u8(1).done()),
    )
    yield pieces(encode(FrameType.SPAWN, 1, words), encode(FrameType.CANCEL, 1))
    renew = Writer().text("t", "").u64(2).text("other", "").blob(b"entropy").done()
    yield pieces(encode(FrameType.RENEW, 1, renew), encode(FrameType.STATS, 2))
    hello = Writer().u16(1).u16(1).text("s", "").done()
    yield pieces(encode(FrameType.HELLO, 0, hello), encode(FrameType.STATS, 1), head=b"\1")
    yield pieces(encode(FrameType.HELLO, 0, hello)[:9], encode(FrameType.HELLO, 0, hello)[9:], head=b"\1")


def _texts(*texts: str) -> bytes:
    writer = Writer().u32(len(texts))
    for text in texts:
        writer.text(text, "")
    return writer.done()


def sudo_sockets() -> Iterator[bytes]:
    for flags, arguments in (
        (0, ("id",)),
        (1 | 2, ("", "id -u")),
        (4 | 8, ()),
        (32, ()),
        (64 | 128 | 256, ("vi",)),
    ):
        wish = Writer().u16(flags).u16(24).u16(80).text("root", "").text("", "").done()
        payload = wish + _texts(*arguments) + _texts("A=b") + _texts("TERM") + _texts("TERM=xterm", "HOME=/")
        run = struct.pack("<IBBHI", len(payload), 2, 0, 0, 0) + payload
        signal = struct.pack("<IBBHII", 4, 4, 0, 0, 0, 15)
        parts = ((4, run), (0, signal))
        yield b"".join(struct.pack("<BH", count, len(part)) + part for count, part in parts)


def users() -> Iterator[bytes]:
    passwd = b"root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1000::/home/bob:/bin/sh\n"
    for who in (b"bob", b"1000:1000", b"bob:crew", b":crew", b"bob:", b"77"):
        yield who + b"\0" + passwd + b"\0" + b"root:x:0:\ncrew:x:5:bob,al\nsudo:x:27:bob\n"


def frames() -> Iterator[bytes]:
    for kind in (FrameType.STAT, FrameType.SPAWN):
        header = encode(kind, 1, b"", final=kind is FrameType.STAT)
        yield header + bytes(range(16)) + Writer().u32(7).text("text", "").u64(1).blob(b"bytes").u8(2).done()


def rings() -> Iterator[bytes]:
    yield bytes((0, 16)) + bytes((200, 3, 255, 15, 1, 0, 0, 16)) * 4
    yield bytes((10, 0)) + bytes((9, 0, 3, 0, 40, 0)) * 4
