from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from sandlot import errors
from sandlot.doors.native.errors import STATUS

from .fake_engine import ID, FakeEngine
from .wire import KEY, exchange

EXPECTED = {
    errors.InvalidArgument: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.SandboxGone: 410,
    errors.TierUnavailable: 422,
    errors.LimitExceeded: 429,
    errors.GuestError: 502,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.NotEnoughSpace: 507,
}


def test_every_class_of_error_has_a_status() -> None:
    known = [cls for cls in errors.SandlotError.__subclasses__() if cls.__module__ == errors.__name__]
    assert set(STATUS) == set(known)


@pytest.mark.parametrize(("cls", "status"), EXPECTED.items())
async def test_each_error_has_its_status_and_the_one_shape(
    client: httpx.AsyncClient, engine: FakeEngine, cls: type[errors.SandlotError], status: int
) -> None:
    engine.failure = cls("what was wrong; what would be right", limit="max_sandboxes")
    answer = await client.get(f"/v1/sandboxes/{ID}")
    assert answer.status_code == status
    assert answer.json() == {
        "error": {
            "code": cls.code,
            "message": "what was wrong; what would be right",
            "details": {"limit": "max_sandboxes"},
        }
    }


async def test_a_subclass_has_its_parents_status_and_no_empty_details(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    class Odd(errors.Conflict):
        pass

    engine.failure = Odd("odd")
    answer = await client.get("/v1/sandboxes")
    assert (answer.status_code, answer.json()) == (409, {"error": {"code": "conflict", "message": "odd"}})


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(errors.Unavailable("x"), "1"), (errors.LimitExceeded("x", retry_after_s=5), "5")],
)
async def test_come_back_later_says_when(
    client: httpx.AsyncClient, engine: FakeEngine, error: errors.SandlotError, seconds: str
) -> None:
    engine.failure = error
    assert (await client.get("/v1/sandboxes")).headers["retry-after"] == seconds


