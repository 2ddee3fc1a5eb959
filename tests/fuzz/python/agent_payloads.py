"""Every payload of a guest, on through the native door's shapes to JSON and to tar headers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from sandlot.doors.encoding import to_json
from sandlot.doors.native.archive import _member
from sandlot.doors.native.commands import _answer
from sandlot.doors.native.files import _line, file_answer
from sandlot.errors import SandlotError
from sandlot.node.agent.client import _read_page
from sandlot.node.agent.files import read_entry, read_event, read_info
from sandlot.node.agent.link import decode_error
from sandlot.node.agent.model import ProcessInfo
from sandlot.node.agent.process import decode_output, read_exit
from sandlot.node.agent.wire import Reader


def _entry(payload: bytes) -> None:
    info = _member(read_entry(Reader(payload)))
    info.tobuf(format=2, encoding="utf-8", errors="surrogateescape")


def _page(payload: bytes) -> None:
    found: list[ProcessInfo] = []
    _read_page(Reader(payload), found)
    for info in found:
        to_json(_answer(info).model_dump())


_PARSERS: Final[tuple[Callable[[bytes], Any], ...]] = (
    lambda payload: to_json(file_answer(read_info(Reader(payload))).model_dump()),
    lambda payload: _line(read_event(Reader(payload))),
    _entry,
    _page,
    decode_output,
    lambda payload: read_exit(Reader(payload)),
    lambda payload: str(decode_error(payload)),
    lambda payload: str(decode_error(payload, greeting=True)),
)


def one_input(data: bytes) -> None:
    if not data:
        return
    with suppress(SandlotError):
        _PARSERS[data[0] % len(_PARSERS)](data[1:])
