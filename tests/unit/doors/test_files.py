from __future__ import annotations

import json

import httpx
import pytest
from fastapi import FastAPI

from sandlot.doors.streaming import ResponseAborted
from sandlot.errors import PermissionDenied
from sandlot.node.agent import WatchEvent

from .fake_engine import ID, FakeAgent, FakeEngine
from .wire import exchange

FILES = f"/v1/sandboxes/{ID}/files"


@pytest.fixture
def agent(engine: FakeEngine) -> FakeAgent:
    agent = engine.only.agent
    agent.files["/home/user/a"] = b"0123456789"
    return agent


async def test_read_gives_the_bytes_their_number_and_what_is_known_of_the_file(
    client: httpx.AsyncClient, agent: FakeAgent
) -> None:
    answer = await client.get(f"{FILES}?path=a")
    assert answer.content == b"0123456789"
    assert answer.headers["content-length"] == "10"
    assert answer.headers["content-type"] == "application/octet-stream"
    described = json.loads(answer.headers["x-sandlot-file"])
    assert described == (await client.get(f"{FILES}/stat?path=a")).json()
    assert described == {
        "path": "/home/user/a",
        "name": "a",
        "kind": "file",
        "size": 10,
        "mode": "0644",
        "uid": 1000,
        "gid": 1000,
        "owner": "user",
        "group": "user",
        "mtime": 1.5,
        "target": None,
    }
    assert agent.read_closed.is_set()


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ("offset=3", b"3456789"),
        ("length=2", b"01"),
        ("offset=8&length=9", b"89"),
        ("offset=99", b""),
        ("length=0", b""),
    ],
)
async def test_read_a_part(client: httpx.AsyncClient, agent: FakeAgent, query: str, content: bytes) -> None:
    answer = await client.get(f"{FILES}?path=a&{query}")
    assert answer.content == content
    assert answer.headers["content-length"] == str(len(content))


async def test_files_of_the_kernel_say_that_they_are_empty_and_are_read_all_the_same(
    client: httpx.AsyncClient, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = agent.info
    agent.files["/proc/version"] = b"Linux"
    monkeypatch.setattr(agent, "info", lambda path: type(real(path))(**_slots(real(path)) | {"size": 0}))
    answer = await client.get(f"{FILES}?path=/proc/version")
    assert answer.content == b"Linux"
    assert "content-length" not in answer.headers


def _slots(info: object) -> dict[str, object]:
    return {name: getattr(info, name) for name in info.__slots__}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "says"), [("dir", "/archive"), ("other", "neither")])
async def test_what_has_no_content_says_what_to_do(
    client: httpx.AsyncClient, agent: FakeAgent, kind: str, says: str
) -> None:
    agent.odd["/home/user/d"] = kind
    answer = await client.get(f"{FILES}?path=d")
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


async def test_a_file_that_shrinks_while_it_is_read_does_not_pass_for_whole(
    app: FastAPI, agent: FakeAgent
) -> None:
    agent.short_by = 3
    async with exchange(app, "GET", f"{FILES}?path=a") as wire:
        wire.send()
        assert await wire.status() == 200
        with pytest.raises(ResponseAborted):
            await wire.body()


async def test_a_reader_that_leaves_ends_the_reading(app: FastAPI, agent: FakeAgent) -> None:
    agent.files["/home/user/big"] = bytes(1_000_000)
    async with exchange(app, "GET", f"{FILES}?path=big", window=2) as wire:
        wire.send()
        assert await wire.status() == 200
        wire.leave()
        await wire.end()
    assert agent.read_closed.is_set()


