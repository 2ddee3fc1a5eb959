"""A client's archive in any pieces, on to the entries that the agent would get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from sandlot.doors.native.archive import tree_of
from sandlot.doors.tarstream import read_tar
from sandlot.errors import SandlotError
from sandlot.node.agent import TreeEntry
from sandlot.node.agent.files import encode_entry

_LOOP: Final = asyncio.new_event_loop()


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    """The first byte says in pieces of which size the rest comes."""
    size = 1 + data[0] * 16
    for at in range(1, len(data), size):
        yield data[at : at + size]


async def _read(data: bytes) -> None:
    due = 0
    async for item in tree_of(read_tar(_chunks(data))):
        if isinstance(item, TreeEntry):
            assert due == 0
            encode_entry(item)
            due = item.size
        else:
            due -= len(item)
            assert due >= 0


def one_input(data: bytes) -> None:
    if not data:
        return
    with suppress(SandlotError):
        _LOOP.run_until_complete(_read(data))
