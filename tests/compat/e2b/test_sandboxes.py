"""Sandboxes through E2B's Python client: made, found, connected to, timed, measured and ended."""

from __future__ import annotations

import asyncio
import base64
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import e2b
import httpx
import pytest
from e2b import AsyncSandbox, Sandbox, SandboxMetrics, SandboxQuery, SandboxState, Template

from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.integration.api.wire import until
from tests.leftovers import Footprint

from .conftest import AsyncMake, Make
from .environment import key_of

PATIENCE_S = 60


def api(server: LocalServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"X-API-Key": key_of(server)}, timeout=PATIENCE_S)


def ids(query: SandboxQuery | None = None, **options: object) -> list[str]:
    """Of all pages."""
    pages = Sandbox.list(query=query, **options)  # type: ignore[arg-type]
    found: list[str] = []
    while pages.has_next:
        found += [sandbox.sandbox_id for sandbox in pages.next_items()]
    return found


@pytest.mark.e2b("Sandbox.create", "Sandbox.get_info", "POST /v2/sandboxes", "GET /sandboxes/{sandboxID}")
def test_what_was_asked_for_is_there(make: Make) -> None:
    before = datetime.now(UTC)
    sandbox = make(timeout=600, metadata={"user": "ä ü", "a": ""}, envs={"GIVEN": "a b"})
    info = sandbox.get_info()
    assert (info.sandbox_id, info.state, info.name) == (sandbox.sandbox_id, SandboxState.RUNNING, "base")
    assert info.metadata == {"user": "ä ü", "a": ""}
    assert before - timedelta(seconds=1) < info.started_at < info.end_at
    assert timedelta(seconds=590) < info.end_at - info.started_at < timedelta(seconds=700)
    assert (info.cpu_count, info.memory_mb, info.allow_internet_access) == (1, 1024, True)
    assert sandbox.commands.run("echo $GIVEN").stdout == "a b\n"


@pytest.mark.e2b("AsyncSandbox.create", "AsyncSandbox.kill", "AsyncSandbox.get_info")
async def test_the_same_without_blocking(async_make: AsyncMake) -> None:
    sandbox = await async_make(metadata={"a": "b"})
    assert (await sandbox.get_info()).metadata == {"a": "b"}
    assert await sandbox.kill() is True
    assert await sandbox.is_running() is False


def test_clients_wait_five_minutes_by_default(make: Make) -> None:
    info = make().get_info()
    assert timedelta(seconds=299) < info.end_at - info.started_at < timedelta(seconds=360)


@pytest.mark.e2b("Sandbox.create(template=)")
def test_the_vendors_name_of_a_template_leads_to_ours(make: Make) -> None:
    sandbox = make("code-interpreter-v1")
    info = sandbox.get_info()
    assert (info.name, info.template_id) == ("code-interpreter-v1", "code-interpreter")
    assert sandbox.sandbox_id in ids(SandboxQuery(template="code-interpreter-v1"))
    assert sandbox.sandbox_id not in ids(SandboxQuery(template="base"))


@pytest.mark.e2b("Sandbox.create(idempotency_key=)")
async def test_a_key_makes_one_sandbox(async_make: AsyncMake) -> None:
    key = f"key-{uuid4()}"
    made = await asyncio.gather(*(async_make(idempotency_key=key, metadata={"key": key}) for _ in range(3)))
    assert len({sandbox.sandbox_id for sandbox in made}) == 1
    again = await async_make(idempotency_key=key, metadata={"key": key})
    assert again.sandbox_id == made[0].sandbox_id
    assert (await again.commands.run("echo here")).stdout == "here\n"
    assert await asyncio.to_thread(ids, SandboxQuery(metadata={"key": key})) == [again.sandbox_id]


@pytest.mark.e2b("Sandbox.create(allow_internet_access=)")
def test_without_the_internet(make: Make) -> None:
    sandbox = make(allow_internet_access=False)
    assert sandbox.get_info().allow_internet_access is False
    route = "timeout 2 bash -c 'exec 3<>/dev/tcp/1.1.1.1/80' && echo through"
    with pytest.raises(e2b.CommandExitException):
        sandbox.commands.run(route)


