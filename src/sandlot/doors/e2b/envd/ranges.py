"""Part of a file: the Range header, as far as it asks for one range of bytes."""

from __future__ import annotations

import re
from typing import Final

_ONE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class NotInFile(ValueError):
    """The range begins behind the end."""


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and length. None for all: no range, several, or none that is understood.

    Raises NotInFile.
    """
    matched = _ONE.fullmatch(header.replace(" ", "")) if header else None
    if matched is None or matched.group(0) == "bytes=-":
        return None
    first, last = matched.groups()
    if not first:
        length = min(int(last), size)
        if not length:
            raise NotInFile
        return size - length, length
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise NotInFile
    end = min(int(last), size - 1) if last else size - 1
    return int(first), end - int(first) + 1
