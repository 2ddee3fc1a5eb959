from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from sandlot.core.lifecycle import LIVE, State
from sandlot.core.model import CreateSandbox, Ingress, ListQuery, Sandbox
from sandlot.node import Tier

from .fake_engine import ENDED, ID, NOW, UNKNOWN, FakeEngine, sandbox
from .wire import exchange


async def test_create_passes_on_what_was_asked_and_leaves_the_rest_to_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    answer = await client.post("/v1/sandboxes", json={})
    assert answer.status_code == 201
    assert engine.requests == [CreateSandbox()]
    wish = {
        "template": "code-interpreter",
        "isolation": "container",
        "cpus": 0.5,
        "memory_mib": 256,
        "disk_mib": 512,
        "pids": 64,
        "env": {"A": "1"},
        "metadata": {"k": "v"},
        "timeout_s": None,
        "internet": False,
        "hostname": "box",
    }
    answer = await client.post("/v1/sandboxes", json=wish)
    assert engine.requests[-1] == CreateSandbox(**(wish | {"isolation": Tier.CONTAINER}))  # type: ignore[arg-type]
    assert answer.json()["metadata"] == {"k": "v"}


@pytest.mark.parametrize(("ingress", "token"), [("public", None), ("token", f"token of {ID}"), ("off", None)])
async def test_how_its_ports_are_reached(
    client: httpx.AsyncClient, engine: FakeEngine, ingress: Ingress, token: str | None
) -> None:
    engine.sandboxes[ID] = sandbox(ingress=ingress)
    asked = await client.post("/v1/sandboxes", json={"ingress": ingress})
    assert asked.json()["domain"] == "box.test"
    assert engine.requests[-1].ingress == ingress
    body = (await client.get(f"/v1/sandboxes/{ID}")).json()
    assert body["ingress"] == ingress
    assert body["port_url"] == f"https://{{port}}-{ID}.box.test"
    assert body["ingress_token"] == token


