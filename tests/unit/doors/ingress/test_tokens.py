"""Where a request may have its token, and that the program inside never sees it."""

from __future__ import annotations

from typing import Any

import pytest

from sandlot.doors.ingress.tokens import Shown

NAMES = ("x-sandlot-token", "e2b-traffic-access-token")


def shown(query: bytes = b"", method: str = "GET", path: bytes = b"/", **headers: str) -> Shown:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {
        "type": "http", "method": method, "scheme": "http", "raw_path": path, "path": path.decode(),
        "query_string": query, "headers": [(b"host", b"h"), *raw],
    }  # fmt: skip
    return Shown(scope, NAMES)


@pytest.mark.parametrize(
    "found",
    [
        shown(x_sandlot_token="abc"),
        shown(e2b_traffic_access_token="abc"),
        shown(query=b"sandlot_token=abc"),
        shown(cookie="a=1; sandlot_token=abc; b=2"),
        shown(cookie="sandlot_token=abc"),
    ],
)
def test_each_place(found: Shown) -> None:
    assert found.token == "abc"
    assert b"abc" not in repr(found.scope).encode()


def test_none() -> None:
    assert shown(query=b"a=1&sandlot_tokens=x", cookie="xsandlot_token=y").token is None


def test_all_else_passes_unchanged() -> None:
    found = shown(query=b"a=%20&&b&sandlot_token=t&c=1+2", cookie="a=1; sandlot_token=t; b=2", accept="x")
    assert found.scope["query_string"] == b"a=%20&&b&c=1+2"
    assert found.scope["headers"] == [(b"host", b"h"), (b"cookie", b"a=1; b=2"), (b"accept", b"x")]
    same = shown(query=b"&a=1;;&", cookie="a=1;b=2 ;;c")
    assert same.scope["query_string"] == b"&a=1;;&"
    assert same.scope["headers"] == [(b"host", b"h"), (b"cookie", b"a=1;b=2 ;;c")]


@pytest.mark.parametrize(
    ("path", "query", "there"),
    [
        (b"/a/b", b"sandlot_token=t", "/a/b"),
        (b"/", b"x=1&sandlot_token=t&y=2", "/?x=1&y=2"),
        (b"//evil.test/", b"sandlot_token=t", "/evil.test/"),
    ],
)
def test_a_browser_keeps_it_and_asks_again_without(path: bytes, query: bytes, there: str) -> None:
    answer = shown(query=query, path=path).keeps()
    assert answer is not None
    assert answer.headers["location"] == there
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("sandlot_token=t;")
    assert "HttpOnly" in cookie
    assert "Domain" not in cookie


def test_only_what_can_be_asked_twice_is_sent_there() -> None:
    assert shown(query=b"sandlot_token=t", method="POST").keeps() is None
    assert shown(x_sandlot_token="t").keeps() is None
