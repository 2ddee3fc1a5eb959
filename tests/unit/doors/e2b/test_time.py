"""Pausing, snapshots and forks through the control plane, with the engine in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sandlot.core.idempotency import KeyReused
from sandlot.core.lifecycle import LIVE, State
from sandlot.core.model import CreateSandbox, CreateSnapshot, Fork, Sandbox
from sandlot.errors import Conflict, LimitExceeded, NotFound, SandboxPaused, Unavailable
from tests.unit.doors.fake_engine import ENDED, ID, NOW, UNKNOWN, FakeEngine, sandbox, snapshot

from .test_control import ONE, control

SNAPSHOT = "sn" + "a" * 20
PAUSED_AT = NOW + timedelta(minutes=1)


def paused(**changes: Any) -> Sandbox:
    return sandbox(**{"state": State.PAUSED, "depth": "frozen", "paused_at": PAUSED_AT, **changes})


class Engine(FakeEngine):
    """With one template, and whatever snapshots a test puts there."""

    async def create(self, request: CreateSandbox) -> Sandbox:
        made = await super().create(request)
        if request.template != "base":
            raise NotFound(f"there is no template {request.template!r}")
        return made


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with control(engine) as client:
        yield client


# ── pausing ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "memory"),
    [
        (None, True),
        ({}, True),
        ({"memory": True}, True),
        ({"memory": None}, True),
        ({"memory": False}, False),
    ],
)
async def test_a_pause(client: httpx.AsyncClient, engine: Engine, body: Any, memory: bool) -> None:
    assert (await client.post(f"{ONE}/pause", json=body)).status_code == 204
    assert ("pause", ID, memory) in engine.requests


@pytest.mark.parametrize("state", [State.PAUSED, State.PAUSING])
async def test_one_that_is_paused_already_is_a_conflict(
    client: httpx.AsyncClient, engine: Engine, state: State
) -> None:
    async def pause(id: str, *, memory: bool) -> Sandbox:
        raise SandboxPaused(f"sandbox {id} is paused")

    engine.sandboxes[ID] = paused(state=state)
    engine.pause = pause  # type: ignore[method-assign, assignment]
    for body in ({}, {"requireHealthyGuest": True}):
        answer = await client.post(f"{ONE}/pause", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, 409)


async def test_what_cannot_be_paused_is_not_taken_for_paused(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    async def pause(id: str, *, memory: bool) -> Sandbox:
        raise Conflict("its tier keeps files only: pause it without memory")

    engine.pause = pause  # type: ignore[method-assign, assignment]
    answer = await client.post(f"{ONE}/pause", json={})
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "its tier keeps files only: pause it without memory",
    )


async def test_only_a_healthy_one_is_paused_where_that_is_asked(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    async def stat(path: str, *, user: str) -> None:
        raise Unavailable("the agent has gone")

    engine.only.agent.files["/"] = b""
    assert (await client.post(f"{ONE}/pause", json={"requireHealthyGuest": True})).status_code == 204
    engine.requests.clear()
    engine.only.agent.stat = stat  # type: ignore[method-assign, assignment]
    answer = await client.post(f"{ONE}/pause", json={"requireHealthyGuest": True})
    assert answer.status_code == 503
    assert ("pause", ID, True) not in engine.requests


@pytest.mark.parametrize(
    ("state", "path", "status"),
    [
        (State.RUNNING, f"{ONE}/connect", 200),
        (State.RUNNING, f"/v2{ONE}/connect", 200),
        (State.RUNNING, f"{ONE}/resume", 201),
        (State.PAUSED, f"{ONE}/connect", 201),
        (State.PAUSED, f"/v2{ONE}/connect", 201),
        (State.PAUSED, f"{ONE}/resume", 201),
        (State.PAUSING, f"/v2{ONE}/connect", 201),
    ],
)
@pytest.mark.parametrize(("body", "timeout_s"), [({}, 300.0), ({"timeout": 7}, 7.0)])
async def test_a_connection_says_whether_it_has_woken(
    client: httpx.AsyncClient,
    engine: Engine,
    state: State,
    path: str,
    status: int,
    body: dict[str, Any],
    timeout_s: float,
) -> None:
    engine.sandboxes[ID] = sandbox(state=state)
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["sandboxID"]) == (status, ID)
    assert engine.requests[-1] == ("resume", ID, timeout_s)


@pytest.mark.parametrize(
    ("there", "body", "possible"),
    [
        (sandbox(), {"memory": False}, True),
        (paused(depth="files"), {"memory": False}, True),
        (paused(depth="disk"), {"memory": False}, False),
        (paused(), {"memory": True}, True),
        (paused(on_timeout="pause"), {"autoPause": True}, True),
        (paused(), {"autoPause": False}, True),
        (paused(), {"autoPause": True}, False),
    ],
)
async def test_what_a_connection_cannot_do_is_refused(
    client: httpx.AsyncClient, engine: Engine, there: Sandbox, body: dict[str, Any], possible: bool
) -> None:
    engine.sandboxes[ID] = there
    answer = await client.post(f"{ONE}/connect", json=body)
    assert answer.is_success is possible
    if not possible:
        assert (answer.status_code, "not supported yet" in answer.json()["message"]) == (501, True)
        assert engine.requests == [ID]


@pytest.mark.parametrize("state", [State.PAUSED, State.PAUSING, State.RESUMING])
async def test_a_paused_one_is_shown_as_such(client: httpx.AsyncClient, engine: Engine, state: State) -> None:
    engine.sandboxes[ID] = paused(state=state, on_timeout="pause", auto_resume=True, deadline=None)
    shown = (await client.get(ONE)).json()
    assert (shown["state"], shown["endAt"]) == ("paused", "2026-11-21T12:01:00.000Z")
    assert shown["lifecycle"] == {"onTimeout": "pause", "autoResume": True}
    assert shown.get("pauseMode") == ("full" if state is State.PAUSED else None)
    assert (await client.get("/v2/sandboxes")).json()[0]["state"] == "paused"


async def test_how_it_was_paused(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.sandboxes[ID] = paused(depth="files")
    assert (await client.get(ONE)).json()["pauseMode"] == "filesystem"


@pytest.mark.parametrize(
    ("asked", "states"),
    [
        (None, LIVE - {State.CREATING, State.KILLING}),
        ("running,paused", LIVE - {State.CREATING, State.KILLING}),
        ("running", {State.RUNNING}),
        ("paused", {State.PAUSING, State.PAUSED, State.RESUMING}),
    ],
)
async def test_lists_by_state(
    client: httpx.AsyncClient, engine: Engine, asked: str | None, states: set[State]
) -> None:
    await client.get("/v2/sandboxes", params={} if asked is None else {"state": asked})
    assert engine.requests[-1].states == states


async def test_the_older_list_has_those_that_run(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.last_page = True
    await client.get("/sandboxes")
    assert engine.requests[-1].states == {State.RUNNING}


@pytest.mark.parametrize(("path", "body"), [("timeout", {"timeout": 60}), ("refreshes", {})])
async def test_a_paused_one_has_no_time_to_set(
    client: httpx.AsyncClient, engine: Engine, path: str, body: dict[str, Any]
) -> None:
    engine.sandboxes[ID] = paused()
    answer = await client.post(f"{ONE}/{path}", json=body)
    assert (answer.status_code, "connect to it" in answer.json()["message"]) == (404, True)


async def test_a_paused_one_uses_nothing_and_has_its_log(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.sandboxes[ID] = paused()
    assert (await client.get(f"{ONE}/metrics")).json() == []
    assert (await client.get("/sandboxes/metrics", params={"sandbox_ids": ID})).json() == {"sandboxes": {}}
    assert (await client.get(f"{ONE}/logs")).json()["logs"] != []


@pytest.mark.parametrize("id", [ENDED, UNKNOWN, "x"])
@pytest.mark.parametrize("what", ["pause", "fork", "snapshots"])
async def test_what_has_ended_is_not_found(client: httpx.AsyncClient, id: str, what: str) -> None:
    answer = await client.post(f"/sandboxes/{id}/{what}", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, 404)


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "wish", "names"),
    [
        ({}, CreateSnapshot(take_name=True), []),
        ({"name": ""}, CreateSnapshot(take_name=True), []),
        (
            {"name": "before/it", "memory": False},
            CreateSnapshot("before/it", memory=False, take_name=True),
            ["before/it"],
        ),
    ],
)
async def test_a_snapshot_is_made(
    client: httpx.AsyncClient, engine: Engine, body: dict[str, Any], wish: CreateSnapshot, names: list[str]
) -> None:
    answer = await client.post(f"{ONE}/snapshots", json=body)
    assert (answer.status_code, answer.json()) == (201, {"snapshotID": SNAPSHOT, "names": names})
    assert engine.requests[-1] == ("snapshot", ID, wish)


async def test_snapshots_are_listed(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.snapshots_by_name = {"a": snapshot(name="a"), SNAPSHOT: snapshot()}
    params = {"sandboxID": f"{ID}-sandlot", "limit": "7", "nextToken": "here"}
    answer = await client.get("/snapshots", params=params)
    assert [one["names"] for one in answer.json()] == [["a"], []]
    assert answer.headers["x-next-token"] == "next"
    assert engine.requests[-1] == ("snapshots", ID, 7, "here")
    engine.last_page = True
    assert "x-next-token" not in (await client.get("/snapshots")).headers


@pytest.mark.parametrize(
    ("name", "of", "found"),
    [("a", None, 1), ("a:default", ID, 1), ("a", UNKNOWN, 0), ("b", None, 0)],
)
async def test_snapshots_by_name(
    client: httpx.AsyncClient, engine: Engine, name: str, of: str | None, found: int
) -> None:
    engine.snapshots_by_name = {"a": snapshot(name="a")}
    params = {"name": name} | ({} if of is None else {"sandboxID": of})
    assert len((await client.get("/snapshots", params=params)).json()) == found


async def test_snapshots_are_deleted_as_templates(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.snapshots_by_name = {"a/b": snapshot(name="a/b"), SNAPSHOT: snapshot()}
    for path in ("/templates/a%2Fb:default", f"/templates/{SNAPSHOT}"):
        assert (await client.delete(path)).status_code == 204
        assert (await client.delete(path)).status_code == 404
    answer = await client.delete("/templates/base")
    assert (answer.status_code, answer.headers["should-retry"]) == (501, "false")


async def test_sandboxes_are_made_from_snapshots(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.snapshots_by_name = {"a/b": snapshot(name="a/b"), "base": snapshot(id="sn" + "b" * 20)}
    body = {"templateID": "a/b:default", "timeout": 60, "metadata": {"a": "b"}, "autoPause": True}
    assert (await client.post("/v2/sandboxes", json=body)).status_code == 201
    assert engine.requests[-1] == CreateSandbox(
        snapshot=SNAPSHOT, timeout_s=60.0, metadata={"a": "b"}, on_timeout="pause", auto_resume=False
    )
    await client.post("/v2/sandboxes", json={"templateID": "base"})
    assert engine.requests[-1].snapshot is None
    answer = await client.post("/v2/sandboxes", json={"templateID": "c"})
    assert (answer.status_code, answer.json()["message"]) == (404, "there is no template 'c'")


async def test_a_key_counts_for_snapshots_too(client: httpx.AsyncClient, engine: Engine) -> None:
    async def create(request: CreateSandbox) -> Sandbox:
        if request.snapshot != SNAPSHOT:
            raise KeyReused("another creation's")
        return sandbox()

    engine.create = create  # type: ignore[method-assign]
    engine.snapshots_by_name = {"a": snapshot(name="a")}
    for name, status in (("a", 201), ("base", 422)):
        answer = await client.post(
            "/v2/sandboxes", json={"templateID": name}, headers={"idempotency-key": "k"}
        )
        assert answer.status_code == status


# ── forks ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "asked"),
    [(None, ("fork", ID, 1, 300.0)), ({"timeout": 60, "count": 2}, ("fork", ID, 2, 60.0))],
)
async def test_each_fork_is_there_or_says_why_not(
    client: httpx.AsyncClient, engine: Engine, body: Any, asked: Any
) -> None:
    engine.forks = [Fork(sandbox(UNKNOWN, parent_id=ID)), Fork(None, LimitExceeded("max_sandboxes is 3"))]
    answer = await client.post(f"{ONE}/fork", json=body)
    [made, failed] = answer.json()
    assert answer.status_code == 201
    assert (list(made), made["sandbox"]["sandboxID"]) == (["sandbox"], UNKNOWN)
    assert made["sandbox"]["envdAccessToken"] == f"agent token of {UNKNOWN}"
    assert failed == {"error": {"code": 429, "message": "max_sandboxes is 3"}}
    assert engine.requests[-1] == asked


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pause", {"memory": "no"}),
        ("/pause", []),
        ("/fork", {"count": "two"}),
        ("/fork", {"timeout": "soon"}),
        ("/snapshots", {"name": 1}),
        ("/connect", {"memory": 1}),
    ],
)
async def test_bodies_that_cannot_be(client: httpx.AsyncClient, engine: Engine, path: str, body: Any) -> None:
    assert (await client.post(f"{ONE}{path}", json=body)).status_code == 400
    assert engine.requests == []