async def test_an_ingress_that_there_is_not(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/sandboxes", json={"ingress": "private"})
    assert answer.status_code == 400
    assert "ingress" in answer.json()["error"]["message"]
    assert "'public', 'token' or 'off'" in answer.json()["error"]["message"]


async def test_a_client_that_leaves_calls_off_what_it_asked_for(app: FastAPI, engine: FakeEngine) -> None:
    begun, called_off = asyncio.Event(), asyncio.Event()

    async def create(request: CreateSandbox) -> Sandbox:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            called_off.set()
        raise AssertionError

    engine.create = create  # type: ignore[method-assign]
    async with exchange(app, "POST", "/v1/sandboxes") as wire:
        wire.send(b"{}")
        await begun.wait()
        wire.leave()
        await wire.end()
    assert called_off.is_set()


async def test_a_sandbox_looks_as_promised(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/sandboxes/{ID}")
    assert answer.json() == {
        "id": ID,
        "template": "base",
        "template_id": "base-1",
        "isolation": "gvisor",
        "state": "running",
        "reason": None,
        "cpus": 1.0,
        "memory_mib": 1024,
        "disk_mib": 10240,
        "pids": 512,
        "env": {},
        "metadata": {},
        "internet": True,
        "created_at": "2026-11-21T12:00:00Z",
        "started_at": "2026-11-21T12:00:00Z",
        "deadline": "2026-11-21T12:05:00Z",
        "ended_at": None,
        "on_timeout": "kill",
        "pause_memory": True,
        "pause_idle_s": None,
        "auto_resume": True,
        "keep_paused_s": None,
        "paused_at": None,
        "depth": None,
        "generation": 0,
        "snapshot_id": None,
        "parent_id": None,
        "hooks": {"on_create": None, "on_resume": None, "ready": None},
        "ingress": "public",
        "domain": "box.test",
        "port_url": f"https://{{port}}-{ID}.box.test",
        "ingress_token": None,
    }


async def test_list_translates_its_filters(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    answer = await client.get("/v1/sandboxes")
    assert engine.requests == [ListQuery()]
    assert answer.json()["next_cursor"] == "next"
    assert [item["id"] for item in answer.json()["sandboxes"]] == [ID]
    await client.get("/v1/sandboxes?state=killed,failed&metadata=a:1&metadata=b:x:y&limit=5&cursor=abc")
    assert engine.requests[-1] == ListQuery(
        frozenset({State.KILLED, State.FAILED}), {"a": "1", "b": "x:y"}, 5, "abc"
    )
    await client.get("/v1/sandboxes?metadata=a:1")
    assert engine.requests[-1].states == LIVE


@pytest.mark.parametrize(
    ("query", "names"), [("state=sleeping", "sleeping"), ("metadata=nocolon", "key:value")]
)
async def test_list_says_what_a_bad_filter_should_be(
    client: httpx.AsyncClient, query: str, names: str
) -> None:
    answer = await client.get(f"/v1/sandboxes?{query}")
    assert answer.status_code == 400
    assert names in answer.json()["error"]["message"]


@pytest.mark.parametrize(("id", "killed"), [(ID, True), (ENDED, False)])
async def test_kill_says_whether_it_did(client: httpx.AsyncClient, id: str, killed: bool) -> None:
    assert (await client.delete(f"/v1/sandboxes/{id}")).json() == {"killed": killed}


@pytest.mark.parametrize(("timeout_s", "deadline"), [(60, "2026-11-21T12:01:00Z"), (None, None)])
async def test_timeout(client: httpx.AsyncClient, timeout_s: float | None, deadline: str | None) -> None:
    answer = await client.post(f"/v1/sandboxes/{ID}/timeout", json={"timeout_s": timeout_s})
    assert answer.json()["deadline"] == deadline


async def test_timeout_must_be_said(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/v1/sandboxes/{ID}/timeout", json={})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "timeout_s: needed in the body"


async def test_history(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    params = {"start": "2026-11-21T12:00:00Z"}
    answer = await client.get(f"/v1/sandboxes/{ID}/metrics/history", params=params)
    assert answer.json()["samples"] == [
        {"at": "2026-11-21T12:00:00Z", "cpus": 0.25, "memory_bytes": 1, "cache_bytes": 2, "disk_bytes": 3}
    ]
    assert (NOW, None) in engine.requests
    bad = await client.get(f"/v1/sandboxes/{ID}/metrics/history", params={"start": "2026-11-21T12:00:00"})
    assert bad.status_code == 400
    assert "start" in bad.json()["error"]["message"]


async def test_a_creation_with_a_key(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await client.post("/v1/sandboxes", json={}, headers={"Idempotency-Key": "k"})
    assert engine.requests[-1] == CreateSandbox(idempotency_key="k")


async def test_lists_by_template_age_and_order(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    params = {"template": "base", "since": "2026-11-21T12:00:00Z", "order": "oldest"}
    await client.get("/v1/sandboxes", params=params)
    assert engine.requests[-1] == ListQuery(template="base", since=NOW, oldest_first=True)
    for name, value in (("since", "2026-11-21"), ("order", "newer")):
        bad = await client.get("/v1/sandboxes", params={name: value})
        assert bad.status_code == 400
        assert name in bad.json()["error"]["message"]


async def test_metrics_and_events(client: httpx.AsyncClient) -> None:
    metrics = (await client.get(f"/v1/sandboxes/{ID}/metrics")).json()
    assert (metrics["cpu_seconds"], metrics["processes"], metrics["at"]) == (1.5, 7, "2026-11-21T12:00:00Z")
    events = (await client.get(f"/v1/sandboxes/{ID}/events")).json()
    assert events == {
        "events": [
            {
                "at": "2026-11-21T12:00:00Z",
                "kind": "started",
                "from": "creating",
                "to": "running",
                "reason": "its agent answers",
                "details": {"n": 1},
            }
        ]
    }


async def test_host_and_templates(client: httpx.AsyncClient) -> None:
    host = (await client.get("/v1/host")).json()
    assert [(tier["tier"], tier["available"]) for tier in host["tiers"]] == [
        ("gvisor", True),
        ("container", False),
    ]
    assert host["tiers"][1]["missing"] == ["runc"]
    templates = (await client.get("/v1/templates")).json()["templates"]
    assert [item["name"] for item in templates] == ["base"]


ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("POST", "/timeout", {"timeout_s": 1}),
    ("GET", "/metrics", None),
    ("GET", "/events", None),
    ("POST", "/commands", {"command": "true"}),
    ("GET", "/commands", None),
    ("GET", "/commands/1", None),
    ("GET", "/commands/1/output", None),
    ("POST", "/commands/1/stdin", None),
    ("POST", "/commands/1/stdin/close", None),
    ("POST", "/commands/1/signal", {"signal": 15}),
    ("POST", "/commands/1/resize", {"rows": 1, "cols": 1}),
    ("GET", "/files?path=a", None),
    ("PUT", "/files?path=a", None),
    ("DELETE", "/files?path=a", None),
    ("GET", "/files/stat?path=a", None),
    ("GET", "/files/list?path=a", None),
    ("POST", "/files/mkdir", {"path": "a"}),
    ("POST", "/files/move", {"source": "a", "target": "b"}),
    ("POST", "/files/copy", {"source": "a", "target": "b"}),
    ("GET", "/files/watch?path=a", None),
    ("GET", "/archive?path=a", None),
    ("PUT", "/archive?path=a", None),
    ("POST", "/code", {"code": "1"}),
    ("POST", "/contexts", {}),
    ("GET", "/contexts", None),
    ("DELETE", "/contexts/x", None),
    ("POST", "/contexts/x/restart", None),
    ("POST", "/contexts/x/interrupt", None),
]
WORK_ON_ENDED = {"", "/events"}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_every_route_knows_an_unknown_an_ended_and_a_malformed_sandbox(
    client: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    unknown = await client.request(method, f"/v1/sandboxes/{UNKNOWN}{path}", json=body)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert UNKNOWN in unknown.json()["error"]["message"]
    ended = await client.request(method, f"/v1/sandboxes/{ENDED}{path}", json=body)
    if path not in WORK_ON_ENDED:
        assert (ended.status_code, ended.json()["error"]["code"]) == (410, "sandbox_gone")
        assert ended.json()["error"]["details"] == {"state": "killed", "reason": "its timeout ran out"}
    malformed = await client.request(method, f"/v1/sandboxes/MINE{path}", json=body)
    assert (malformed.status_code, malformed.json()["error"]["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_every_route_needs_a_key_and_reads_nothing_before_it_has_one(
    client: httpx.AsyncClient, engine: FakeEngine, method: str, path: str, body: Any
) -> None:
    for headers in ({"X-API-Key": "sl_wrong"}, {"X-API-Key": "", "Authorization": "Bearer sl_wrong"}):
        answer = await client.request(method, f"/v1/sandboxes/{ID}{path}", content=b"{", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert engine.requests == []
