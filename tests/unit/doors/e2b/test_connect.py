"""The protocol itself, with a service of three methods."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from sandlot.doors.e2b.envd import connect
from sandlot.doors.e2b.envd.connect import (
    Answers,
    Call,
    Code,
    Message,
    RpcError,
    client_stream,
    server_stream,
    unary,
)
from sandlot.doors.streaming import Streams
from sandlot.errors import (
    Conflict,
    DeadlineExceeded,
    GuestError,
    InvalidArgument,
    LimitExceeded,
    NotEnoughSpace,
    NotFound,
    PermissionDenied,
    SandboxGone,
    SandboxPaused,
    SandlotError,
    Unavailable,
)
from tests.unit.doors.fake_engine import ENDED, ID, UNKNOWN, FakeEngine, FakeLive
from tests.unit.doors.wire import exchange

from . import rpc
from .rpc import STREAM, UNARY, framed, frames, post, refusal, stream

ECHO, COUNT, JOIN = "/test.Test/Echo", "/test.Test/Count", "/test.Test/Join"


class Text(Message):
    text: str = ""
    times: int = 1


class Seen(Message):
    text: str
    user: str | None = None
    call_timeout_s: float | None = None
    keepalive_s: float | None = None


class Service:
    """Echo says what it was called with; Count sends the text so often; Join puts texts together."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.closed = asyncio.Event()
        self.routes = [
            unary("test.Test", "Echo", Text, self.echo),
            server_stream("test.Test", "Count", Text, self.count),
            client_stream("test.Test", "Join", Text, self.join),
        ]

    async def echo(self, call: Call, message: Text) -> Seen:
        await self._go_on()
        return Seen(message.text, call.user, call.timeout_s, call.keepalive_s)

    async def count(self, call: Call, message: Text) -> Answers:
        await self._go_on(only_before=True)
        return Answers(
            self._texts(message), first=[Text("first")], close=self._close, keepalive=Text("alive")
        )

    async def join(self, call: Call, messages: AsyncIterator[Text]) -> Text:
        await self._go_on()
        return Text("".join([message.text async for message in messages]))

    async def _texts(self, message: Text) -> AsyncIterator[Text]:
        for _ in range(message.times):
            yield Text(message.text)
        await self.hold.wait()
        if self.failure is not None:
            raise self.failure

    async def _go_on(self, *, only_before: bool = False) -> None:
        if not only_before:
            await self.hold.wait()
            if self.failure is not None:
                raise self.failure

    async def _close(self) -> None:
        self.closed.set()


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
def app(engine: FakeEngine, service: Service, streams: Streams) -> ASGIApp:
    return rpc.application(engine, routes=service.routes, streams=streams)


async def echo(app: ASGIApp, message: Any, **headers: str) -> httpx.Response:
    return await rpc.unary(app, ECHO, message, **headers)


async def test_one_message_for_one(app: ASGIApp) -> None:
    answer = await echo(app, {"text": "hi", "unknown": [1]}, connect_protocol_version="1")
    assert (answer.status_code, answer.headers["content-type"]) == (200, UNARY)
    assert answer.json() == {"text": "hi", "keepaliveS": 90}


async def test_many_for_one(app: ASGIApp) -> None:
    assert await stream(app, COUNT, {"text": "x", "times": 2}) == [
        (0, {"text": "first"}),
        (0, {"text": "x"}),
        (0, {"text": "x"}),
        (2, {}),
    ]


async def test_one_for_many(app: ASGIApp) -> None:
    assert await stream(app, JOIN, {"text": "a"}, {}, {"text": "b"}) == [(0, {"text": "ab"}), (2, {})]
    assert await stream(app, JOIN) == [(0, {}), (2, {})]


@given(st.lists(st.text(max_size=30), max_size=20), st.data())
def test_messages_are_whole_however_they_are_cut(texts: list[str], data: st.DataObject) -> None:
    sent = framed(*({"text": text} for text in texts))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=20)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]

    async def send() -> httpx.Response:
        app = rpc.application(FakeEngine(), routes=Service().routes)
        return await post(app, JOIN, pieces, type=STREAM)

    [(_, joined), end] = frames(asyncio.run(send()).content)
    assert (joined.get("text", ""), end) == ("".join(texts), (2, {}))


