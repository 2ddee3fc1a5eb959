"""gzip around a file on its way in or out, a piece at a time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from sandlot.errors import InvalidArgument

_GZIP: Final = 31
"""zlib's number for: gzip, with the largest window."""
_PIECE: Final = 128 * 1024


async def gunzipped(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Never more than a piece ahead of whoever takes it. Raises InvalidArgument for what is no gzip."""
    inflating = zlib.decompressobj(_GZIP)
    async for chunk in chunks:
        rest = chunk
        while True:
            try:
                piece = inflating.decompress(rest, _PIECE)
            except zlib.error as error:
                raise InvalidArgument(f"the body is no gzip, as content-encoding says: {error}") from None
            if piece:
                yield piece
            rest = inflating.unconsumed_tail
            if inflating.eof and (rest := inflating.unused_data):
                inflating = zlib.decompressobj(_GZIP)  # one after another is one
            elif not piece and not rest:
                break
    if not inflating.eof:
        raise InvalidArgument("the body ends in the middle of its gzip")


async def gzipped(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    deflating = zlib.compressobj(wbits=_GZIP)
    async with aclosing(chunks):
        async for chunk in chunks:
            if piece := await asyncio.to_thread(deflating.compress, chunk):
                yield piece
    yield deflating.flush()