@pytest.mark.e2b("Sandbox.create(network=)")
def test_ports_that_are_not_public_have_a_token(make: Make) -> None:
    public = make(network={"allow_out": ["1.1.1.1"]})  # which is allowed as all else is
    closed = make(network={"allow_public_traffic": False, "deny_out": ["0.0.0.0/0"]})
    assert public.traffic_access_token is None
    assert closed.traffic_access_token
    info = closed.get_info()
    assert info.network == {"allow_public_traffic": False}
    assert info.allow_internet_access is False
    assert Sandbox.connect(closed.sandbox_id).traffic_access_token == closed.traffic_access_token


@pytest.mark.e2b("Sandbox.connect", "POST /v2/sandboxes/{sandboxID}/connect")
def test_connecting_gives_more_time_and_never_less(make: Make) -> None:
    sandbox = make(timeout=600)
    before = sandbox.get_info().end_at
    other = Sandbox.connect(sandbox.sandbox_id, timeout=60)
    assert sandbox.get_info().end_at == before
    assert other.commands.run("echo hello").stdout == "hello\n"
    Sandbox.connect(sandbox.sandbox_id, timeout=1200)
    assert sandbox.get_info().end_at > before + timedelta(seconds=500)


@pytest.mark.e2b("Sandbox.set_timeout", "POST /sandboxes/{sandboxID}/timeout")
def test_a_timeout_is_set_anew_and_ends_it(make: Make) -> None:
    sandbox = make(timeout=600)
    sandbox.set_timeout(30)
    assert sandbox.get_info().end_at < datetime.now(UTC) + timedelta(seconds=35)
    sandbox.set_timeout(0)
    wait_for_end(sandbox)


def wait_for_end(sandbox: Sandbox) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while sandbox.is_running():
        assert time.monotonic() < give_up


@pytest.mark.e2b("Sandbox.kill", "Sandbox.is_running", "DELETE /sandboxes/{sandboxID}")
def test_it_ends_once(make: Make) -> None:
    sandbox = make()
    assert sandbox.is_running() is True
    assert sandbox.kill() is True
    assert sandbox.is_running() is False
    assert sandbox.kill() is False
    assert Sandbox.kill(sandbox.sandbox_id) is False
    assert Sandbox.kill("never-was") is False


@pytest.mark.e2b("Sandbox.list", "Sandbox.list(query=, order=)", "GET /v2/sandboxes")
def test_lists_come_in_pages_and_by_what_is_asked(make: Make) -> None:
    group = str(uuid4())
    made = [make(metadata={"group": group, "odd &%+ ä": f"{n % 2} =&%2B ü"}).sandbox_id for n in range(3)]
    mine = SandboxQuery(metadata={"group": group})
    assert ids(mine, limit=2) == made[::-1]
    assert ids(mine, limit=1, order="asc") == made
    pages = Sandbox.list(query=mine, limit=2)
    assert len(pages.next_items()) == 2
    assert (pages.has_next, bool(pages.next_token)) == (True, True)
    later = Sandbox.list(query=mine, limit=2, next_token=pages.next_token)
    assert [one.sandbox_id for one in later.next_items()] == made[:1]
    assert later.has_next is False
    assert ids(SandboxQuery(metadata={"group": group, "odd &%+ ä": "1 =&%2B ü"})) == [made[1]]
    assert ids(SandboxQuery(metadata={"group": group}, state=[SandboxState.RUNNING])) == made[::-1]
    assert ids(SandboxQuery(metadata={"group": group}, state=[SandboxState.PAUSED])) == []
    second = Sandbox.get_info(made[1])
    assert ids(SandboxQuery(metadata={"group": group}, started_after=second.started_at)) == made[:0:-1]
    Sandbox.kill(made[0])
    assert ids(mine) == made[:0:-1]


@pytest.mark.e2b("AsyncSandbox.list")
async def test_lists_without_blocking(async_make: AsyncMake) -> None:
    group = str(uuid4())
    sandbox = await async_make(metadata={"group": group})
    pages = AsyncSandbox.list(query=SandboxQuery(metadata={"group": group}))
    assert [one.sandbox_id for one in await pages.next_items()] == [sandbox.sandbox_id]
    assert pages.has_next is False


