"""Sandboxes that have ended, and say so everywhere."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sandlot.server.local import LocalServer

from .conftest import Make
from .wire import SANDBOXES, named, refused, until


def everywhere(http: httpx.Client, id: str) -> list[httpx.Response]:
    """Everything that only a running sandbox can do, asked of this one."""
    at = f"{SANDBOXES}/{id}"
    return [
        http.post(f"{at}/commands", json={"command": "true"}),
        http.get(f"{at}/commands"),
        http.get(f"{at}/commands/1/output"),
        http.get(f"{at}/files", params={"path": "x"}),
        http.put(f"{at}/files", params={"path": "x"}, content=b"x"),
        http.get(f"{at}/files/watch"),
        http.get(f"{at}/archive"),
        http.post(f"{at}/code", json={"code": "1"}),
        http.get(f"{at}/contexts"),
        http.get(f"{at}/metrics"),
        http.post(f"{at}/timeout", json={"timeout_s": 60}),
    ]


def ended(http: httpx.Client, id: str) -> dict[str, Any] | None:
    sandbox = http.get(f"{SANDBOXES}/{id}").json()
    return dict(sandbox) if sandbox["state"] in ("killed", "failed") else None


def test_a_killed_sandbox(http: httpx.Client, make: Make, server: LocalServer, isolation: str) -> None:
    id = make(isolation=isolation)
    assert http.delete(f"{SANDBOXES}/{id}").json() == {"killed": True}
    for answer in everywhere(http, id):
        error = refused(answer, 410, "sandbox_gone", id, "killed by request")
        assert error["details"] == {"state": "killed", "reason": "killed by request"}
    with pytest.raises(InvalidStatus) as caught:
        connect(
            f"{server.url.replace('http', 'ws')}{SANDBOXES}/{id}/terminal",
            additional_headers={"X-API-Key": server.key},
        )
    assert caught.value.response.status_code == 410
    assert http.delete(f"{SANDBOXES}/{id}").json() == {"killed": False}
    assert http.get(f"{SANDBOXES}/{id}").json()["reason"] == "killed by request"


def test_an_expired_sandbox(http: httpx.Client, make: Make, isolation: str) -> None:
    id = make(isolation=isolation, timeout_s=1)
    sandbox = until(lambda: ended(http, id), "its end")
    assert (sandbox["state"], sandbox["reason"]) == ("killed", "its timeout ran out")
    for answer in everywhere(http, id):
        error = refused(answer, 410, "sandbox_gone", id, "timeout ran out")
        assert error["details"]["state"] == "killed"
    kinds = [event["kind"] for event in http.get(f"{SANDBOXES}/{id}/events").json()["events"]]
    assert kinds == ["created", "started", "killing", "killed"]


def test_a_stream_tells_that_its_sandbox_was_killed(http: httpx.Client, make: Make, isolation: str) -> None:
    id = make(isolation=isolation)
    body = {"command": "echo began; sleep 600", "timeout_s": None}
    with http.stream("POST", f"{SANDBOXES}/{id}/commands", json=body) as answer:
        said = map(json.loads, answer.iter_lines())
        assert [next(said)["type"], next(said)["type"]] == ["started", "stdout"]
        http.delete(f"{SANDBOXES}/{id}")
        last = list(said)[-1]
    assert last.pop("type") == "error"
    error = named(last, "sandbox_gone", id, "killed by request")
    assert error["details"]["state"] in ("killing", "killed")