async def test_an_error_before_the_first_byte_is_an_ordinary_one(
    client: httpx.AsyncClient, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def denied(*_: object, **__: object):  # type: ignore[no-untyped-def]
        raise PermissionDenied("user may not read this")
        yield b""

    monkeypatch.setattr(agent, "read", denied)
    answer = await client.get(f"{FILES}?path=a")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")


@pytest.mark.parametrize(
    ("query", "mode", "owner"), [("", None, None), ("&mode=0600&owner=root", 0o600, "root")]
)
async def test_write(
    client: httpx.AsyncClient, agent: FakeAgent, query: str, mode: int | None, owner: str | None
) -> None:
    answer = await client.put(f"{FILES}?path=new{query}", content=b"content")
    assert answer.json()["size"] == 7
    assert agent.calls == [("write", "/home/user/new", mode, owner, "user")]
    assert agent.files["/home/user/new"] == b"content"


@pytest.mark.parametrize("mode", ["rw", "9", "-1", "17777"])
async def test_modes_are_octal(client: httpx.AsyncClient, agent: FakeAgent, mode: str) -> None:
    for answer in (
        await client.put(f"{FILES}?path=new&mode={mode}", content=b""),
        await client.post(f"{FILES}/mkdir", json={"path": "d", "mode": mode}),
    ):
        assert answer.status_code == 400
        assert "0644" in answer.json()["error"]["message"]


async def test_an_upload_that_breaks_off_writes_nothing(app: FastAPI, agent: FakeAgent) -> None:
    async with exchange(app, "PUT", f"{FILES}?path=new") as wire:
        wire.send(b"half", more=True)
        wire.leave()
        await wire.end()
    assert agent.aborted_write is not None
    assert "/home/user/new" not in agent.files


async def test_remove(client: httpx.AsyncClient, agent: FakeAgent) -> None:
    assert (await client.delete(f"{FILES}?path=a&recursive=false")).status_code == 204
    assert agent.calls == [("remove", "/home/user/a", False, "user")]
    assert (await client.delete(f"{FILES}?path=a")).status_code == 404


async def test_list_mkdir_move_copy(client: httpx.AsyncClient, agent: FakeAgent) -> None:
    listed = (await client.get(f"{FILES}/list?path=.&depth=2")).json()["files"]
    assert [item["name"] for item in listed] == ["a"]
    made = await client.post(f"{FILES}/mkdir?user=root", json={"path": "d", "mode": "0700", "parents": False})
    assert made.json() == {"made": True}
    moved = await client.post(f"{FILES}/move", json={"source": "a", "target": "b"})
    assert moved.json()["path"] == "/home/user/b"
    copied = await client.post(f"{FILES}/copy", json={"source": "b", "target": "/tmp/c"})
    assert copied.json()["path"] == "/tmp/c"
    kept = await client.post(f"{FILES}/move", json={"source": "b", "target": "/tmp/c", "overwrite": False})
    assert kept.status_code == 409
    assert agent.calls == [("list", "/home/user/.", 2, "user"), ("mkdir", "/root/d", 0o700, False, "root")]


async def test_names_that_are_not_utf8_go_in_and_out(client: httpx.AsyncClient, agent: FakeAgent) -> None:
    assert (await client.put(f"{FILES}?path=%ff%C3%A9", content=b"x")).status_code == 200
    assert "/home/user/\udcffé" in agent.files
    listed = json.loads((await client.get(f"{FILES}/list")).content)["files"]
    assert "/home/user/\udcffé" in [item["path"] for item in listed]
    read = await client.get(f"{FILES}?path=%ff%C3%A9")
    assert read.content == b"x"
    assert json.loads(read.headers["x-sandlot-file"])["name"] == "\udcffé"
    moved = await client.post(f"{FILES}/move", content=b'{"source": "\\udcff\xc3\xa9", "target": "plain"}')
    assert moved.status_code == 200


@pytest.mark.parametrize("path", ["", "a%00b"])
async def test_paths_that_cannot_be(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"{FILES}/stat?path={path}")).status_code == 400
    assert (await client.get(f"{FILES}/stat")).json()["error"]["message"] == "path: needed in the query"


async def test_watch_begins_tells_and_ends(app: FastAPI, agent: FakeAgent) -> None:
    async with exchange(app, "GET", f"{FILES}/watch?path=a&recursive=true") as wire:
        wire.send()
        assert await wire.status() == 200
        assert await wire.line() == {"type": "watching"}
        agent.changes.put_nowait(WatchEvent("create", "/home/user/a/b", True))
        assert await wire.line() == {
            "type": "event",
            "kind": "create",
            "path": "/home/user/a/b",
            "is_dir": True,
        }
        wire.leave()
        await wire.end()
    assert agent.watch_closed.is_set()


async def test_watch_of_nothing_is_an_ordinary_error(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{FILES}/watch?path=nothing")).status_code == 404
