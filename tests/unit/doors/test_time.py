"""Pausing, snapshots, forks: what is asked reaches the engine, and what comes of it the caller."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from sandlot.core.model import CreateSandbox, CreateSnapshot, Fork, Hooks
from sandlot.errors import Conflict, LimitExceeded, SandboxPaused, SandlotError, Unavailable

from .fake_engine import ENDED, ID, FakeEngine, sandbox, snapshot
from .wire import exchange

AT = f"/v1/sandboxes/{ID}"
OTHER = "sb" + "e" * 20


async def test_create_passes_on_how_it_pauses_and_comes_back(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    wish: dict[str, Any] = {
        "snapshot": "team/prepared",
        "on_timeout": "pause",
        "pause_memory": False,
        "pause_idle_s": 60.5,
        "auto_resume": False,
        "keep_paused_s": 3600,
    }
    hooks = {"on_create": "make", "on_resume": "reseed"}
    answer = await client.post("/v1/sandboxes", json=wish | {"hooks": hooks})
    assert answer.status_code == 201
    assert engine.requests == [CreateSandbox(**wish, hooks=Hooks("make", "reseed", None))]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"on_timeout": "sleep"}, ["on_timeout", "'kill' or 'pause'"]),
        ({"hooks": {"on_start": "x"}}, ["hooks.on_start", "unknown field"]),
        ({"hooks": {"ready": ["curl"]}}, ["hooks.ready", "string"]),
        ({"pause_idle_s": "60"}, ["pause_idle_s", "number"]),
        ({"auto_resume": 1}, ["auto_resume", "boolean"]),
    ],
)
async def test_what_cannot_be_is_refused_by_its_name(
    client: httpx.AsyncClient, engine: FakeEngine, body: dict[str, Any], words: list[str]
) -> None:
    answer = await client.post("/v1/sandboxes", json=body)
    assert answer.status_code == 400
    assert all(word in answer.json()["error"]["message"] for word in words), answer.text
    assert engine.requests == []


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("pause", None, ("pause", ID, True)),
        ("pause", {}, ("pause", ID, True)),
        ("pause", {"memory": False}, ("pause", ID, False)),
        ("resume", None, ("resume", ID, None)),
        ("resume", {"timeout_s": 60}, ("resume", ID, 60)),
        ("rollback", {"snapshot": "a/b"}, ("roll_back", ID, "a/b")),
    ],
)
async def test_what_stands_still_and_comes_back(
    client: httpx.AsyncClient, engine: FakeEngine, path: str, body: Any, asked: Any
) -> None:
    answer = await client.post(f"{AT}/{path}", json=body) if body else await client.post(f"{AT}/{path}")
    assert answer.status_code == 200, answer.text
    assert engine.requests == [asked]
    assert answer.json()["id"] == ID


async def test_a_paused_one_says_how_it_is_kept_and_one_that_came_back_how_often(
    client: httpx.AsyncClient,
) -> None:
    paused = (await client.post(f"{AT}/pause")).json()
    assert (paused["state"], paused["depth"], paused["paused_at"]) == (
        "paused",
        "disk",
        "2026-11-21T12:00:00Z",
    )
    assert (await client.post(f"{AT}/pause", json={"memory": False})).json()["depth"] == "files"
    assert (await client.post(f"{AT}/resume")).json()["generation"] == 1
    back = (await client.post(f"{AT}/rollback", json={"snapshot": "x"})).json()
    assert (back["snapshot_id"], back["generation"]) == ("sn" + "a" * 20, 2)


async def test_a_snapshot_is_made_and_looks_as_promised(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    answer = await client.post(f"{AT}/snapshots", json={"name": "n", "memory": False, "expires_s": 60})
    assert answer.status_code == 201
    assert engine.requests == [("snapshot", ID, CreateSnapshot("n", memory=False, expires_s=60))]
    assert answer.json() == {
        "id": "sn" + "a" * 20,
        "name": "n",
        "sandbox_id": ID,
        "memory": True,
        "created_at": "2026-11-21T12:00:00Z",
        "expires_at": None,
        "size_bytes": 2000,
        "stored_bytes": 1000,
        "template": "base",
        "template_id": "base-1",
        "isolation": "gvisor",
        "cpus": 1.0,
        "memory_mib": 1024,
        "disk_mib": 10240,
        "pids": 512,
        "internet": True,
    }
    await client.post(f"{AT}/snapshots")
    assert engine.requests[-1] == ("snapshot", ID, CreateSnapshot())


async def test_snapshots_are_listed(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.snapshots_by_name = {"a": snapshot(name="a"), "b": snapshot(name="b")}
    answer = (await client.get("/v1/snapshots")).json()
    assert [one["name"] for one in answer["snapshots"]] == ["a", "b"]
    assert answer["next_cursor"] == "next"
    await client.get(f"/v1/snapshots?sandbox_id={ENDED}&limit=5&cursor=abc")
    assert engine.requests == [("snapshots", None, 100, None), ("snapshots", ENDED, 5, "abc")]


@pytest.mark.parametrize("written", ["team/after%20setup", "team%2Fafter%20setup"])
async def test_a_name_with_a_slash_is_one_name(
    client: httpx.AsyncClient, engine: FakeEngine, written: str
) -> None:
    engine.snapshots_by_name = {"team/after setup": snapshot(name="team/after setup")}
    assert (await client.get(f"/v1/snapshots/{written}")).json()["name"] == "team/after setup"
    assert (await client.delete(f"/v1/snapshots/{written}")).json() == {"deleted": True}
    assert (await client.delete(f"/v1/snapshots/{written}")).json() == {"deleted": False}
    assert (await client.get(f"/v1/snapshots/{written}")).status_code == 404


async def test_forks_stand_beside_the_errors_of_those_that_failed(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    full = LimitExceeded("the machine is full", limit="max_sandboxes")
    engine.forks = [Fork(sandbox(OTHER, parent_id=ID, generation=1)), Fork(None, full)]
    answer = await client.post(f"{AT}/fork", json={"count": 2, "timeout_s": None})
    assert answer.status_code == 200
    assert engine.requests == [("fork", ID, 2, None)]
    made, failed = answer.json()["forks"]
    assert (made["sandbox"]["id"], made["sandbox"]["parent_id"], made["error"]) == (OTHER, ID, None)
    assert made["sandbox"]["port_url"] == f"https://{{port}}-{OTHER}.box.test"
    assert failed == {
        "sandbox": None,
        "error": {
            "code": "limit_exceeded",
            "message": "the machine is full",
            "details": {"limit": "max_sandboxes"},
        },
    }


async def test_where_no_fork_was_made_the_answer_is_why(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.forks = [Fork(None, Conflict("not in this state")), Fork(None, LimitExceeded("full"))]
    answer = await client.post(f"{AT}/fork", json={"count": 2})
    assert (answer.status_code, answer.json()["error"]["message"]) == (409, "not in this state")


@pytest.mark.parametrize(("path", "use_case"), [("fork", "fork"), ("snapshots", "snapshot")])
async def test_a_client_that_leaves_calls_off_what_it_would_not_learn_of(
    app: FastAPI, engine: FakeEngine, path: str, use_case: str
) -> None:
    begun, called_off = asyncio.Event(), asyncio.Event()

    async def never(*args: Any, **options: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            called_off.set()

    setattr(engine, use_case, never)
    async with exchange(app, "POST", f"{AT}/{path}") as wire:
        wire.send(b"{}")
        await begun.wait()
        wire.leave()
        await wire.end()
    assert called_off.is_set()


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("pause", {"memory": "no"}, "memory"),
        ("pause", {"memroy": True}, "did you mean 'memory'"),
        ("resume", {"timeout_s": "5"}, "timeout_s"),
        ("fork", {"count": 1.5}, "count"),
        ("fork", {"count": True}, "count"),
        ("rollback", {}, "snapshot"),
        ("snapshots", {"name": 5}, "name"),
        ("snapshots", {"expires_s": "1d"}, "expires_s"),
    ],
)
async def test_a_bad_body_never_reaches_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine, path: str, body: dict[str, Any], word: str
) -> None:
    answer = await client.post(f"{AT}/{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_argument")
    assert word in answer.json()["error"]["message"]
    assert engine.requests == []


async def test_whose_code_is_cut_off_before_it_said_anything_hears_of_the_pause(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    async def explain(id: str, error: SandlotError) -> SandlotError:
        return SandboxPaused(f"sandbox {id} is paused")

    engine.explain = explain  # type: ignore[method-assign]
    engine.only.interpreter.events.put_nowait(Unavailable("the server let go of the run"))
    answer = await client.post(f"{AT}/code", json={"code": "work()"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "sandbox_paused")
