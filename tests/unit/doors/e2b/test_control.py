"""The control plane, with the engine in memory: what it asks of that, and what it tells its clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from sandlot.core.idempotency import KeyReused
from sandlot.core.lifecycle import State
from sandlot.core.model import CreateSandbox, ListQuery
from sandlot.core.tokens import Purpose
from sandlot.doors.e2b.door import Door
from sandlot.doors.e2b.services import control_plane
from sandlot.doors.streaming import Streams
from sandlot.errors import (
    DeadlineExceeded,
    LimitExceeded,
    NotEnoughSpace,
    SandlotError,
    TierUnavailable,
    Unauthenticated,
    Unavailable,
)
from sandlot.store import Tenant
from tests.unit.doors.fake_engine import ENDED, ID, NOW, UNKNOWN, FakeEngine, sandbox
from tests.unit.doors.wire import KEY, exchange

ONE = f"/sandboxes/{ID}"


class FakeAccess:
    def token(self, sandbox_id: str, purpose: Purpose) -> str:
        return f"{purpose} token of {sandbox_id}"


async def authenticate(key: str | None) -> Tenant:
    if key != KEY:
        raise Unauthenticated("this key is not known")
    return Tenant("default")


def application(engine: FakeEngine) -> ASGIApp:
    door = Door(
        check_ready=lambda: None,
        authenticate=authenticate,
        engine_of=lambda _: engine,  # type: ignore[arg-type, return-value]
        streams=Streams(),
        access=FakeAccess(),  # type: ignore[arg-type]
        domain="box.test:7263",
        elsewhere=None,  # type: ignore[arg-type]
        max_body_bytes=10_000,
    )
    return control_plane(door)


def control(engine: FakeEngine) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application(engine)),
        base_url="http://sandlot",
        headers={"X-API-Key": KEY},
    )


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with control(engine) as client:
        yield client


async def asked(client: httpx.AsyncClient, engine: FakeEngine, path: str, body: Any, **headers: str) -> Any:
    """What the engine was asked to make."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.post(path, json=body, headers=named)
    assert answer.status_code == 201, answer.text
    return engine.requests[-1]


# ── creating ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_least_that_clients_send(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    wish = await asked(client, engine, "/v2/sandboxes", {"templateID": "base"})
    assert wish == CreateSandbox(timeout_s=300.0, secured=True, auto_resume=False)


