"""filesystem.Filesystem: look at files and folders, make, move, remove and watch them.

This protocol's file calls may do everything, whoever they are for: the user that a call names says where
relative paths begin and whom what it makes belongs to, not what it may touch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from starlette.routing import BaseRoute

from sandlot.core.live import LiveSandbox
from sandlot.doors.e2b.envd import paths
from sandlot.doors.e2b.envd.connect import (
    Answers,
    Call,
    Code,
    RpcError,
    out_of_time,
    server_stream,
    unary,
)
from sandlot.doors.e2b.envd.entries import entries_at, entries_of, entry_at
from sandlot.doors.e2b.envd.filesystem_messages import (
    Change,
    CreateWatcherResponse,
    Entry,
    EntryResponse,
    ListRequest,
    ListResponse,
    MoveRequest,
    Nothing,
    PathRequest,
    WatcherEventsResponse,
    WatcherRequest,
    WatchRequest,
    WatchResponse,
)
from sandlot.doors.e2b.envd.metadata import with_metadata
from sandlot.errors import Conflict, InvalidArgument, NotFound
from sandlot.node.agent import Watch, WatchEvent

SERVICE: Final = "filesystem.Filesystem"
_EVENTS: Final = {
    "create": "EVENT_TYPE_CREATE",
    "write": "EVENT_TYPE_WRITE",
    "remove": "EVENT_TYPE_REMOVE",
    "rename": "EVENT_TYPE_RENAME",
    "chmod": "EVENT_TYPE_CHMOD",
}
_STILL_THERE: Final = ("create", "write", "chmod")
_KEEPALIVE: Final = WatchResponse(keepalive=Nothing())


async def stat(call: Call, request: PathRequest) -> EntryResponse:
    return await _described(call, _path(call, request.path))


async def make_dir(call: Call, request: PathRequest) -> EntryResponse:
    """With the folders above it. One that is there already is an error, which clients answer "false" to."""
    path = _path(call, request.path)
    try:
        made = await call.live.agent.mkdir(path, owner=owner_for(call.live, call.user))
    except Conflict as error:
        raise InvalidArgument(error.message) from error
    if not made:
        raise RpcError(Code.ALREADY_EXISTS, f"there is a folder already: {path}")
    return await _described(call, path)


async def move(call: Call, request: MoveRequest) -> EntryResponse:
    """A file that has the new name already is replaced."""
    source, target = _path(call, request.source), _path(call, request.destination)
    await call.live.agent.move(source, target, owner=owner_for(call.live, call.user))
    return await _described(call, target)


async def list_dir(call: Call, request: ListRequest) -> ListResponse:
    agent = call.live.agent
    infos = await agent.list(_path(call, request.path), depth=max(1, request.depth))
    entries = await entries_of(agent, infos)
    await with_metadata(call.live, entries)
    return ListResponse(entries)


async def remove(call: Call, request: PathRequest) -> Nothing:
    """With all that is below. What is not there is as good as removed."""
    with suppress(NotFound):
        await call.live.agent.remove(_path(call, request.path))
    return Nothing()


async def watch_dir(call: Call, request: WatchRequest) -> Answers:
    """Ends when the folder itself does, and at the call's timeout."""
    path = await _folder(call, request.path)
    watch = await call.live.agent.watching(path, recursive=request.recursive)
    return Answers(
        _changes(call, watch, path, request.include_entry),
        first=[WatchResponse(start=Nothing())],
        close=watch.close,
        keepalive=_KEEPALIVE,
    )


async def create_watcher(call: Call, request: WatchRequest) -> CreateWatcherResponse:
    path = await _folder(call, request.path)
    id = await call.live.watchers.create(path, recursive=request.recursive, with_info=request.include_entry)
    return CreateWatcherResponse(id)


async def get_watcher_events(call: Call, request: WatcherRequest) -> WatcherEventsResponse:
    """What has happened since the last question."""
    watcher, news = await call.live.watchers.news(request.watcher_id)
    return WatcherEventsResponse(await _told(call.live, news, watcher.path, watcher.with_info))


async def remove_watcher(call: Call, request: WatcherRequest) -> Nothing:
    call.live.watchers.remove(request.watcher_id)
    return Nothing()


async def _changes(
    call: Call, watch: Watch, path: str, include_entry: bool
) -> AsyncGenerator[WatchResponse, None]:
    """Raises RpcError at the call's timeout, and where changes were lost."""
    expires = None if call.timeout_s is None else asyncio.get_running_loop().time() + call.timeout_s
    try:
        while True:
            async with asyncio.timeout_at(expires):
                event = await anext(watch)
                [change] = await _told(call.live, [event], path, include_entry)
            yield WatchResponse(filesystem=change)
    except StopAsyncIteration:
        return
    except TimeoutError:
        raise out_of_time(call) from None


async def _told(
    live: LiveSandbox, events: Sequence[WatchEvent], folder: str, include_entry: bool
) -> list[Change]:
    """Raises RpcError where changes were lost."""
    if any(event.kind == "overflow" for event in events):
        raise RpcError(
            Code.ABORTED, f"more happened in {folder} than could be told: list it, and watch it again"
        )
    looked_at = (event.path for event in events if include_entry and event.kind in _STILL_THERE)
    entries = await entries_at(live.agent, looked_at)
    await with_metadata(live, [entry for entry in entries.values() if entry is not None])
    return [
        Change(_relative(event.path, folder), _EVENTS[event.kind], _entry_for(event, entries))
        for event in events
    ]


def _entry_for(event: WatchEvent, entries: Mapping[str, Entry | None]) -> Entry | None:
    return entries.get(event.path) if event.kind in _STILL_THERE else None


def _relative(path: str, folder: str) -> str:
    if path == folder:
        return "."
    below = path.removeprefix(folder.rstrip("/") + "/")
    return below.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def _described(call: Call, path: str) -> EntryResponse:
    entry = await entry_at(call.live.agent, path)
    await with_metadata(call.live, [entry])
    return EntryResponse(entry)


async def _folder(call: Call, given: str) -> str:
    path = _path(call, given)
    if (await call.live.agent.stat(path)).kind != "dir":
        raise InvalidArgument(f"path: {path} is no folder, and only folders are watched")
    return path


def _path(call: Call, given: str) -> str:
    """An empty path is the user's home."""
    return call.live.path(paths.given(given) or ".", call.user)


def owner_for(live: LiveSandbox, user: str | None) -> str:
    """Whom what a call makes belongs to: its user, and the group of that user's login."""
    owner = user or live.default_user
    return owner if ":" in owner else f"{owner}:"


ROUTES: list[BaseRoute] = [
    unary(SERVICE, "Stat", PathRequest, stat),
    unary(SERVICE, "MakeDir", PathRequest, make_dir),
    unary(SERVICE, "Move", MoveRequest, move),
    unary(SERVICE, "ListDir", ListRequest, list_dir),
    unary(SERVICE, "Remove", PathRequest, remove),
    server_stream(SERVICE, "WatchDir", WatchRequest, watch_dir),
    unary(SERVICE, "CreateWatcher", WatchRequest, create_watcher),
    unary(SERVICE, "GetWatcherEvents", WatcherRequest, get_watcher_events),
    unary(SERVICE, "RemoveWatcher", WatcherRequest, remove_watcher),
]
