"""What a client keeps with a file: headers of the request that writes it, extended attributes of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sandlot.core.live import LiveSandbox
from sandlot.doors.e2b.envd.filesystem_messages import Entry
from sandlot.errors import InvalidArgument
from sandlot.node import attributes

_HEADER: Final = "x-metadata-"
_ATTRIBUTE: Final = "user.e2b."


def metadata_in(headers: Mapping[str, str]) -> dict[str, str]:
    """By lower-case name. Raises InvalidArgument: a value is not printable ASCII, or it is too much."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower().removeprefix(_HEADER)
        if not key or not name.lower().startswith(_HEADER) or key in found:
            continue
        if not (value.isascii() and value.isprintable()):
            raise InvalidArgument(f"metadata: the value of {key[:64]!r} must be printable ASCII")
        found[key] = value
    attributes.check(_ATTRIBUTE, found)
    return found


async def keep(live: LiveSandbox, path: str, metadata: Mapping[str, str]) -> None:
    """Instead of what the file had. Raises InvalidArgument, NotFound, NotEnoughSpace."""
    await live.node.set_file_attributes(path, _ATTRIBUTE, metadata)


async def with_metadata(live: LiveSandbox, entries: Sequence[Entry]) -> None:
    """Each entry gets what its file has."""
    if not entries:
        return
    found = await live.node.file_attributes([entry.path for entry in entries], _ATTRIBUTE)
    for entry in entries:
        entry.metadata = found.get(entry.path, {})
