"""A file as this protocol describes it: a link by what it leads to, and as a link besides."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

from sandlot.doors.e2b.envd.filesystem_messages import Entry
from sandlot.errors import SandlotError
from sandlot.node.agent import FileInfo, FileKind, GuestAgent

_TYPES: Final[dict[FileKind, str]] = {
    "file": "FILE_TYPE_FILE",
    "dir": "FILE_TYPE_DIRECTORY",
    "symlink": "FILE_TYPE_SYMLINK",
    "other": "FILE_TYPE_UNSPECIFIED",
}
_BITS: Final[dict[FileKind, int]] = {
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "other": 0,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE: Final = 500
"""Entries described before others on the loop have their turn."""
_LOOKS_AT_ONCE: Final = 8
T = TypeVar("T")


async def entry_at(agent: GuestAgent, path: str) -> Entry:
    """Raises NotFound and what else ``stat`` raises."""
    info = await agent.stat(path, follow=False)
    return entry_of(info, await _led_to(agent, info) if info.kind == "symlink" else None)


async def entries_at(agent: GuestAgent, paths: Iterable[str]) -> dict[str, Entry | None]:
    """None for what is not there, or cannot be looked at."""

    async def lookup(path: str) -> Entry | None:
        try:
            return await entry_at(agent, path)
        except SandlotError:
            return None

    return await _each(lookup, dict.fromkeys(paths))


async def entries_of(agent: GuestAgent, infos: Sequence[FileInfo]) -> list[Entry]:
    """In the order given."""
    links = {info.path: info for info in infos if info.kind == "symlink"}
    targets = await _each(lambda path: _led_to(agent, links[path]), links)
    entries: list[Entry] = []
    for number, info in enumerate(infos, 1):
        entries.append(entry_of(info, targets.get(info.path)))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return entries


def entry_of(info: FileInfo, target: FileInfo | None = None) -> Entry:
    """``target`` is what a link leads to; a link without one leads nowhere."""
    is_link = info.kind == "symlink"
    shown = info if target is None else target
    return Entry(
        name=_text(info.name),
        type=_TYPES[shown.kind],
        path=_text(info.path),
        size=str(info.size),
        mode=shown.mode & 0o777,
        permissions=_permissions(info),
        owner=info.owner or str(info.uid),
        group=info.group or str(info.gid),
        modified_time=_time(info.mtime),
        symlink_target=_text(info.path if target is None else target.path) if is_link else None,
        is_symlink=is_link,
    )


async def _each(look: Callable[[str], Awaitable[T]], paths: Iterable[str]) -> dict[str, T]:
    """What ``look`` says of each, some at a time."""
    found: dict[str, T] = {}
    for some in _batched(paths, _LOOKS_AT_ONCE):
        found.update(zip(some, await asyncio.gather(*map(look, some)), strict=True))
    return found


def _batched(items: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    rest = iter(items)
    while some := tuple(islice(rest, size)):
        yield some


async def _led_to(agent: GuestAgent, info: FileInfo) -> FileInfo | None:
    try:
        return await agent.stat(info.path, resolve=True)
    except SandlotError:
        return None


def _permissions(info: FileInfo) -> str:
    shown = stat.filemode(_BITS[info.kind] | info.mode)
    return "?" + shown[1:] if info.kind == "other" else shown


def _time(seconds: float) -> str:
    """RFC 3339, within the years that it can write."""
    try:
        at = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        at = datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)
    return at.isoformat().replace("+00:00", "Z")


def _text(path: str) -> str:
    """Names are any bytes to the guest; clients refuse a whole list with a name in it that is no text."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
