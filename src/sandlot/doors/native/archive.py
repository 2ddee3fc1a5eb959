"""Whole folders as tar archives, streamed both ways.

What is taken from an archive: files, folders and symbolic links, with their permissions and times; owners are
the user's. Refused with 400, because each could write outside the folder or cannot be kept: absolute names,
``..`` in names, names that pass through a symbolic link of the same archive, hard links, devices and pipes.
Where a symbolic link points is not looked at: it points inside the sandbox, whatever it says.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from tarfile import TarInfo
from typing import Final

from fastapi import Request, Response

from sandlot.doors.native.described import IN_SANDBOX, failures, raw, raw_body
from sandlot.doors.native.door import engine_of, routes
from sandlot.doors.native.files import PathParam, UserParam, body_chunks, exact_path
from sandlot.doors.native.models import ArchiveAnswer, SandboxId
from sandlot.doors.native.streams import byte_stream
from sandlot.doors.tarstream import read_tar, write_tar
from sandlot.errors import GuestError, InvalidArgument, LimitExceeded
from sandlot.node.agent import FileKind, TreeEntry

router = routes("/v1/sandboxes/{sandbox_id}/archive", "files")

TAR: Final = "application/x-tar"
MAX_LINKS: Final = 100_000

_TYPES: Final[Mapping[str, bytes]] = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
}
_KINDS: Final[Mapping[bytes, FileKind]] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
}
_REFUSED: Final = {
    tarfile.LNKTYPE: "a hard link; make it with --hard-dereference",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


@router.get("", response_model=None, responses=raw(TAR, "A tar archive.") | failures(*IN_SANDBOX, 403))
async def read_archive(
    request: Request, sandbox_id: SandboxId, path: PathParam = ".", user: UserParam = None
) -> Response:
    """A folder with all that is in it, as a tar archive. Sockets, pipes and devices are left out."""
    live = await engine_of(request).live(sandbox_id)
    user = user or live.default_user
    tree = live.agent.read_tree(live.path(exact_path(request, path), user), user=user)
    return byte_stream(request, _tar_of(tree), media_type=TAR)


@router.put("", responses=failures(*IN_SANDBOX, 403, 408, 413), openapi_extra=raw_body(TAR))
async def write_archive(
    request: Request, sandbox_id: SandboxId, path: PathParam = ".", user: UserParam = None
) -> ArchiveAnswer:
    """Unpack a tar archive into a folder, making it where it is missing. Files that are there are replaced.

    Refused: absolute names, `..`, names through a link of the same archive, hard links, devices, pipes. What
    was unpacked before a refusal stays.
    """
    live = await engine_of(request).live(sandbox_id)
    user = user or live.default_user
    target = live.path(exact_path(request, path), user)
    async with aclosing(tree_of(read_tar(body_chunks(request)))) as entries:
        return ArchiveAnswer(files=await live.agent.write_tree(target, entries, user=user))


async def _tar_of(tree: AsyncGenerator[TreeEntry | bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(tree), aclosing(_members(tree)) as members, aclosing(write_tar(members)) as pieces:
        try:
            async for piece in pieces:
                yield piece
        except ValueError as error:
            raise GuestError(str(error)) from error


async def _members(tree: AsyncIterator[TreeEntry | bytes]) -> AsyncGenerator[TarInfo | bytes, None]:
    async for item in tree:
        if isinstance(item, bytes):
            yield item
        elif item.kind in _TYPES:
            yield _member(item)


def _member(entry: TreeEntry) -> TarInfo:
    info = TarInfo(entry.path or ".")
    info.type = _TYPES[entry.kind]
    info.size = entry.size if entry.kind == "file" else 0
    info.mode, info.uid, info.gid = entry.mode, entry.uid or 0, entry.gid or 0
    info.mtime = max(0, int(entry.mtime or 0))
    info.linkname = entry.target or ""
    return info


async def tree_of(members: AsyncGenerator[TarInfo | bytes, None]) -> AsyncGenerator[TreeEntry | bytes, None]:
    """Entries for the agent. Raises InvalidArgument by this module's rules."""
    links: set[str] = set()
    async with aclosing(members):
        async for item in members:
            if isinstance(item, bytes):
                yield item
            elif (entry := _entry(item, links)) is not None:
                yield entry


def _entry(info: TarInfo, links: set[str]) -> TreeEntry | None:
    """None for the folder itself, which is there already."""
    if info.type in _REFUSED:
        raise InvalidArgument(f"the archive holds {info.name!r}, {_REFUSED[info.type]}; leave it out")
    name = _safe_name(info.name, links)
    kind = _KINDS[info.type]
    if name == ".":
        if kind != "dir":
            raise InvalidArgument(f"the archive holds {info.name!r}, which names the folder but is none")
        return None
    links.discard(name)
    if kind == "symlink":
        if len(links) >= MAX_LINKS:
            raise LimitExceeded(f"an archive may hold at most {MAX_LINKS} symbolic links")
        links.add(name)
    return TreeEntry(
        path=name,
        kind=kind,
        mode=info.mode & 0o7777,
        size=info.size if kind == "file" else 0,
        mtime=info.mtime,
        target=info.linkname if kind == "symlink" else None,
    )


def _safe_name(name: str, links: set[str]) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise InvalidArgument(
            f"the archive holds {name!r}; names must stay below the folder: no leading /, no .."
        )
    if links and any(posixpath.join(*parts[:depth]) in links for depth in range(1, len(parts))):
        raise InvalidArgument(f"the archive holds {name!r}, which passes through one of its symbolic links")
    return "/".join(parts) or "."
