"""Files: read, write, list, move, watch. Relative paths begin at the user's home."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Query, Request, Response

from sandlot.core.live import LiveSandbox
from sandlot.doors.native import events
from sandlot.doors.native.described import IN_SANDBOX, failures, lines, raw, raw_body
from sandlot.doors.native.door import engine_of, routes
from sandlot.doors.native.models import (
    MAX_OFFSET,
    CopyBody,
    FileAnswer,
    FilesAnswer,
    MadeAnswer,
    MkdirBody,
    MoveBody,
    SandboxId,
)
from sandlot.doors.native.streams import byte_stream, event_stream
from sandlot.errors import InvalidArgument
from sandlot.node.agent import FileInfo, WatchEvent

router = routes("/v1/sandboxes/{sandbox_id}/files", "files")

_OCTAL = re.compile("0?[0-7]{1,4}")
BINARY = "application/octet-stream"
PathParam = Annotated[str, Query(description="A path in the sandbox.", examples=["notes/today.txt"])]
UserParam = Annotated[
    str | None, Query(description="With whose rights; a name or `uid[:gid]`. Default: the template's user.")
]


@router.get("", response_model=None, responses=raw(BINARY, "The file's bytes.") | failures(*IN_SANDBOX, 403))
async def read_file(
    request: Request,
    sandbox_id: SandboxId,
    path: PathParam,
    user: UserParam = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="First byte.")] = 0,
    length: Annotated[
        int | None, Query(ge=0, le=MAX_OFFSET, description="Most bytes. Default: to the end.")
    ] = None,
) -> Response:
    """A file's bytes. The header `X-Sandlot-File` has what `stat` says, as JSON."""
    live, target, user = await _at(request, sandbox_id, path, user)
    info = await live.agent.stat(target, user=user)
    if info.kind == "dir":
        raise InvalidArgument(
            f"path: {path!r} is a folder; /archive gives a whole one, /files/list its names"
        )
    if info.kind != "file":
        raise InvalidArgument(f"path: {path!r} is neither a file nor a folder and has no content to give")
    # Files of the kernel's (/proc) say that they are empty and are not: no length can be announced for them.
    known = None if info.size == 0 else max(0, info.size - offset)
    if known is not None and length is not None:
        known = min(known, length)
    chunks = live.agent.read(target, offset=offset, length=length if known is None else known, user=user)
    described = json.dumps(file_answer(info).model_dump())
    return byte_stream(request, chunks, length=known, headers={"x-sandlot-file": described})


@router.put(
    "",
    responses=failures(*IN_SANDBOX, 403, 408, 413),
    openapi_extra=raw_body(BINARY),
)
async def write_file(
    request: Request,
    sandbox_id: SandboxId,
    path: PathParam,
    user: UserParam = None,
    mode: Annotated[
        str | None, Query(description="Permissions, octal. Default: as before, else 0644.")
    ] = None,
    owner: Annotated[
        str | None, Query(description="`user[:group]`. Default: as before, else `user`.")
    ] = None,
) -> FileAnswer:
    """Write the body to a file, making missing folders. Others see the old content or all of the new."""
    bits = None if mode is None else octal(mode)
    live, target, user = await _at(request, sandbox_id, path, user)
    info = await live.agent.write(target, body_chunks(request), mode=bits, owner=owner, user=user)
    return file_answer(info)


@router.delete("", status_code=204, responses=failures(*IN_SANDBOX, 403))
async def remove_file(
    request: Request,
    sandbox_id: SandboxId,
    path: PathParam,
    user: UserParam = None,
    recursive: Annotated[bool, Query(description="Whether a folder goes with all that is in it.")] = True,
) -> None:
    """Remove a file or a folder. A symbolic link is removed, not what it points to."""
    live, target, user = await _at(request, sandbox_id, path, user)
    await live.agent.remove(target, recursive=recursive, user=user)


@router.get("/stat", responses=failures(*IN_SANDBOX, 403))
async def stat_file(
    request: Request,
    sandbox_id: SandboxId,
    path: PathParam,
    user: UserParam = None,
    follow: Annotated[bool, Query(description="What a symbolic link points to, not the link.")] = True,
) -> FileAnswer:
    """What there is to know of a path without reading it."""
    live, target, user = await _at(request, sandbox_id, path, user)
    return file_answer(await live.agent.stat(target, user=user, follow=follow))


