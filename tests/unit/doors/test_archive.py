from __future__ import annotations

import io
import tarfile

import httpx
import pytest
from fastapi import FastAPI

from sandlot.doors.streaming import ResponseAborted
from sandlot.errors import NotFound, Unavailable
from sandlot.node.agent import TreeEntry

from .fake_engine import ID, FakeAgent, FakeEngine
from .wire import exchange

ARCHIVE = f"/v1/sandboxes/{ID}/archive"


@pytest.fixture
def agent(engine: FakeEngine) -> FakeAgent:
    return engine.only.agent


def archive(*members: tuple[str, bytes, bytes | str]) -> bytes:
    """Members of (name, type, content or target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mtime = 7
            info.mode = 0o4755
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content
                tar.addfile(info)
    return buffer.getvalue()


async def test_a_folder_comes_as_a_tar_archive(client: httpx.AsyncClient, agent: FakeAgent) -> None:
    agent.tree = [
        TreeEntry("", "dir", 0o755, uid=1000, gid=1000, mtime=5.5),
        TreeEntry("a", "file", 0o600, 5, 1000, 1000, 6.0),
        b"hel",
        b"lo",
        TreeEntry("pipe", "other"),
        TreeEntry("l", "symlink", 0o777, target="a"),
        TreeEntry("d" * 200, "dir"),
    ]
    answer = await client.get(f"{ARCHIVE}?path=.")
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        facts = [(info.name, info.type, info.mode, info.size, info.linkname) for info in tar]
        content = tar.extractfile("a")
        assert content is not None
        assert content.read() == b"hello"
    assert facts == [
        (".", tarfile.DIRTYPE, 0o755, 0, ""),
        ("a", tarfile.REGTYPE, 0o600, 5, ""),
        ("l", tarfile.SYMTYPE, 0o777, 0, "a"),
        ("d" * 200, tarfile.DIRTYPE, 0o644, 0, ""),
    ]


async def test_nothing_there_is_an_ordinary_error(client: httpx.AsyncClient, agent: FakeAgent) -> None:
    agent.tree = [NotFound("nothing there")]
    assert (await client.get(f"{ARCHIVE}?path=x")).status_code == 404


@pytest.mark.parametrize("spoiler", [Unavailable("lost"), b"too much data for it"])
async def test_an_archive_that_breaks_off_does_not_pass_for_whole(
    app: FastAPI, agent: FakeAgent, spoiler: Exception | bytes
) -> None:
    agent.tree = [TreeEntry("a", "file", size=5), b"hel", spoiler]
    async with exchange(app, "GET", f"{ARCHIVE}?path=x") as wire:
        wire.send()
        assert await wire.status() == 200
        with pytest.raises(ResponseAborted):
            await wire.body()


async def test_a_tar_archive_is_unpacked(client: httpx.AsyncClient, agent: FakeAgent) -> None:
    content = archive(
        (".", tarfile.DIRTYPE, ""),
        ("./d/", tarfile.DIRTYPE, ""),
        ("d//./a", tarfile.REGTYPE, b"hello"),
        ("d/l", tarfile.SYMTYPE, "../../anywhere"),
        ("ü" * 150, tarfile.REGTYPE, b""),
    )
    answer = await client.put(f"{ARCHIVE}?path=to&user=root", content=content)
    assert answer.json() == {"files": 4}
    assert agent.calls == [("write_tree", "/root/to", "root")]
    assert agent.written_tree == [
        TreeEntry("d", "dir", 0o4755, mtime=7),
        TreeEntry("d/a", "file", 0o4755, 5, mtime=7),
        b"hello",
        TreeEntry("d/l", "symlink", 0o4755, mtime=7, target="../../anywhere"),
        TreeEntry("ü" * 150, "file", 0o4755, 0, mtime=7),
    ]


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (("/etc/passwd", tarfile.REGTYPE, b"x"), "below the folder"),
        (("../up", tarfile.REGTYPE, b"x"), "below the folder"),
        (("d/../../up", tarfile.REGTYPE, b"x"), "below the folder"),
        (("d/..", tarfile.DIRTYPE, ""), "below the folder"),
        (("h", tarfile.LNKTYPE, "/etc/shadow"), "hard link"),
        (("c", tarfile.CHRTYPE, ""), "device"),
        (("b", tarfile.BLKTYPE, ""), "device"),
        (("p", tarfile.FIFOTYPE, ""), "pipe"),
        ((".", tarfile.REGTYPE, b"x"), "names the folder"),
    ],
)
async def test_what_could_write_elsewhere_or_cannot_be_kept_is_refused(
    client: httpx.AsyncClient, agent: FakeAgent, member: tuple[str, bytes, bytes | str], says: str
) -> None:
    answer = await client.put(f"{ARCHIVE}?path=to", content=archive(("ok", tarfile.REGTYPE, b"1"), member))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_argument")
    assert says in answer.json()["error"]["message"]
    assert agent.written_tree == [TreeEntry("ok", "file", 0o4755, 1, mtime=7), b"1"]


async def test_no_name_may_pass_through_a_link_of_the_same_archive(
    client: httpx.AsyncClient, agent: FakeAgent
) -> None:
    link = ("d/l", tarfile.SYMTYPE, "/etc")
    hostile = archive(link, ("d/l/x/passwd", tarfile.REGTYPE, b"x"))
    answer = await client.put(f"{ARCHIVE}?path=to", content=hostile)
    assert answer.status_code == 400
    assert "symbolic link" in answer.json()["error"]["message"]
    replaced = archive(link, ("d/l", tarfile.DIRTYPE, ""), ("d/l/passwd", tarfile.REGTYPE, b"x"))
    assert (await client.put(f"{ARCHIVE}?path=to", content=replaced)).status_code == 200


@pytest.mark.parametrize(
    "content", [b"", b"not a tar archive" * 100, archive(("a", tarfile.REGTYPE, b"x" * 2000))[:700]]
)
async def test_what_is_no_archive_is_said_to_be_none(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.put(f"{ARCHIVE}?path=to", content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_argument")


async def test_an_upload_that_breaks_off_is_not_taken_for_an_end(app: FastAPI, agent: FakeAgent) -> None:
    async with exchange(app, "PUT", f"{ARCHIVE}?path=to") as wire:
        wire.send(archive(("a", tarfile.REGTYPE, b"x"))[:1024], more=True)
        wire.leave()
        await wire.end()
        with pytest.raises(EOFError):
            await wire.status()
