"""Who may ask at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sandlot.server.local import LocalServer

from .wire import SANDBOXES, named, refused, until

SOMEBODYS = "sl_" + "0" * 40
ADDRESSES = [SANDBOXES, f"{SANDBOXES}/sb{'a' * 20}", "/v1/host", "/v1/templates"]


@pytest.fixture
def stranger(server: LocalServer) -> httpx.Client:
    return httpx.Client(base_url=server.url)


def keys(server: LocalServer, *words: str) -> str:
    """`sandlot keys …` on the server's machine."""
    environment = os.environ | {"SANDLOT_DATA_DIR": str(server.folder / "data")}
    command = [sys.executable, "-m", "sandlot.cli.main", "keys", *words]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_key(stranger: httpx.Client, address: str) -> None:
    answer = stranger.get(address)
    refused(answer, 401, "unauthenticated", "X-API-Key", "Authorization: Bearer", "sandlot keys create")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-API-Key": SOMEBODYS}, ["nobody holds this key", "sandlot keys ls"]),
        ({"Authorization": f"Bearer {SOMEBODYS}"}, ["nobody holds this key"]),
        ({"X-API-Key": "let me in"}, ["not a key", "sl_"]),
        ({"X-API-Key": ""}, ["not a key", "sl_"]),
        ({"X-API-Key": "sl_" + "A" * 40}, ["not a key", "sl_"]),
        ({"X-API-Key": b"sl_\xff\xfe"}, ["not a key", "sl_"]),
        ({"X-API-Key": "sl_" + "0" * 30_000}, ["not a key", "sl_"]),
        ({"Authorization": "Basic c2w6c2w="}, ["a key is needed"]),
        ({"Authorization": "Bearer"}, ["not a key"]),
    ],
)
def test_a_wrong_key(stranger: httpx.Client, headers: dict[str, str], words: list[str]) -> None:
    for address in ADDRESSES:
        refused(stranger.get(address, headers=headers), 401, "unauthenticated", *words)


def test_a_stranger_learns_nothing_of_what_is_wrong_besides(stranger: httpx.Client) -> None:
    for answer in (
        stranger.post(SANDBOXES, content=b"{"),
        stranger.post(SANDBOXES, content=b"x" * 2_000_000),
        stranger.get(f"{SANDBOXES}/nope"),
        stranger.get(f"{SANDBOXES}?nope=1"),
    ):
        refused(answer, 401, "unauthenticated", "a key is needed")
    # A key in an address would be in every proxy's log: only a browser's WebSocket may do that.
    refused(stranger.get(f"{SANDBOXES}?api_key={SOMEBODYS}"), 401, "unauthenticated", "a key is needed")


def test_a_terminal_without_a_key_is_refused_before_the_handshake(server: LocalServer) -> None:
    address = f"{server.url.replace('http', 'ws')}{SANDBOXES}/sb{'a' * 20}/terminal"
    for query in ("", f"?api_key={SOMEBODYS}"):
        with pytest.raises(InvalidStatus) as caught:
            connect(address + query)
        assert caught.value.response.status_code == 401
        assert caught.value.response.body
        named(json.loads(caught.value.response.body), "unauthenticated", "key")


def test_health_needs_no_key_and_tells_nothing(stranger: httpx.Client) -> None:
    assert stranger.get("/healthz").json() == {"status": "ok"}
    assert stranger.get("/readyz").json() == {"status": "ready"}


def test_a_revoked_key_is_refused(server: LocalServer, stranger: httpx.Client) -> None:
    key = keys(server, "create", "for a moment")
    stranger.headers["X-API-Key"] = key
    assert stranger.get(SANDBOXES).status_code == 200
    [id] = [each["id"] for each in json.loads(keys(server, "ls", "--json")) if each["name"] == "for a moment"]
    assert key not in keys(server, "ls")
    keys(server, "revoke", id)
    answer = until(
        lambda: found if (found := stranger.get(SANDBOXES)).status_code != 200 else None, "its refusal"
    )
    refused(answer, 401, "unauthenticated", "revoked", "sandlot keys ls")
    assert httpx.get(server.url + SANDBOXES, headers={"X-API-Key": server.key}).status_code == 200