@pytest.mark.e2b("Sandbox.get_metrics", "GET /sandboxes/{sandboxID}/metrics")
def test_metrics_are_a_series(make: Make) -> None:
    sandbox = make()
    [first, *_] = sandbox.get_metrics()
    assert (first.cpu_count, first.mem_total, first.disk_total) == (1, 1 << 30, 10 << 30)
    assert 0 < first.mem_used < first.mem_total
    assert 0 <= first.disk_used < first.disk_total
    sandbox.commands.run("head -c 50M /dev/urandom > /tmp/full; yes > /dev/null &", timeout=PATIENCE_S)

    def grown() -> list[SandboxMetrics]:
        *_, last = samples = sandbox.get_metrics()
        return samples if last.cpu_used_pct > 10 and last.disk_used > first.disk_used + (40 << 20) else []

    samples = until(grown, "what it uses is seen")
    assert samples[0] == first
    assert [one.timestamp for one in samples] == sorted({one.timestamp for one in samples})
    second = first.timestamp.replace(microsecond=0) + timedelta(seconds=1)
    assert sandbox.get_metrics(end=second) == [first]
    future = datetime.now(UTC) + timedelta(hours=1)
    assert sandbox.get_metrics(start=future) == []


@pytest.mark.e2b("GET /sandboxes/metrics")
def test_metrics_of_several_at_once(make: Make, server: LocalServer) -> None:
    running, ended = make(), make()
    ended.kill()
    with api(server) as client:
        named = f"{running.sandbox_id},{ended.sandbox_id},never-was"
        answer = client.get("/sandboxes/metrics", params={"sandbox_ids": named})
    [(id, sample)] = answer.json()["sandboxes"].items()
    assert id == running.sandbox_id
    assert sample["memTotal"] == 1 << 30


@pytest.mark.e2b("GET /sandboxes/{sandboxID}/logs", "GET /v2/sandboxes/{sandboxID}/logs")
def test_logs_say_what_happened(make: Make, server: LocalServer) -> None:
    sandbox = make()
    sandbox.set_timeout(100)
    sandbox.kill()
    with api(server) as client:
        older = client.get(f"/sandboxes/{sandbox.sandbox_id}/logs").json()
        newer = f"/v2/sandboxes/{sandbox.sandbox_id}/logs"
        backward = client.get(newer).json()["logs"]
        forward = client.get(newer, params={"direction": "forward", "limit": 2}).json()["logs"]
        found = client.get(newer, params={"search": "set by request", "level": "info"}).json()["logs"]
        errors = client.get(newer, params={"level": "error"}).json()["logs"]
    kinds = [entry["fields"]["kind"] for entry in older["logEntries"]]
    assert kinds == ["created", "started", "timeout", "killing", "killed"]
    assert len(older["logs"]) == 5
    assert [entry["fields"]["kind"] for entry in backward] == kinds[::-1]
    assert [entry["fields"]["kind"] for entry in forward] == kinds[:2]
    assert [entry["fields"]["timeout_s"] for entry in found] == ["100.0"]
    assert errors == []


@pytest.mark.e2b("Template.exists", "GET /templates", "GET /templates/{templateID}")
def test_templates_are_listed(server: LocalServer) -> None:
    assert Template.exists("base") is True
    assert Template.exists("code-interpreter-v1") is True
    assert Template.exists("never-was") is False
    with api(server) as client:
        names = [template["templateID"] for template in client.get("/templates").json()]
        one = client.get("/templates/code-interpreter-v1").json()
        teams = client.get("/teams").json()
    assert {"base", "code-interpreter"} <= set(names)
    assert (one["templateID"], len(one["builds"]), one["builds"][0]["status"]) == (
        "code-interpreter",
        1,
        "ready",
    )
    assert [team["name"] for team in teams] == ["default"]


