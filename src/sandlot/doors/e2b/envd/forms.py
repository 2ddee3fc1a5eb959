"""multipart/form-data as it comes: one part after another, none of them ever held whole."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sandlot.errors import InvalidArgument

MAX_PARTS: Final = 10_000
MAX_HEADER_BYTES: Final = 16 * 1024
"""Of one header of a part: a path has 4 KiB, and may come escaped."""
_ESCAPED: Final = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))
"""What clients escape in names, by the HTML standard, and nothing else: not the percent sign either."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part has begun. ``file_name`` None is none at all."""

    name: str
    file_name: str | None


@dataclass(frozen=True, slots=True)
class _End:
    """The current part has ended."""


class Form:
    """Reads a form from ``chunks``. Every method raises InvalidArgument for what is none."""

    def __init__(self, chunks: AsyncIterator[bytes], content_type: str) -> None:
        _, options = parse_options_header(content_type)
        if not (boundary := options.get(b"boundary")):
            raise InvalidArgument("content-type: multipart/form-data needs its boundary")
        self._chunks = chunks
        self._found: deque[Part | bytes | _End] = deque()
        self._whole = False
        self._parts = 0
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError as error:
            raise InvalidArgument(f"content-type: {error}") from None

    async def next_part(self) -> Part | None:
        """None at the end. What was left of the part before is read and forgotten."""
        while (item := await self._next()) is not None:
            if isinstance(item, Part):
                return item
        return None

    async def data(self) -> AsyncGenerator[bytes, None]:
        """What is in the current part."""
        while isinstance(item := await self._next(), bytes):
            yield item

    async def _next(self) -> Part | bytes | _End | None:
        while not self._found:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                if not self._whole:
                    raise InvalidArgument("the form ends before its last boundary")
                return None
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise InvalidArgument(f"the body is no multipart/form-data: {error}") from None
        return self._found.popleft()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidArgument(f"a form may have at most {MAX_PARTS} parts; send the rest in another")
        self._found.append(_part_of(self._headers.get(b"content-disposition", b"")))
        self._headers = {}

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if end > start:
            self._found.append(data[start:end])

    def _on_part_end(self) -> None:
        self._found.append(_End())

    def _on_end(self) -> None:
        self._whole = True


def _part_of(disposition: bytes) -> Part:
    _, options = parse_options_header(disposition.decode("latin-1"))
    name, file_name = options.get(b"name", b""), options.get(b"filename")
    return Part(_text(name), None if file_name is None else _unescaped(_text(file_name)))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _unescaped(name: str) -> str:
    for escape, character in _ESCAPED:
        name = name.replace(escape, character)
    return name
