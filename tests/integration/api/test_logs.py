"""What a server writes down: whose and which sandbox, and never a secret."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .wire import PATIENCE_S, SANDBOXES, lines, until

SECRET = "hush-7f3a"


@pytest.fixture(scope="module")
def talkative(footprint: Footprint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server of its own, that writes down all it can."""
    server = LocalServer(
        tmp_path_factory.mktemp("talkative"),
        TEMPLATES_DIR,
        SANDLOT_LOG_LEVEL="debug",
        SANDLOT_ACCESS_LOG="true",
        SANDLOT_LOG_FORMAT="json",
    )
    server.start()
    try:
        yield server
    finally:
        server.end()


@pytest.fixture
def http(talkative: LocalServer) -> Iterator[httpx.Client]:
    headers = {"X-API-Key": talkative.key}
    with httpx.Client(base_url=talkative.url, headers=headers, timeout=PATIENCE_S) as client:
        yield client


def written(server: LocalServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def test_a_sandbox_can_be_followed_from_its_making_to_its_end(
    http: httpx.Client, talkative: LocalServer
) -> None:
    made = http.post(SANDBOXES, json={"isolation": "container", "template": "code-interpreter"})
    id = made.json()["id"]
    lines(http.post(f"{SANDBOXES}/{id}/commands", json={"command": "true"}, headers={"X-Request-ID": "mine"}))
    http.delete(f"{SANDBOXES}/{id}")
    found = until(
        lambda: lines if len(lines := _requests(talkative, id)) == 3 else None, "the lines of its requests"
    )
    assert [line["method"] for line in found] == ["POST", "POST", "DELETE"]
    assert [line["status"] for line in found] == [201, 200, 200]
    assert found[0]["request_id"] == made.headers["x-request-id"]
    assert found[1]["request_id"] == "mine"
    assert {line["tenant"] for line in found} == {"default"}
    for line in written(talkative):
        assert line.get("sandbox") == id or id not in json.dumps(line), line


def _requests(server: LocalServer, id: str) -> list[dict[str, Any]]:
    return [line for line in written(server) if line["event"] == "request" and line.get("sandbox") == id]


def test_what_happens_to_a_sandbox_later_is_no_part_of_the_request_that_made_it(
    http: httpx.Client, talkative: LocalServer
) -> None:
    id = http.post(SANDBOXES, json={"isolation": "container"}).json()["id"]
    group = next(Path("/sys/fs/cgroup").rglob(f"{id}/cgroup.procs"))
    for pid in {int(pid) for pid in group.read_text().split()}:
        os.kill(pid, signal.SIGKILL)
    [died] = until(
        lambda: [line for line in written(talkative) if line["event"] == "sandbox died"], "its death"
    )
    assert died["sandbox"] == id
    assert "request_id" not in died


def test_secrets_are_never_written_down(http: httpx.Client, talkative: LocalServer) -> None:
    env = {"TOKEN": SECRET}
    id = http.post(SANDBOXES, json={"isolation": "container", "env": env}).json()["id"]
    at = f"{SANDBOXES}/{id}"
    said = lines(
        http.post(f"{at}/commands", json={"command": "echo $TOKEN $OTHER", "env": {"OTHER": SECRET}})
    )
    assert base64.b64decode(said[1]["data"]).decode() == f"{SECRET} {SECRET}\n"
    for body in (
        {"command": "true", "env": {"A=B": SECRET}},
        {"command": f"exit 3 # {SECRET}", "user": SECRET},
        {"args": [f"no-such-{SECRET}"]},
    ):
        assert http.post(f"{at}/commands", json=body).status_code >= 400
    http.post(SANDBOXES, json={"env": {"TOKEN": SECRET + "\0"}})
    http.post(SANDBOXES, content=f'{{"env": {{"TOKEN": "{SECRET}"')
    http.get(SANDBOXES, params={"api_key": SECRET})
    http.get(SANDBOXES, headers={"X-API-Key": SECRET})
    http.get("/metrics", headers={"Authorization": f"Bearer {SECRET}"})
    address = f"{talkative.url.replace('http', 'ws')}{at}/terminal"
    with connect(f"{address}?api_key={talkative.key}&command=echo+{SECRET}") as terminal:
        terminal.recv()
    http.delete(at)
    until(lambda: len(_requests(talkative, id)) >= 6, "the lines of its requests")
    text = talkative.log.read_text()
    assert SECRET not in text
    # The first key is shown once, at the first start, and nowhere else.
    assert text.count(talkative.key) == 1