@given(st.lists(st.text(max_size=10), min_size=1, max_size=5), st.data())
def test_what_ends_within_a_message_is_refused(texts: list[str], data: st.DataObject) -> None:
    whole = [framed({"text": text}) for text in texts]
    sent = b"".join(whole)
    missing = data.draw(st.integers(1, len(whole[-1]) - 1))

    async def send() -> httpx.Response:
        app = rpc.application(FakeEngine(), routes=Service().routes)
        return await post(app, JOIN, sent[:-missing], type=STREAM)

    code, message = refusal(frames(asyncio.run(send()).content))
    assert (code, message) == ("invalid_argument", "the last message is not complete")


@given(st.binary(max_size=60))
def test_no_bytes_are_a_failure_of_the_server(data: bytes) -> None:
    async def send() -> list[httpx.Response]:
        app = rpc.application(FakeEngine(), routes=Service().routes)
        return [
            await post(app, JOIN, data, type=STREAM),
            await post(app, COUNT, data, type=STREAM),
            await post(app, ECHO, data, type=UNARY),
        ]

    joined, counted, echoed = asyncio.run(send())
    for answer in (joined, counted):
        assert answer.status_code == 200
        end = frames(answer.content)[-1]
        assert end[0] == 2
        assert end[1] == {} or end[1]["error"]["code"] in ("invalid_argument", "unimplemented")
    assert echoed.status_code in (200, 400)


async def test_a_message_beyond_the_limit_is_refused_before_it_is_there(app: ASGIApp) -> None:
    code, message = refusal(frames((await post(app, JOIN, b"\0\0\xff\xff\xff", type=STREAM)).content))
    assert code == "invalid_argument"
    assert "1000 is the limit" in message
    answer = await echo(app, {"text": "x" * 2000})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert refusal(await stream(app, COUNT, {"text": "x" * 2000}))[0] == "invalid_argument"


async def test_many_messages_may_be_more_than_the_limit_together(app: ASGIApp) -> None:
    [(_, joined), _] = await stream(app, JOIN, *({"text": "x" * 500} for _ in range(20)))
    assert len(joined["text"]) == 10_000


@pytest.mark.parametrize(
    ("flags", "code"), [(1, "unimplemented"), (2, "invalid_argument"), (128, "invalid_argument")]
)
async def test_flags_that_a_request_cannot_have(app: ASGIApp, flags: int, code: str) -> None:
    answer = await post(app, JOIN, framed({}, flags=flags), type=STREAM)
    assert refusal(frames(answer.content))[0] == code


@pytest.mark.parametrize("messages", [[], [{}, {}]])
async def test_a_server_stream_takes_one_message(app: ASGIApp, messages: list[Any]) -> None:
    code, message = refusal(await stream(app, COUNT, *messages))
    assert (code, message) == ("invalid_argument", f"one message is due here, not {len(messages)}")


async def test_a_message_that_cannot_be_read(app: ASGIApp) -> None:
    for content in (b"{", b"[]", b'{"text":1}', b"\xff", b"[" * 900):
        answer = await post(app, ECHO, content, type=UNARY)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
        assert refusal(await stream(app, COUNT, content))[0] == "invalid_argument"


async def test_numbers_may_come_as_text(app: ASGIApp) -> None:
    assert len(await stream(app, COUNT, {"times": "3"})) == 5


@pytest.mark.parametrize("type", ["application/proto", "application/connect+proto", "text/plain", ""])
async def test_another_encoding_is_a_media_type_not_supported(app: ASGIApp, type: str) -> None:
    for path, right in ((ECHO, UNARY), (COUNT, STREAM), (JOIN, STREAM)):
        answer = await post(app, path, b"{}", type=type)
        assert (answer.status_code, answer.headers["accept-post"]) == (415, right)


async def test_parameters_of_the_media_type_do_not_matter(app: ASGIApp) -> None:
    assert (await post(app, ECHO, b"{}", type="Application/JSON; charset=utf-8")).status_code == 200


async def test_another_version_of_the_protocol(app: ASGIApp) -> None:
    answer = await echo(app, {}, connect_protocol_version="2")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


async def test_compression_is_refused(app: ASGIApp) -> None:
    answer = await echo(app, {}, content_encoding="gzip")
    assert (answer.status_code, answer.json()["code"]) == (501, "unimplemented")
    assert (await echo(app, {}, content_encoding="identity")).status_code == 200
    assert refusal(await stream(app, COUNT, {}, connect_content_encoding="gzip"))[0] == "unimplemented"