async def test_all_that_can_be_asked(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    body = {
        "templateID": "code-interpreter-v1",
        "timeout": 60,
        "metadata": {"a": "b"},
        "envVars": {"C": "d"},
        "allow_internet_access": False,
        "network": {"allowPublicTraffic": False, "allowOut": [], "rules": {}, "egressProxy": None},
        "autoPause": True,
        "autoResume": {"enabled": True},
        "autoPauseMemory": False,
        "volumeMounts": [],
        "mcp": None,
        "iam": {},
        "laterField": None,
    }
    assert await asked(client, engine, "/v2/sandboxes", body, idempotency_key="k") == CreateSandbox(
        template="code-interpreter",
        timeout_s=60.0,
        metadata={"a": "b"},
        env={"C": "d"},
        internet=False,
        ingress="token",
        secured=True,
        idempotency_key="k",
        on_timeout="pause",
        pause_memory=False,
        auto_resume=True,
    )


@pytest.mark.parametrize(
    ("path", "secure", "secured"),
    [
        ("/sandboxes", None, False),
        ("/sandboxes", False, False),
        ("/sandboxes", True, True),
        ("/v2/sandboxes", False, True),
    ],
)
async def test_the_older_generation_says_whether_a_token_is_asked_for(
    client: httpx.AsyncClient, engine: FakeEngine, path: str, secure: bool | None, secured: bool
) -> None:
    wish = await asked(client, engine, path, {"templateID": "base", "secure": secure})
    assert wish.secured is secured


@pytest.mark.parametrize(
    ("allowed", "network", "internet"),
    [
        (None, {}, "unsaid"),
        (None, {"denyOut": []}, "unsaid"),
        (True, {"denyOut": []}, True),
        (False, {}, False),
        (None, {"denyOut": ["0.0.0.0/0"]}, False),
        (None, {"denyOut": ["0.0.0.0/0", "10.0.0.0/8"]}, False),
        (None, {"allowOut": ["1.1.1.1"]}, True),
        (False, {"allowOut": ["0.0.0.0/0"]}, True),
        (None, {"denyOut": ["0.0.0.0/0"], "allowOut": ["1.1.1.1"]}, None),
        (False, {"allowOut": ["a.test"]}, None),
        (None, {"denyOut": ["8.8.8.8"]}, None),
    ],
)
async def test_the_internet_as_a_whole_or_not_yet(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    allowed: bool | None,
    network: dict[str, Any],
    internet: bool | str | None,
) -> None:
    body = {"templateID": "base", "allow_internet_access": allowed, "network": network}
    answer = await client.post("/v2/sandboxes", json=body)
    if internet is None:
        assert (answer.status_code, answer.headers["should-retry"]) == (501, "false")
    else:
        assert engine.requests[-1].internet is (None if internet == "unsaid" else internet)


async def test_what_comes_back(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.sandboxes[ID] = sandbox(template="code-interpreter", ingress="token", metadata={"a": "b"})
    opened = (await client.post(f"/v2{ONE}/connect", json={})).json()
    assert opened == {
        "templateID": "code-interpreter",
        "sandboxID": ID,
        "clientID": "sandlot",
        "alias": "code-interpreter-v1",
        "envdVersion": "0.6.7",
        "domain": "box.test:7263",
        "envdAccessToken": f"agent token of {ID}",
        "trafficAccessToken": f"ingress token of {ID}",
    }
    engine.sandboxes[ID] = sandbox(secured=False)
    assert {"envdAccessToken", "trafficAccessToken"}.isdisjoint((await client.get(ONE)).json())


# ── bad bodies ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"\xff", 400, "the body is not JSON"),
        (b"[" * 5000, 400, "the body is not JSON"),
        (b"[]", 400, "the body: expected `object`, got `array`"),
        (b"", 400, "missing required field `templateID`"),
        (b'{"templateID": 1}', 400, "templateID: expected `str`, got `int`"),
        (b'{"templateID": "base", "timeout": true}', 400, "timeout: expected `float | null`, got `bool`"),
        (b'{"templateID": "base", "envVars": {"a": null}}', 400, "envVars[...]: expected `str`, got `null`"),
        (b'{"templateID": "base", "network": {"denyOut": "x"}}', 400, "network.denyOut: expected"),
        (b'{"templateID": "base", "network": {"new": [1]}}', 501, "network.new is nothing that this server"),
        (b'{"templateID": "base", "gpu": "h100"}', 501, "gpu is nothing that this server knows"),
        (
            b'{"templateID": "base", "autoPauseMemory": false}',
            400,
            "autoPauseMemory says how autoPause pauses",
        ),
        (b'{"templateID": "base", "autoResume": true}', 400, "autoResume: expected"),
        (b" " * 10_001, 413, "larger than 10000 bytes"),
    ],
)
async def test_bodies_that_cannot_be(
    client: httpx.AsyncClient, engine: FakeEngine, body: bytes, status: int, words: str
) -> None:
    answer = await client.post("/v2/sandboxes", content=body)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, status)
    assert words in told["message"]
    assert engine.requests == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["templateID", "timeout", "metadata", "envVars", "secure", "network", "autoPause", "mcp", "iam", "x"]


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
async def test_no_body_is_an_accident(body: dict[str, Any]) -> None:
    async with control(FakeEngine()) as client:
        answer = await client.post("/v2/sandboxes", content=json.dumps({"templateID": "base", **body}))
    assert answer.status_code in {201, 400, 501}, answer.text


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_list_is_asked(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    params = {
        "metadata": "a%2520b=c%252Bd&e=f%3Dg",
        "state": "running",
        "order": "asc",
        "startedAfter": "2026-11-27T12:00:00+02:00",
        "template": "code-interpreter-v1",
        "limit": "7",
        "nextToken": "here",
    }
    answer = await client.get("/v2/sandboxes", params=params)
    assert engine.requests[-1] == ListQuery(
        states=frozenset({State.RUNNING}),
        metadata={"a b": "c+d", "e": "f=g"},
        limit=7,
        cursor="here",
        template="code-interpreter",
        since=datetime(2026, 11, 27, 10, tzinfo=UTC),
        oldest_first=True,
    )
    assert answer.headers["x-next-token"] == "next"
    assert [one["sandboxID"] for one in answer.json()] == [ID]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "ended"),
        ("order", "up"),
        ("startedAfter", "yesterday"),
        ("startedAfter", "9999-99-99T00:00:00Z"),
        ("limit", "many"),
        ("limit", "1" * 30),
    ],
)
async def test_lists_that_cannot_be(
    client: httpx.AsyncClient, engine: FakeEngine, name: str, value: str
) -> None:
    answer = await client.get("/v2/sandboxes", params={name: value})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{name}: ")
    assert engine.requests == []


