"""The contents of files, over plain HTTP: read one, write one or many.

As with the calls of filesystem.py the user that a request names is whom new files belong to, and no limit.
"""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandlot.core.live import LiveSandbox
from sandlot.doors.bodies import bounded
from sandlot.doors.e2b.door import door_of, sandbox_of, user_of
from sandlot.doors.e2b.envd import paths
from sandlot.doors.e2b.envd.connect import knows
from sandlot.doors.e2b.envd.encodings import gunzipped, gzipped
from sandlot.doors.e2b.envd.filesystem import owner_for
from sandlot.doors.e2b.envd.forms import Form
from sandlot.doors.e2b.envd.metadata import keep, metadata_in
from sandlot.doors.e2b.envd.ranges import NotInFile, range_of
from sandlot.doors.e2b.errors import SandboxNotFound
from sandlot.doors.e2b.signatures import query_of, signature_of
from sandlot.doors.encoding import Json
from sandlot.doors.streaming import Stream, exactly
from sandlot.errors import InvalidArgument, SandboxGone, SandboxPaused, SandlotError, Unauthenticated
from sandlot.node.agent import FileInfo

RAW: Final = "application/octet-stream"
FORM: Final = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that may be answered. ``path`` is as it was given, and None where it was not."""

    request: Request
    live: LiveSandbox
    user: str | None
    path: str | None

    def resolved(self, path: str) -> str:
        return self.live.path(paths.given(path) or ".", self.user)


async def e2b_read_file(request: Request) -> Response:
    """The whole, or the range asked for."""
    return await _answered(request, _read)


async def e2b_write_files(request: Request) -> Response:
    """The body is one file, or a form with any number of them. Folders on the way are made."""
    return await _answered(request, _write)


async def _read(asked: _Asked) -> Response:
    request, agent = asked.request, asked.live.agent
    path = asked.resolved(asked.path or "")
    info = await agent.stat(path)
    if info.kind == "dir":
        raise InvalidArgument(f"path: {path} is a folder, which has entries to list but no content")
    if info.kind != "file":
        raise InvalidArgument(f"path: {path} is neither a file nor a folder and has no content to give")
    headers = _describing(info)
    # Files of the kernel's (/proc) say that they are empty and are not: no length can be announced for them.
    if not info.size:
        return _sent(asked, agent.read(path), headers=headers)
    if _wants_gzip(request):
        return _sent(asked, gzipped(agent.read(path)), headers=headers | {"content-encoding": "gzip"})
    try:
        part = range_of(_range_for(request, headers), info.size)
    except NotInFile:
        return Response(status_code=416, headers={"content-range": f"bytes */{info.size}"})
    if part is None:
        return _sent(asked, agent.read(path, length=info.size), length=info.size, headers=headers)
    first, length = part
    headers["content-range"] = f"bytes {first}-{first + length - 1}/{info.size}"
    chunks = agent.read(path, offset=first, length=length)
    return _sent(asked, chunks, length=length, headers=headers, status=206)


async def _write(asked: _Asked) -> Response:
    request = asked.request
    metadata = metadata_in(request.headers)
    type = request.headers.get("content-type", "")
    kind = type.partition(";")[0].strip().lower()
    if kind == RAW:
        if asked.path is None:
            raise InvalidArgument("path: needed where the body is the file itself")
        written = [await _write_one(asked, asked.path, _body(asked), metadata)]
    elif kind == FORM:
        async with aclosing(_body(asked)) as body:
            written = await _write_form(asked, Form(body, type), metadata)
    else:
        raise InvalidArgument(f"content-type: {FORM} or {RAW} is understood here, not {kind[:80]!r}")
    more = {"metadata": metadata} if metadata else {}
    return Json([{"name": info.name, "type": "file", "path": info.path, **more} for info in written])


async def _write_form(asked: _Asked, form: Form, metadata: Mapping[str, str]) -> list[FileInfo]:
    """Its parts with the name "file". Where the request has no path each part's file name is one."""
    written: dict[str, FileInfo] = {}
    while (part := await form.next_part()) is not None:
        if part.name != "file":
            continue
        path = part.file_name if asked.path is None else asked.path
        if not path:
            raise InvalidArgument("path: needed where a part of the form has no file name")
        if (target := asked.resolved(path)) in written:
            raise InvalidArgument(
                f"the form holds two files for {target}; the first was written"
                + (", as were those before" if len(written) > 1 else "")
            )
        written[target] = await _write_one(asked, path, form.data(), metadata)
    return list(written.values())


