"""First inputs of the Python targets."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import dns.message

from sandlot.node.agent.files import encode_entry
from sandlot.node.agent.frames import FrameType
from sandlot.node.agent.model import TreeEntry
from sandlot.node.agent.wire import Writer

_KINDS = tuple(FrameType)
_EXIT = Writer().u32(0).u32(0).u8(0).u64(1).u64(0).done()
_STARTED = Writer().u32(1).u32(42).done()


def _info(path: str) -> bytes:
    head = Writer().u8(1).u64(3).u32(0o644).u32(0).u32(0).i64(1_700_000_000_000_000_000)
    return head.text(path, "").text("root", "").text("root", "").u8(0).text("", "").done()


def _process(number: int) -> bytes:
    head = Writer().u32(number).u32(42).u8(2).u64(1_700_000_000_000_000).done()
    return head + _EXIT + Writer().text("root", "").text("", "").text("/", "").u32(1).text("true", "").done()


def _frame(kind: FrameType, payload: bytes = b"", *, channel: int = 1, final: bool = False) -> bytes:
    """As ``agent_link.py`` wants it."""
    return bytes((2 * final, _KINDS.index(kind), channel, len(payload))) + payload


def links() -> Iterator[bytes]:
    reply, error = FrameType.REPLY, Writer().u16(1).u32(2).text("no", "").done()
    output = _frame(FrameType.OUTPUT, Writer().u8(1).u64(0).done() + b"out")
    event = Writer().u8(1).u8(0).text("/a", "").done()
    data = _frame(FrameType.DATA, b"abc")
    entry = encode_entry(TreeEntry("a", "file", size=3))
    answers = {
        0: _frame(reply, _STARTED) + output + _frame(reply, _EXIT, final=True),
        1: _frame(reply, _STARTED) + output + _frame(FrameType.ERROR, error, final=True),
        2: _frame(reply, b"\0" + _process(1), final=True),
        3: _frame(reply, Writer().u32(1).u64(2).u64(3).u64(4).u64(5).done(), final=True),
        4: _frame(reply, _info("/"), final=True),
        5: _frame(FrameType.ENTRY, _info("/a")) + _frame(reply, Writer().u32(1).done(), final=True),
        6: _frame(reply, _info("/a")) + data + _frame(reply, final=True),
        7: _frame(FrameType.WINDOW, Writer().u32(1 << 20).done()) + _frame(reply, _info("/a"), final=True),
        8: _frame(reply) + _frame(FrameType.ENTRY, entry) + data
        + _frame(reply, Writer().u32(1).done(), final=True),
        9: _frame(reply, Writer().u32(1).done(), final=True),
        10: _frame(reply) + _frame(FrameType.ENTRY, event) + _frame(reply, final=True),
        11: _frame(reply) + data + _frame(FrameType.END) + _frame(reply, final=True),
        12: _frame(reply, final=True),
        13: _frame(FrameType.PONG, channel=0),
    }  # fmt: skip
    for call, answer in answers.items():
        yield bytes((0, call, 0, 0, 0)) + answer
        yield bytes((3, call, 3, 13, 4)) + _frame(FrameType.ERROR, error, channel=2, final=True) + answer


def payloads() -> Iterator[bytes]:
    event = Writer().u8(2).u8(0).text("/a", "").done()
    link = encode_entry(TreeEntry("d/l", "symlink", target="t", uid=1, gid=2, mtime=3.5))
    error = Writer().u16(3).u32(13).text("denied", "").done()
    output = Writer().u8(2).u64(7).done() + b"text"
    for number, payload in enumerate(
        (_info("/a"), event, link, b"\1" + _process(1), output, _EXIT, error, error)
    ):
        yield bytes((number,)) + payload


def kernel_lines() -> Iterator[bytes]:
    lines = (
        b'{"type":"ready","id":"a","protocol":1}\n{"type":"pong","id":"a","context":{"cwd":"/","env":{"A":"b"}}}\n',
        b'{"type":"stdout","id":"a","text":"x"}\n{"type":"stderr","id":"a","text":"\\ud800"}\n',
        b'{"type":"result","id":"a","is_main":true,"json":[1,{"a":null}],"data":{"b":[1.5]},"chart":{},"extra":{}}\n',
        b'{"type":"error","id":"a","name":"E","value":"v","traceback":"t"}\n{"type":"done","id":"a","execution_count":1}\n',
    )
    for line in lines:
        yield b"\5" + line


def archives() -> Iterator[bytes]:
    for style in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=style) as archive:
            for name, kind in (("d", tarfile.DIRTYPE), ("d/f", tarfile.REGTYPE), ("l", tarfile.SYMTYPE)):
                info = tarfile.TarInfo(name if style == tarfile.USTAR_FORMAT else name + "\N{SNOWMAN}" * 40)
                info.type, info.linkname = kind, "d" if kind == tarfile.SYMTYPE else ""
                info.size = 3 if kind == tarfile.REGTYPE else 0
                info.mtime = 1.5 if style == tarfile.PAX_FORMAT else 1
                archive.addfile(info, io.BytesIO(b"abc"))
        yield b"\x20" + made.getvalue().rstrip(b"\0") + bytes(1024)


def queries() -> Iterator[bytes]:
    for kind in ("A", "AAAA", "TXT", "AXFR"):
        query = dns.message.make_query(
            "a.example.org.", kind, use_edns=0 if kind == "A" else False, id=7
        ).to_wire()
        yield query + query
    yield b"nameserver 127.0.0.1\nnameserver ::1\n"
