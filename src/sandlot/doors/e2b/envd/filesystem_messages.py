"""The messages of filesystem.Filesystem."""

from __future__ import annotations

import msgspec

from sandlot.doors.e2b.envd.connect import Message


class Nothing(Message):
    """An empty message."""


class Entry(Message):
    """One entry of a folder. ``size`` is a 64-bit number, which this form of JSON writes as text."""

    name: str
    type: str
    path: str
    size: str
    mode: int
    permissions: str
    owner: str
    group: str
    modified_time: str
    symlink_target: str | None = None
    is_symlink: bool = False
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class PathRequest(Message):
    """Of Stat, MakeDir and Remove."""

    path: str = ""


class EntryResponse(Message):
    """Of Stat, MakeDir and Move."""

    entry: Entry


class MoveRequest(Message):
    source: str = ""
    destination: str = ""


class ListRequest(Message):
    path: str = ""
    depth: int = 0


class ListResponse(Message):
    entries: list[Entry]


class WatchRequest(Message):
    """Of WatchDir and CreateWatcher. No folder here lies on another machine, so none is refused for that."""

    path: str = ""
    recursive: bool = False
    include_entry: bool = False
    allow_network_mounts: bool = False


class Change(Message):
    """``name`` is relative to the folder watched, and "." that folder."""

    name: str
    type: str
    entry: Entry | None = None


class WatchResponse(Message):
    """One of the three."""

    start: Nothing | None = None
    filesystem: Change | None = None
    keepalive: Nothing | None = None


class CreateWatcherResponse(Message):
    watcher_id: str


class WatcherRequest(Message):
    """Of GetWatcherEvents and RemoveWatcher."""

    watcher_id: str = ""


class WatcherEventsResponse(Message):
    events: list[Change]