async def _write_one(
    asked: _Asked, path: str, chunks: AsyncGenerator[bytes, None], metadata: Mapping[str, str]
) -> FileInfo:
    async with aclosing(chunks):
        owner = owner_for(asked.live, asked.user)
        info = await asked.live.agent.write(asked.resolved(path), chunks, owner=owner)
    await keep(asked.live, info.path, metadata)
    return info


async def _body(asked: _Asked) -> AsyncGenerator[bytes, None]:
    request, door = asked.request, door_of(asked.request)
    receive = bounded(request.scope, request.receive, limit=door.max_upload_bytes, idle_s=door.body_idle_s)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "identity"):
        raise InvalidArgument(f"content-encoding: gzip or identity is understood here, not {coding[:40]!r}")
    chunks = _chunks(Request(request.scope, receive))
    async for chunk in chunks if coding == "identity" else gunzipped(chunks):
        yield chunk


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


def _wants_gzip(request: Request) -> bool:
    """By a client that names nothing else. Most libraries list all that they understand, which is no wish."""
    accepted = request.headers.get("accept-encoding", "").strip().lower()
    return accepted == "gzip" and "range" not in request.headers


def _describing(info: FileInfo) -> dict[str, str]:
    """What browsers need to know, and that they must run nothing of it: the address may be the server's."""
    ascii = info.name.encode("ascii", "replace").decode().translate(_UNQUOTABLE)
    exact = quote(info.name, safe="", errors="surrogateescape")
    return {
        "content-disposition": f"inline; filename=\"{ascii}\"; filename*=UTF-8''{exact}",
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        "last-modified": formatdate(min(max(info.mtime, 0), _LAST_DATE), usegmt=True),
        "vary": "accept-encoding",
        "accept-ranges": "bytes",
    }


_UNQUOTABLE: Final = dict.fromkeys((*range(32), 127, ord('"'), ord("\\")), "_")
_LAST_DATE: Final = 253_402_300_799
"""The end of the year 9999."""


def _range_for(request: Request, headers: dict[str, str]) -> str | None:
    """None where the client has a part of another version."""
    if request.headers.get("if-range", headers["last-modified"]) != headers["last-modified"]:
        return None
    return request.headers.get("range")


def _sent(
    asked: _Asked,
    chunks: AsyncGenerator[bytes, None],
    *,
    headers: dict[str, str],
    length: int | None = None,
    status: int = 200,
) -> Response:
    """Bytes as they come. An error in the middle cuts the connection: no part passes for the whole."""
    if length is not None:
        headers = headers | {"content-length": str(length)}
        chunks = exactly(chunks, length)
    kind, coded = mimetypes.guess_type(asked.path or "")
    media_type = RAW if kind is None or coded is not None else kind
    if asked.request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    stream = Stream(
        _explained(asked, chunks),
        bytes,
        streams=door_of(asked.request).streams,
        media_type=media_type,
        headers=headers,
    )
    stream.status_code = status
    return stream


async def _explained(asked: _Asked, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        try:
            async for chunk in chunks:
                yield chunk
        except SandlotError as error:
            raise await _reason(asked, error) from error


async def _answered(request: Request, handle: Callable[[_Asked], Awaitable[Response]]) -> Response:
    asked = await _admitted(request)
    try:
        return await handle(asked)
    except SandlotError as error:
        raise await _reason(asked, error) from error


async def _admitted(request: Request) -> _Asked:
    """With the token, or signed with it. Raises Unauthenticated and what ``sandbox_of`` raises."""
    query = query_of(request.scope)
    signature = None if request.headers.get("x-access-token") else signature_of(request.method, query)
    live = await sandbox_of(request, None if signature is None else signature.is_of)
    if signature is not None:
        signature.check_time()
    return _Asked(request, live, query.get("username") or user_of(request), query.get("path"))


async def _reason(asked: _Asked, error: SandlotError) -> SandlotError:
    """The engine's word on why a talk with a sandbox broke off; "unauthenticated" for an unknown user."""
    live, user = asked.live, asked.user
    if isinstance(error, InvalidArgument) and user is not None and not await knows(live, user):
        return Unauthenticated(f"username: there is no {user[:64]!r} in sandbox {live.id}")
    explained = await door_of(asked.request).access.explain(live.id, error)
    if isinstance(explained, SandboxGone | SandboxPaused):
        return SandboxNotFound.because(explained, live.id)
    return explained


ROUTES: list[BaseRoute] = [
    Route("/files", e2b_read_file, methods=["GET"]),
    Route("/files", e2b_write_files, methods=["POST"]),
]