async def test_a_bug_is_logged_with_its_traceback_and_tells_the_caller_only_where_to_look(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.failure = ZeroDivisionError("secret detail")
    with capture_logs() as logs:
        answer = await client.get("/v1/sandboxes", headers={"X-Request-Id": "mine-1"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert answer.json()["error"]["details"] == {"request_id": "mine-1"}
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "mine-1"
    [entry] = [entry for entry in logs if entry["event"] == "unexpected error"]
    assert entry["request_id"] == "mine-1"
    assert isinstance(entry["exc_info"], ZeroDivisionError)


async def test_a_request_id_that_could_spoil_a_log_is_replaced(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/sandboxes", headers={"X-Request-Id": "a b"})
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("path", ["/", "/v2/sandboxes", "/v1/sandboxes/", f"/v1/sandboxes/{ID}/nothing"])
async def test_unknown_addresses(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "/docs" in answer.json()["error"]["message"]


async def test_a_method_that_is_not_possible_names_those_that_are(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v1/templates")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
    answer = await client.patch("/v1/sandboxes")
    assert answer.headers["allow"] == "GET, POST"
    assert "GET, POST" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"template": "base"', "not JSON"),
        (b'{"template": "\xff"}', "UTF-8"),
        (b"[" * 5000, "nested|not JSON"),
        (b"[]", "JSON object"),
        (b'"text"', "JSON object"),
        (b"", "JSON body is needed"),
        (b'{"timeout_s": "soon"}', "timeout_s: .*number"),
        (b'{"timeout_s": NaN}', "timeout_s: .*finite"),
        (b'{"isolation": "vm"}', "isolation: .*'gvisor'"),
        (b'{"env": {"A": 1}}', "env.A: .*string"),
        (b'{"cpus": "1"}', "cpus: .*number"),
        (b'{"cpus": true}', "cpus: .*number"),
        (b'{"internet": "no"}', "internet: .*boolean"),
        (b'{"memory_mib": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"tiemout_s": 5}', "tiemout_s: unknown field; did you mean 'timeout_s'"),
        (b'{"qqqq": 5}', "qqqq: unknown field$"),
    ],
)
async def test_a_bad_body_is_a_400_that_names_the_field(
    client: httpx.AsyncClient, body: bytes, says: str
) -> None:
    answer = await client.post("/v1/sandboxes", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_argument")
    with pytest.raises(ValueError, match=says):
        raise ValueError(answer.json()["error"]["message"])


async def test_several_problems_are_told_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/sandboxes", json={"cpus": "many", "pids": []})
    problems = answer.json()["error"]["details"]["problems"]
    assert [problem["field"] for problem in problems] == ["cpus", "pids"]


async def test_what_curl_sends_by_default_is_taken_as_the_json_that_it_is(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.post("/v1/sandboxes", content=b'{"template": "base"}', headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_misspelt_parameter_is_refused_and_nothing_is_done(
    client: httpx.AsyncClient, engine: FakeEngine, method: str
) -> None:
    answer = await client.request(method, "/v1/sandboxes?limt=1", content=b"{}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_argument")
    hint = "; did you mean 'limit'?" if method == "GET" else ""
    assert answer.json()["error"]["message"] == f"limt: unknown parameter{hint}"
    assert engine.requests == []


async def test_a_query_that_is_no_number(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/sandboxes?limit=many")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("limit: ")


async def test_text_that_has_no_utf8_is_escaped_not_a_failure(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.failure = errors.NotFound("no file \udcff")
    answer = await client.get("/v1/sandboxes")
    assert answer.status_code == 404
    assert json.loads(answer.content)["error"]["message"] == "no file \udcff"
    engine.failure = None
    answer = await client.post("/v1/sandboxes", content=b'{"metadata": {"k": "\\ud800"}}')
    assert json.loads(answer.content)["metadata"] == {"k": "\ud800"}


async def test_both_ways_to_send_a_key(client: httpx.AsyncClient) -> None:
    del client.headers["X-API-Key"]
    for headers in (
        {"X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
    ):
        assert (await client.get("/v1/templates", headers=headers)).status_code == 200
    assert (await client.get(f"/v1/templates?api_key={KEY}")).status_code == 401


async def test_a_body_that_says_it_is_too_large_is_refused_unread(app: FastAPI) -> None:
    async with exchange(app, "POST", "/v1/sandboxes", length=10_001) as wire:
        assert await wire.status() == 413
        assert wire.headers["connection"] == "close"
        assert json.loads(await wire.body())["error"]["code"] == "too_large"


async def test_a_body_that_turns_out_too_large_is_refused(app: FastAPI) -> None:
    async with exchange(app, "POST", "/v1/sandboxes") as wire:
        wire.send(b" " * 6000, more=True)
        wire.send(b" " * 6000, more=True)
        assert await wire.status() == 413


async def test_an_upload_may_be_larger_but_not_without_end(app: FastAPI, engine: FakeEngine) -> None:
    async with exchange(app, "PUT", f"/v1/sandboxes/{ID}/files?path=a") as wire:
        wire.send(b" " * 90_000)
        assert await wire.status() == 200
    async with exchange(app, "PUT", f"/v1/sandboxes/{ID}/files?path=b") as wire:
        wire.send(b" " * 90_000, more=True)
        wire.send(b" " * 90_000, more=True)
        assert await wire.status() == 413
    assert engine.only.agent.aborted_write is not None
    assert "/home/user/b" not in engine.only.agent.files


async def test_a_body_that_drips_without_end_is_given_up(app: FastAPI) -> None:
    app.state.native = replace(app.state.native, body_idle_s=0.1)
    async with exchange(app, "POST", "/v1/sandboxes") as wire:
        status = asyncio.create_task(wire.status())
        while not status.done():
            wire.send(b" ", more=True)
            await asyncio.wait({status}, timeout=0.01)
        assert await status == 408
        assert "not complete after 0.4 s" in json.loads(await wire.body())["error"]["message"]


async def test_a_body_that_stalls_is_given_up(app: FastAPI) -> None:
    app.state.native = replace(app.state.native, body_idle_s=0.01)
    async with exchange(app, "POST", "/v1/sandboxes") as wire:
        wire.send(b"{", more=True)
        assert await wire.status() == 408
        assert json.loads(await wire.body())["error"]["code"] == "request_timeout"
