"""Whatever is sent to a sandbox, the answer is one of those the API has words for."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .wire import lines, named

bounded = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

FORESEEN = {200, 201, 204, 400, 403, 404, 409, 413, 429, 502, 503, 504, 507}

# With lone surrogates, which JSON can escape and UTF-8 cannot hold.
text = st.text(st.characters(exclude_categories=()), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | text
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


def bodies(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Mostly objects with some of these fields, each now right and now anything; sometimes no such thing."""
    right = st.fixed_dictionaries({}, optional=fields)
    half = st.fixed_dictionaries({}, optional={name: each | anything for name, each in fields.items()})
    stray = st.tuples(half, st.dictionaries(text, anything, max_size=1)).map(lambda two: two[0] | two[1])
    return (right | half | stray | anything).map(lambda body: json.dumps(body).encode()) | st.binary(
        max_size=50
    )


env = st.dictionaries(text, text, max_size=3)
paths = st.sampled_from(["a", "a/b", ".", "..", "/", "/tmp/x", "/etc/passwd", "/proc/1/mem", "~"]) | text
commands = bodies(
    command=st.sampled_from(["true", "echo hi", "exit 3", "cat"]) | text,
    args=st.lists(text, max_size=3) | st.just(["echo", "hi"]),
    env=env,
    cwd=paths,
    user=st.sampled_from(["root", "user", "0", "1000:1000"]) | text,
    stdin=st.just(False),
    timeout_s=st.just(2) | st.floats(0.001, 2),
    tag=text,
    background=st.booleans(),
)
code = bodies(
    code=st.sampled_from(["1", "print('hi')", "1/0", "def ("]) | text,
    context=st.sampled_from(["default-python", "nope"]) | text,
    language=st.just("python") | text,
    env=env,
    timeout_s=st.floats(0.1, 5),
)
file_calls = st.one_of(
    st.tuples(st.just("mkdir"), bodies(path=paths, mode=st.just("0755") | text, parents=st.booleans())),
    st.tuples(st.just("move"), bodies(source=paths, target=paths, overwrite=st.booleans())),
    st.tuples(st.just("copy"), bodies(source=st.sampled_from(["a", "/etc/passwd"]) | text, target=paths)),
)
raw = st.binary(max_size=20) | st.sampled_from(
    [b"a", b"a/b", b".", b"/etc", b"/dev/zero", b"/proc/self/maps"]
)
parameters = st.dictionaries(
    st.sampled_from(
        ["path", "user", "mode", "owner", "offset", "length", "depth", "follow", "recursive", "x"]
    ),
    raw | st.integers(-(2**70), 2**70).map(lambda number: str(number).encode()),
    max_size=4,
)
file_requests = st.tuples(
    st.sampled_from([("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/stat"), ("GET", "/list")]),
    parameters,
)


def is_foreseen(answer: httpx.Response) -> None:
    assert answer.status_code in FORESEEN, answer.text[:500]
    if answer.status_code >= 400:
        error = json.loads(answer.text)
        named(error, error["error"]["code"])
        assert error["error"]["code"] != "internal"
        assert error["error"]["message"]


def is_foreseen_stream(answer: httpx.Response, *ends: str) -> None:
    is_foreseen(answer)
    if answer.status_code == 200:
        last = lines(answer)[-1]
        assert last["type"] in ends
        if last["type"] == "error" and "error" in last:
            assert last["error"]["code"] != "internal"


@bounded
@given(body=commands)
def test_any_command(http: httpx.Client, at: str, body: bytes) -> None:
    is_foreseen_stream(http.post(f"{at}/commands", content=body), "exit", "error")


@bounded
@given(body=code)
def test_any_code(http: httpx.Client, at: str, body: bytes) -> None:
    is_foreseen_stream(http.post(f"{at}/code", content=body), "done", "error")


@bounded
@given(call=file_calls)
def test_any_file_call(http: httpx.Client, at: str, call: tuple[str, bytes]) -> None:
    is_foreseen(http.post(f"{at}/files/{call[0]}", content=call[1]))


@bounded
@given(request=file_requests)
def test_any_file_request(
    http: httpx.Client, at: str, request: tuple[tuple[str, str], dict[str, bytes]]
) -> None:
    (method, path), query = request
    asked = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in query.items())
    content = b"content" if method == "PUT" else None
    is_foreseen(http.request(method, f"{at}/files{path}?{asked}", content=content))