async def test_only_post(app: ASGIApp) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox") as client:
        assert (await client.get(ECHO)).status_code == 405


async def test_who_calls_and_for_how_long(app: ASGIApp) -> None:
    headers = {
        "authorization": "Basic cm9vdDo=",
        "connect_timeout_ms": "1500",
        "keepalive_ping_interval": "50",
    }
    seen = (await echo(app, {}, **headers)).json()
    assert seen == {"text": "", "user": "root", "callTimeoutS": 1.5, "keepaliveS": 50}
    # As older clients write it.
    assert (await echo(app, {}, connect_timeout_ms="60000.0")).json()["callTimeoutS"] == 60
    assert "callTimeoutS" not in (await echo(app, {}, connect_timeout_ms="0")).json()


@pytest.mark.parametrize(
    "headers",
    [
        {"connect_timeout_ms": "-1"},
        {"connect_timeout_ms": "1e3"},
        {"connect_timeout_ms": "1" * 11},
        {"connect_timeout_ms": "1.5"},
        {"keepalive_ping_interval": "soon"},
        {"keepalive_ping_interval": "0.001"},
        {"authorization": "Basic ?"},
        {"authorization": "Basic /w=="},
    ],
)
async def test_headers_that_cannot_be_understood(app: ASGIApp, headers: dict[str, str]) -> None:
    answer = await echo(app, {}, **headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert refusal(await stream(app, COUNT, {}, **headers))[0] == "invalid_argument"


async def test_a_call_ends_at_its_own_timeout(app: ASGIApp, service: Service) -> None:
    service.hold.clear()
    answer = await echo(app, {}, connect_timeout_ms="1")
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    assert refusal(await stream(app, JOIN, {}, connect_timeout_ms="1"))[0] == "deadline_exceeded"


async def test_a_body_that_never_ends(engine: FakeEngine, service: Service) -> None:
    headers = {"content-type": STREAM}
    app = rpc.application(engine, routes=service.routes, headers=headers, body_idle_s=0.01)
    async with exchange(app, "POST", COUNT) as call:
        call.send(framed({})[:3], more=True)
        assert await call.status() == 200
        assert refusal(frames(await call.body()))[0] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (InvalidArgument("x"), 400, "invalid_argument"),
        (PermissionDenied("x"), 403, "permission_denied"),
        (NotFound("x"), 404, "not_found"),
        (Conflict("x"), 400, "failed_precondition"),
        (LimitExceeded("x"), 429, "resource_exhausted"),
        (NotEnoughSpace("x"), 429, "resource_exhausted"),
        (Unavailable("x"), 503, "unavailable"),
        (DeadlineExceeded("x"), 504, "deadline_exceeded"),
        (GuestError("x"), 500, "internal"),
        (RpcError(Code.ALREADY_EXISTS, "x"), 409, "already_exists"),
        (RpcError(Code.CANCELED, "x"), 499, "canceled"),
    ],
)
async def test_errors_have_codes(
    app: ASGIApp, service: Service, failure: Exception, status: int, code: str
) -> None:
    service.failure = failure
    answer = await echo(app, {})
    assert (answer.status_code, answer.json()) == (status, {"code": code, "message": "x"})
    assert refusal(await stream(app, JOIN)) == (code, "x")
    *_, end = await stream(app, COUNT, {})
    assert end == (2, {"error": {"code": code, "message": "x"}})
    assert service.closed.is_set()


async def test_a_sandbox_that_has_ended_is_not_found(app: ASGIApp, service: Service) -> None:
    """By the status and the words that clients know it by; once a stream has begun, in its last message."""
    service.failure = SandboxGone("x")
    answer = await echo(app, {})
    assert answer.status_code == 502
    assert "was not found" in answer.json()["message"]
    *_, end = await stream(app, COUNT, {})
    assert end == (2, {"error": {"code": "unavailable", "message": "x"}})


async def test_a_bug_is_told_of_without_its_words(app: ASGIApp, service: Service) -> None:
    service.failure = RuntimeError("a secret")
    *_, (flags, end) = await stream(app, COUNT, {})
    assert (flags, end["error"]["code"]) == (2, "internal")
    assert "secret" not in json.dumps(end)