@pytest.mark.e2b("POST /sandboxes", "POST /sandboxes/{sandboxID}/connect", "GET /sandboxes")
def test_the_older_generation_of_the_api(server: LocalServer) -> None:
    group = str(uuid4())
    with api(server) as client:
        made = client.post("/sandboxes", json={"templateID": "base", "timeout": 60, "metadata": {"g": group}})
        assert made.status_code == 201
        id = made.json()["sandboxID"]
        assert "envdAccessToken" not in made.json()
        secure = client.post("/sandboxes", json={"templateID": "base", "timeout": 60, "secure": True}).json()
        assert secure["envdAccessToken"]
        # These clients write a second id behind the sandbox's.
        whole = f"/sandboxes/{id}-{made.json()['clientID']}"
        assert [
            one["sandboxID"] for one in client.get("/sandboxes", params={"metadata": f"g={group}"}).json()
        ] == [id]
        connected = client.post(f"{whole}/connect", json={"timeout": 600})
        assert (connected.status_code, connected.json()["sandboxID"]) == (200, id)
        assert client.post(f"{whole}/resume", json={}).status_code == 201
        before = client.get(whole).json()["endAt"]
        assert client.post(f"{whole}/refreshes", json={"duration": 900}).status_code == 204
        assert client.get(whole).json()["endAt"] > before
        # Nobody asked for a token, so none is needed.
        health = client.get("/health", headers={"E2b-Sandbox-Id": id})
        assert health.status_code == 204
        needs = client.get("/health", headers={"E2b-Sandbox-Id": secure["sandboxID"]})
        assert needs.status_code == 401
        assert client.delete(whole).status_code == 204
        assert client.delete(whole).status_code == 404
        assert client.delete(f"/sandboxes/{secure['sandboxID']}").status_code == 204


@pytest.mark.e2b("Sandbox.get_host")
def test_hosts_of_ports_are_in_the_servers_domain(make: Make, server: LocalServer) -> None:
    sandbox = make()
    assert sandbox.get_host(3000).startswith(f"3000-{sandbox.sandbox_id}.")
    assert sandbox.get_host(3000).endswith(f":{server.port}")


def test_any_of_our_clients_sees_them(make: Make, server: LocalServer) -> None:
    import sandlot

    sandbox = make(metadata={"from": "e2b"})
    ours = sandlot.Sandbox.connect(sandbox.sandbox_id)
    assert ours.commands.run("echo hello").stdout == "hello\n"
    made = sandlot.Sandbox.create(timeout=None)
    try:
        theirs = Sandbox.connect(made.id)
        assert theirs.commands.run("echo hello").stdout == "hello\n"
        assert theirs.get_info().end_at.year == 9999
    finally:
        made.kill()


def test_a_token_is_not_a_key(make: Make, server: LocalServer) -> None:
    sandbox = make()
    token = sandbox.connection_config.sandbox_headers["X-Access-Token"]
    basic = base64.b64encode(token.encode()).decode()
    for headers in (
        {"X-API-Key": token},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Basic {basic}"},
    ):
        assert httpx.get(f"{server.url}/v2/sandboxes", headers=headers).status_code == 401


@pytest.mark.e2b("Sandbox.create(idempotency_key=)")
def test_a_key_makes_one_sandbox_through_crashes(footprint: Footprint, tmp_path: Path) -> None:
    local = LocalServer(tmp_path, TEMPLATES_DIR)
    local.start()
    options: Any = {"api_url": local.url, "sandbox_url": local.url, "api_key": key_of(local), "retries": 0}
    try:
        first = Sandbox.create("base", idempotency_key="finished", **options)
        with ThreadPoolExecutor(1) as thread:
            cut = thread.submit(Sandbox.create, "base", idempotency_key="cut-off", **options)
            records = tmp_path / "data" / "node" / "sandboxes"
            until(lambda: len(list(records.glob("*"))) == 2, "the second is being made")
            local.crash()
            cut.exception()  # nearly always there is one: it was not ready yet
        local.start()
        again = Sandbox.create("base", idempotency_key="finished", **options)
        assert again.sandbox_id == first.sandbox_id
        assert again.commands.run("echo here").stdout == "here\n"
        second = Sandbox.create("base", idempotency_key="cut-off", **options)
        assert second.commands.run("echo here").stdout == "here\n"
        assert ids(**options) == [second.sandbox_id, first.sandbox_id]
    finally:
        local.end()
