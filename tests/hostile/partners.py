"""What the host does through the API while a program plays with the same files."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from sandlot import AsyncSandbox, SandboxError

PLACE = "/home/user/attack/place"
_ROUNDS = 60

Partner = Callable[[AsyncSandbox, str], Awaitable[tuple[str, str]]]


async def _ready(sandbox: AsyncSandbox) -> None:
    """The program makes ``ready`` when it has begun."""
    while not await sandbox.files.exists(f"{PLACE}/ready"):
        await asyncio.sleep(0.02)


async def downloads(sandbox: AsyncSandbox, secret: str) -> tuple[str, str]:
    """Downloads a path that the guest swaps for links out of its root meanwhile."""
    await _ready(sandbox)
    read, refused = 0, 0
    for _ in range(_ROUNDS):
        try:
            if secret.encode() in await sandbox.files.read_bytes(f"{PLACE}/file"):
                return "escaped", "a download gave a file of the host"
            read += 1
        except SandboxError:
            refused += 1
    return "contained", f"{read} downloads gave files of the guest, {refused} were refused"


async def uploads(sandbox: AsyncSandbox, secret: str) -> tuple[str, str]:
    """Uploads to a path whose folder the guest swaps; the witness looks at the host's canaries after."""
    await _ready(sandbox)
    written, refused = 0, 0
    for _ in range(_ROUNDS):
        try:
            await sandbox.files.write(f"{PLACE}/folder/secret", b"overwritten")
            written += 1
        except SandboxError:
            refused += 1
    return "contained", f"{written} uploads went to files of the guest, {refused} were refused"


async def listings(sandbox: AsyncSandbox, secret: str) -> tuple[str, str]:
    """Lists a tree that the guest makes endless, deep and full of loops."""
    await _ready(sandbox)
    found, refused = 0, 0
    for _ in range(5):
        try:
            found += len(await sandbox.files.list(PLACE, depth=64))
        except SandboxError:
            refused += 1
    return "contained", f"{found} names listed in five turns, {refused} turns refused"


async def removals(sandbox: AsyncSandbox, secret: str) -> tuple[str, str]:
    """Removes trees in which the guest swaps folders for links out of its root."""
    await _ready(sandbox)
    removed, refused = 0, 0
    for _ in range(_ROUNDS):
        try:
            await sandbox.files.remove(f"{PLACE}/tree", recursive=True)
            removed += 1
        except SandboxError:
            refused += 1
    return "contained", f"{removed} trees of the guest removed, {refused} refused"


async def archives(sandbox: AsyncSandbox, secret: str) -> tuple[str, str]:
    """Downloads a folder while the guest swaps what is in it for links out of its root."""
    await _ready(sandbox)
    read, refused = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(_ROUNDS // 4):
            target = Path(folder) / str(turn)
            try:
                await sandbox.files.download(f"{PLACE}/tree", target)
                read += 1
            except (SandboxError, OSError):
                refused += 1
            for path in target.rglob("*"):
                if path.resolve().is_relative_to(target) and path.is_file() and secret in path.read_text():
                    return "escaped", "an archive held a file of the host"
                if not path.resolve().is_relative_to(target):
                    return "escaped", f"a download made {path.name}, which leads to {path.resolve()}"
    return "contained", f"{read} folders came as the guest had them, {refused} were refused"


async def special_files(sandbox: AsyncSandbox, secret: str) -> tuple[str, str]:
    """Downloads what has no end or never answers: each must be refused, or end, within the time of a call."""
    await _ready(sandbox)
    said = []
    for name in ("pipe", "socket", "endless", "zero"):
        try:
            content = await asyncio.wait_for(sandbox.files.read_bytes(f"{PLACE}/{name}", length=4096), 5)
            said.append(f"{name}: {len(content)} bytes")
        except SandboxError as error:
            said.append(f"{name}: {type(error).__name__}")
        except TimeoutError:
            said.append(f"{name}: waits as long as the caller does")
    await sandbox.files.write(f"{PLACE}/after", b"it goes on")
    return "contained", "; ".join(said)


PARTNERS: Mapping[str, Partner] = {
    "archives": archives,
    "downloads": downloads,
    "listings": listings,
    "removals": removals,
    "special-files": special_files,
    "uploads": uploads,
}