@router.get("/list", responses=failures(*IN_SANDBOX, 403))
async def list_files(
    request: Request,
    sandbox_id: SandboxId,
    path: PathParam = ".",
    user: UserParam = None,
    depth: Annotated[int, Query(ge=1, le=64, description="1 is the folder's own entries.")] = 1,
) -> FilesAnswer:
    """What is in a folder; at most 100,000 entries."""
    live, target, user = await _at(request, sandbox_id, path, user)
    found = await live.agent.list(target, depth=depth, user=user)
    return FilesAnswer(files=[file_answer(info) for info in found])


@router.post("/mkdir", responses=failures(*IN_SANDBOX, 403))
async def make_folder(
    request: Request, sandbox_id: SandboxId, body: MkdirBody, user: UserParam = None
) -> MadeAnswer:
    """Make a folder."""
    bits = octal(body.mode)
    live = await engine_of(request).live(sandbox_id)
    user = user or live.default_user
    made = await live.agent.mkdir(live.path(body.path, user), mode=bits, parents=body.parents, user=user)
    return MadeAnswer(made=made)


@router.post("/move", responses=failures(*IN_SANDBOX, 403))
async def move_file(
    request: Request, sandbox_id: SandboxId, body: MoveBody, user: UserParam = None
) -> FileAnswer:
    """Move or rename a file or a folder."""
    live = await engine_of(request).live(sandbox_id)
    user = user or live.default_user
    source, target = live.path(body.source, user), live.path(body.target, user)
    return file_answer(await live.agent.move(source, target, overwrite=body.overwrite, user=user))


@router.post("/copy", responses=failures(*IN_SANDBOX, 403))
async def copy_file(
    request: Request, sandbox_id: SandboxId, body: CopyBody, user: UserParam = None
) -> FileAnswer:
    """Copy a file, or a folder with all that is in it."""
    live = await engine_of(request).live(sandbox_id)
    user = user or live.default_user
    source, target = live.path(body.source, user), live.path(body.target, user)
    return file_answer(await live.agent.copy(source, target, user=user))


@router.get(
    "/watch",
    response_model=None,
    responses=lines(
        "Watching", "Change", "Keepalive", "Failed",
        description="`watching` once changes are seen, then a line for each, `keepalive` every 15 s.",
    )
    | failures(*IN_SANDBOX, 403),
)  # fmt: skip
async def watch_files(
    request: Request,
    sandbox_id: SandboxId,
    path: PathParam = ".",
    user: UserParam = None,
    recursive: Annotated[bool, Query(description="Folders below too.")] = False,
) -> Response:
    """Follow the changes in a folder, or of a file. Ends when the path itself is removed or renamed."""
    live, target, user = await _at(request, sandbox_id, path, user)
    watch = await live.agent.watching(target, recursive=recursive, user=user)
    return event_stream(request, watch, _line, first=events.line(events.Watching()), close=watch.close)


async def _at(request: Request, sandbox_id: str, path: str, user: str | None) -> tuple[LiveSandbox, str, str]:
    live = await engine_of(request).live(sandbox_id)
    user = user or live.default_user
    return live, live.path(exact_path(request, path), user), user


def exact_path(request: Request, path: str) -> str:
    """``path`` with the bytes that are not UTF-8, of which the framework keeps only that they were there."""
    if "\ufffd" not in path:
        return path
    query: str = request.scope["query_string"].decode("latin-1")
    return parse_qs(query, keep_blank_values=True, errors="surrogateescape")["path"][-1]


def octal(text: str) -> int:
    """Permission bits. Raises InvalidArgument."""
    if not _OCTAL.fullmatch(text):
        raise InvalidArgument(f"mode: {text!r} is not octal permissions such as 0644")
    return int(text, 8)


def file_answer(info: FileInfo) -> FileAnswer:
    return FileAnswer.model_construct(
        path=info.path,
        name=info.name,
        kind=info.kind,
        size=info.size,
        mode=f"{info.mode:04o}",
        uid=info.uid,
        gid=info.gid,
        owner=info.owner,
        group=info.group,
        mtime=info.mtime,
        target=info.target,
    )


async def body_chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


def _line(event: WatchEvent) -> bytes:
    return events.line(events.Change(event.kind, event.path, event.is_dir))