async def test_an_unknown_user_is_not_authenticated(
    app: ASGIApp, engine: FakeEngine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stat(path: str, *, user: str) -> None:
        if user == "nobody-here":
            raise InvalidArgument("no such user: nobody-here")

    monkeypatch.setattr(engine.only.agent, "stat", stat)
    service.failure = InvalidArgument("no such user: nobody-here")
    answer = await echo(app, {}, authorization="Basic bm9ib2R5LWhlcmU6")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "nobody-here" in answer.json()["message"]
    assert (await echo(app, {}, authorization="Basic cm9vdDo=")).json()["code"] == "invalid_argument"


async def test_a_token_is_needed(engine: FakeEngine, service: Service) -> None:
    app = rpc.application(engine, routes=service.routes, headers={"x-access-token": "another"})
    answer = await echo(app, {})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert refusal(await stream(app, COUNT, {}))[0] == "unauthenticated"


@pytest.mark.parametrize("sandbox_id", [ENDED, UNKNOWN])
async def test_a_sandbox_that_is_not_there(engine: FakeEngine, service: Service, sandbox_id: str) -> None:
    app = rpc.application(engine, routes=service.routes, sandbox_id=sandbox_id)
    for path, type in ((ECHO, UNARY), (COUNT, STREAM), (JOIN, STREAM)):
        answer = await post(app, path, b"", type=type)
        assert answer.status_code == 502
        assert "was not found" in answer.json()["message"]


async def test_a_paused_sandbox_is_not_there_and_the_words_say_why(
    app: ASGIApp, engine: FakeEngine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.failure = SandboxPaused("it was paused meanwhile")
    answer = await echo(app, {})
    assert (answer.status_code, answer.json()["sandboxId"]) == (502, ID)
    assert "was not found: it is paused" in answer.json()["message"]
    *_, (_, end) = await stream(app, COUNT, {})
    assert end["error"]["code"] == "unavailable"
    assert "was not found: it is paused" in end["error"]["message"]

    async def live(id: str) -> FakeLive:
        raise SandboxPaused("it is paused")

    monkeypatch.setattr(engine, "live", live)
    for path, type in ((ECHO, UNARY), (COUNT, STREAM), (JOIN, STREAM)):
        answer = await post(app, path, b"", type=type)
        assert (answer.status_code, "it is paused" in answer.json()["message"]) == (502, True)


async def test_why_a_stream_broke_off_is_the_engines_word(
    app: ASGIApp, engine: FakeEngine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explain(id: str, error: SandlotError) -> SandlotError:
        return SandboxGone(f"sandbox {id} was killed")

    monkeypatch.setattr(engine, "explain", explain)
    service.failure = Unavailable("the connection was lost")
    *_, (_, end) = await stream(app, COUNT, {})
    assert end["error"]["code"] == "unavailable"
    assert end["error"]["message"].endswith("was killed")


async def test_a_silent_stream_says_that_it_lives(
    engine: FakeEngine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "PROMISED_S", 0.01)
    service.hold.clear()
    app = rpc.application(engine, routes=service.routes, headers={"content-type": STREAM})
    async with exchange(app, "POST", COUNT) as call:
        call.send(framed({"times": 0}))
        assert await call.status() == 200
        assert frames((await call.receive())["body"]) == [(0, {"text": "first"})]
        assert frames((await call.receive())["body"]) == [(0, {"text": "alive"})]
        service.hold.set()
        assert frames(await call.body())[-1] == (2, {})


async def test_a_client_that_leaves_frees_what_its_stream_holds(engine: FakeEngine, service: Service) -> None:
    service.hold.clear()
    app = rpc.application(engine, routes=service.routes, headers={"content-type": STREAM})
    async with exchange(app, "POST", COUNT) as call:
        call.send(framed({}))
        assert await call.status() == 200
        call.leave()
        await call.end()
    assert service.closed.is_set()


async def test_a_server_that_stops_says_so(engine: FakeEngine, service: Service, streams: Streams) -> None:
    service.hold.clear()
    app = rpc.application(engine, routes=service.routes, streams=streams, headers={"content-type": STREAM})
    async with exchange(app, "POST", COUNT) as call:
        call.send(framed({"times": 0}))
        assert await call.status() == 200
        await call.receive()
        streams.stop()
        [(flags, end)] = frames(await call.body())
        assert (flags, end["error"]["code"]) == (2, "unavailable")


def test_what_answers_has_the_doors_name() -> None:
    names = [route.endpoint.__name__ for route in Service().routes]
    assert names == ["e2b_test_echo", "e2b_test_count", "e2b_test_join"]