PARAMETERS = {
    "/v2/sandboxes": ["metadata", "state", "order", "startedAfter", "template", "limit", "nextToken"],
    "/sandboxes": ["metadata"],
    "/sandboxes/metrics": ["sandbox_ids"],
    f"{ONE}/metrics": ["start", "end"],
    f"{ONE}/logs": ["start", "limit"],
    f"/v2{ONE}/logs": ["cursor", "limit", "direction", "level", "search"],
}
texts = st.text(st.characters(exclude_categories=["Cs"])) | st.integers().map(str) | st.datetimes().map(str)


@settings(max_examples=300)
@given(st.data())
async def test_no_query_is_an_accident(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(PARAMETERS)))
    params = data.draw(st.dictionaries(st.sampled_from(PARAMETERS[path]), texts))
    engine = FakeEngine()
    engine.last_page = True
    async with control(engine) as client:
        answer = await client.get(path, params=params)
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 400:
        assert answer.json()["message"].partition(":")[0].partition(" ")[0] in PARAMETERS[path]


# ── one sandbox ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("id", [ENDED, UNKNOWN, "x", "SB" + "A" * 20])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/timeout"),
        ("POST", "/refreshes"),
        ("POST", "/connect"),
        ("POST", "/resume"),
        ("GET", "/metrics"),
    ],
)
async def test_what_does_not_run_is_not_found(
    client: httpx.AsyncClient, id: str, method: str, path: str
) -> None:
    body = {"timeout": 60} if method == "POST" and path != "/refreshes" else {}
    answer = await client.request(method, f"/sandboxes/{id}{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, 404)


async def test_a_second_id_behind_the_first_says_nothing(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{ONE}-sandlot")).json()["sandboxID"] == ID


async def test_a_sandbox_without_end_has_one_for_these_clients(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.sandboxes[ID] = sandbox(deadline=None)
    assert (await client.get(ONE)).json()["endAt"] == "9999-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("path", "body", "seconds"),
    [
        ("/refreshes", {}, 15.0),
        ("/refreshes", {"duration": 1}, 15.0),
        ("/refreshes", {"duration": 100}, 100.0),
    ],
)
async def test_time_is_added(
    client: httpx.AsyncClient, engine: FakeEngine, path: str, body: dict[str, Any], seconds: float
) -> None:
    assert (await client.post(f"{ONE}{path}", json=body)).is_success
    assert ("extend", seconds) in engine.requests


async def test_no_time_is_an_end(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    assert (await client.post(f"{ONE}/timeout", json={"timeout": 0})).status_code == 204
    assert engine.requests[-1] == ("expire", ID)
    assert (await client.post(f"/sandboxes/{ENDED}/timeout", json={"timeout": 0})).status_code == 404


async def test_metrics_in_the_vendors_figures(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.sandboxes[ID] = sandbox(cpus=0.5)
    start = NOW - timedelta(hours=1)
    params = {"start": str(int(start.timestamp())), "end": str(int(NOW.timestamp() * 1000))}
    assert (await client.get(f"{ONE}/metrics", params=params)).json() == [
        {
            "timestamp": "2026-11-21T12:00:00.000Z",
            "timestampUnix": int(NOW.timestamp()),
            "cpuCount": 1,
            "cpuUsedPct": 50.0,
            "memUsed": 1,
            "memTotal": 1 << 30,
            "memCache": 2,
            "diskUsed": 3,
            "diskTotal": 10 << 30,
        }
    ]
    assert (start, NOW) in engine.requests
    answer = await client.get("/sandboxes/metrics", params={"sandbox_ids": f"{ID},{ENDED},{UNKNOWN},,x"})
    assert list(answer.json()["sandboxes"]) == [ID]
    many = ",".join([ID] * 101)
    assert (await client.get("/sandboxes/metrics", params={"sandbox_ids": many})).status_code == 400


@pytest.mark.parametrize("value", ["now", "1e9", "9" * 18, "-" + "9" * 18])
async def test_a_time_that_is_none(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get(f"{ONE}/metrics", params={"start": value})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("start: ")


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (LimitExceeded("full", retry_after_s=4.2), 429, {"retry-after": "5"}),
        (Unavailable("starting"), 503, {"retry-after": "1"}),
        (TierUnavailable("no runsc"), 422, {}),
        (KeyReused("another"), 422, {}),
        (DeadlineExceeded("too slow"), 504, {}),
        (NotEnoughSpace("full"), 507, {}),
    ],
)
async def test_errors_of_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine, error: SandlotError, status: int, headers: dict[str, str]
) -> None:
    engine.failure = error
    answer = await client.post("/v2/sandboxes", json={"templateID": "base"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["message"]) == (status, status, error.message)
    assert headers.items() <= dict(answer.headers).items()
    assert told.get("error_code") == (
        "idempotency_request_mismatch" if isinstance(error, KeyReused) else None
    )


async def test_a_page_of_any_origin_may_call_it(client: httpx.AsyncClient) -> None:
    origin = {"origin": "https://app.example.com"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    leave = await client.options("/v2/sandboxes", headers=origin | asked)
    assert leave.status_code == 200
    assert leave.headers["access-control-allow-headers"] == "x-api-key"
    listed = await client.get("/v2/sandboxes", headers=origin)
    assert listed.headers["access-control-allow-origin"] == "*"
    assert listed.headers["access-control-expose-headers"] == "*"
    assert "access-control-allow-credentials" not in listed.headers


async def test_a_bug_has_the_shape_of_an_error(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.failure = ZeroDivisionError("a secret of the server's")
    answer = await client.get("/v2/sandboxes")
    assert (answer.status_code, answer.json()["code"]) == (500, 500)
    assert "secret" not in answer.text


async def test_a_client_that_has_left_is_told_nothing(engine: FakeEngine) -> None:
    engine.create = forever  # type: ignore[assignment]
    request = exchange(application(engine), "POST", "/v2/sandboxes")
    async with request as leaving:
        leaving.send(b'{"templateID": "base"}')
        leaving.leave()
        with pytest.raises(ClientDisconnect):
            await leaving.receive()


async def forever(_: CreateSandbox) -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("path", ["/sandboxes/", "/v3/sandboxes", "/sandboxes/a/b/c", "/snapshots/a"])
async def test_an_address_that_there_is_not(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, 404)


async def test_a_method_that_there_is_not(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v2/sandboxes")
    assert (answer.status_code, answer.json()["code"]) == (405, 405)


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "e2b_" + "1" * 40}, {"Authorization": "Bearer x"}, {"X-API-Key": ""}]
)
@pytest.mark.parametrize("path", ["/v2/sandboxes", "/templates", "/volumes", "/teams", f"{ONE}/logs"])
async def test_strangers_learn_nothing(engine: FakeEngine, headers: dict[str, str], path: str) -> None:
    async with control(engine) as client:
        del client.headers["X-API-Key"]
        assert (await client.get(path, headers=headers)).status_code == 401
    assert engine.requests == []


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": "e2b_" + "0" * 40}, {"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}],
)
async def test_a_key_in_either_shape(engine: FakeEngine, headers: dict[str, str]) -> None:
    async with control(engine) as client:
        del client.headers["X-API-Key"]
        assert (await client.get("/v2/sandboxes", headers=headers)).status_code == 200
