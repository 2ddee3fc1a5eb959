"""Each error that E2B's clients can raise, provoked: it arrives as that type, with words that help."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import e2b
import httpx
import pytest
from e2b import AsyncSandbox, Sandbox, SandboxQuery, Secret, Template, Volume

from sandlot.server.local import LocalServer
from tests.integration.tenants.conftest import Tenants

from .conftest import Make
from .environment import key_of

GONE = "sb" + "a" * 20
NOT_YET = "not yet"


# ── AuthenticationException ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.e2b("AuthenticationException")
@pytest.mark.parametrize("key", ["e2b_" + "0" * 40, "sl_" + "0" * 40, "e2b_", "x"])
def test_a_key_that_nobody_holds(server: LocalServer, key: str) -> None:
    with pytest.raises(e2b.AuthenticationException, match="key"):
        Sandbox.create("base", api_key=key)
    with pytest.raises(e2b.AuthenticationException, match="key"):
        Sandbox.list(api_key=key).next_items()


async def test_a_key_that_nobody_holds_without_blocking(server: LocalServer) -> None:
    with pytest.raises(e2b.AuthenticationException, match="sandlot keys"):
        await AsyncSandbox.create("base", api_key="e2b_" + "0" * 40)


def test_what_is_not_there_yet_is_told_to_no_stranger(server: LocalServer) -> None:
    assert httpx.get(f"{server.url}/volumes").status_code == 401


def test_the_token_of_another_sandbox(shared: Sandbox, make: Make) -> None:
    other = make()
    url = f"{shared.connection_config.get_sandbox_url(shared.sandbox_id, '')}/health"
    tokens = {
        one.sandbox_id: one.connection_config.sandbox_headers["X-Access-Token"] for one in (shared, other)
    }
    for id, token in tokens.items():
        headers = {"E2b-Sandbox-Id": shared.sandbox_id, "X-Access-Token": token}
        expected = 204 if id == shared.sandbox_id else 401
        assert httpx.get(url, headers=headers).status_code == expected


# ── NotFoundException, SandboxNotFoundException, SandboxNotRunningException ──────────────────────────────


@pytest.mark.e2b("SandboxNotFoundException", "NotFoundException")
@pytest.mark.parametrize("id", [GONE, "never-was", "a.b", "a b/ü"])
def test_a_sandbox_that_never_was(server: LocalServer, id: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: Sandbox.get_info(id),
        lambda: Sandbox.connect(id),
        lambda: Sandbox.set_timeout(id, 60),
        lambda: Sandbox.get_metrics(id),
    ]
    for call in calls:
        with pytest.raises(e2b.SandboxNotFoundException):
            call()


@pytest.mark.e2b("SandboxNotRunningException")
def test_a_sandbox_that_has_ended(make: Make) -> None:
    sandbox = make()
    sandbox.kill()
    with pytest.raises(e2b.SandboxNotFoundException):
        sandbox.get_info()
    with pytest.raises(e2b.SandboxNotFoundException):
        sandbox.set_timeout(60)
    with pytest.raises(e2b.SandboxNotFoundException):
        sandbox.connect()
    with pytest.raises(e2b.SandboxNotFoundException):
        sandbox.get_metrics()
    with pytest.raises(e2b.SandboxNotRunningException, match=sandbox.sandbox_id):
        sandbox.commands.run("true")
    with pytest.raises(e2b.SandboxNotRunningException):
        sandbox.files.read("/etc/hostname")


def test_anothers_sandbox_is_none(make: Make, tenants: Tenants) -> None:
    sandbox = make()
    other = tenants("stranger").key
    with pytest.raises(e2b.SandboxNotFoundException):
        Sandbox.get_info(sandbox.sandbox_id, api_key=other)
    with pytest.raises(e2b.SandboxNotFoundException):
        Sandbox.connect(sandbox.sandbox_id, api_key=other)
    assert Sandbox.kill(sandbox.sandbox_id, api_key=other) is False
    assert Sandbox.list(api_key=other).next_items() == []
    assert sandbox.is_running() is True


def test_no_operation_tells_anothers_sandbox_from_none(
    make: Make, tenants: Tenants, server: LocalServer
) -> None:
    sandbox = make()
    intruder = tenants("stranger")
    named = [(method, path) for method, path in OPERATIONS if GONE in path]
    for method, path in [*named, ("GET", f"/sandboxes/metrics?sandbox_ids={GONE}")]:
        theirs = intruder.request(method, path.replace(GONE, sandbox.sandbox_id), json={"timeout": 60})
        nobodys = intruder.request(method, path, json={"timeout": 60})
        assert theirs.status_code == nobodys.status_code
        assert theirs.text.replace(sandbox.sandbox_id, GONE) == nobodys.text
    assert sandbox.is_running() is True
    assert sandbox.get_info().end_at.timestamp() > time.time() + 100


@pytest.mark.e2b("FileNotFoundException")
def test_a_file_that_is_not_there(shared: Sandbox) -> None:
    with pytest.raises(e2b.FileNotFoundException, match="/nowhere"):
        shared.files.read("/nowhere")


# ── RateLimitException ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.e2b("RateLimitException")
def test_a_quota_that_is_used_up(tenants: Tenants) -> None:
    client = tenants("few", "--max-sandboxes", "2")
    made = [Sandbox.create("base", api_key=client.key) for _ in range(2)]
    with pytest.raises(e2b.RateLimitException, match="max_sandboxes, which is 2") as raised:
        Sandbox.create("base", api_key=client.key, retries=0)
    assert raised.value.status_code == 429
    answer = client.post("/v2/sandboxes", json={"templateID": "base"})
    assert (answer.status_code, answer.json()["code"]) == (429, 429)
    assert int(answer.headers["retry-after"]) >= 1
    made[0].kill()
    Sandbox.create("base", api_key=client.key, retries=0).kill()
    made[1].kill()


# ── TimeoutException ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.e2b("TimeoutException")
def test_a_command_that_takes_too_long(shared: Sandbox) -> None:
    with pytest.raises(e2b.TimeoutException, match="timeout"):
        shared.commands.run("sleep 600", timeout=0.5)


def test_a_request_that_takes_too_long(server: LocalServer) -> None:
    with pytest.raises((e2b.TimeoutException, httpx.TimeoutException)):
        Sandbox.create("base", request_timeout=0.001)


# ── NotEnoughSpaceException ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.e2b("NotEnoughSpaceException")
def test_a_disk_that_is_full(server: LocalServer) -> None:
    import sandlot

    small = sandlot.Sandbox.create(disk_mib=64)
    try:
        sandbox = Sandbox.connect(small.id)
        with pytest.raises(e2b.NotEnoughSpaceException, match="disk"):
            sandbox.files.write("/home/user/large", b"\0" * (80 << 20))
        sandbox.files.write("/home/user/little", "there is room again")
    finally:
        small.kill()


# ── InvalidArgumentException, SandboxException ───────────────────────────────────────────────────────────


@pytest.mark.e2b("InvalidArgumentException")
def test_a_value_that_cannot_be(shared: Sandbox) -> None:
    with pytest.raises(e2b.InvalidArgumentException, match="/etc/hostname"):
        shared.files.list("/etc/hostname")
    with pytest.raises(e2b.InvalidArgumentException):
        shared.files.write("/etc", "a folder is no file")


@pytest.mark.e2b("SandboxException")
@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"template": "never-was"}, 404, "there is no template 'never-was'. Built: base"),
        ({"timeout": -1}, 400, "timeout_s must be from 1 to"),
        ({"timeout": 10**9}, 400, "timeout_s must be from 1 to"),
        ({"metadata": {"a": "x" * 70_000}}, 400, "metadata may hold at most"),
        ({"envs": {"A=B": "c"}}, 400, "env: the name 'A=B'"),
        ({"timeout": "soon"}, 400, "timeout: expected `float | null`, got `str`"),
        ({"metadata": {"a": 1}}, 400, r"metadata\[...\]: expected `str`, got `int`"),
    ],
)
def test_what_cannot_be_made(server: LocalServer, options: dict[str, Any], status: int, words: str) -> None:
    with pytest.raises(e2b.SandboxException, match=words) as raised:
        Sandbox.create(**options)
    assert raised.value.status_code == status


def test_a_key_of_another_creation(make: Make) -> None:
    key = f"once-{uuid4()}"
    make(idempotency_key=key)
    with pytest.raises(e2b.SandboxException, match="belongs to an earlier creation") as raised:
        make(idempotency_key=key, timeout=77)
    assert raised.value.status_code == 422


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 1001}, "limit must be from 1 to 1000"),
        ({"next_token": "x"}, "cursor"),
        ({"query": SandboxQuery(template="never-was")}, None),
    ],
)
def test_a_list_that_cannot_be(server: LocalServer, options: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert Sandbox.list(**options).next_items() == []
        return
    with pytest.raises(e2b.SandboxException, match=words):
        Sandbox.list(**options).next_items()


@pytest.mark.parametrize(
    "options",
    [
        {"network": {"allow_out": ["1.1.1.1"], "deny_out": ["0.0.0.0/0"]}},
        {"network": {"deny_out": ["8.8.8.8"]}},
        {"network": {"rules": {"a.test": [{"transform": {"headers": {"a": "b"}}}]}}},
        {"network": {"egress_proxy": {"address": "a.test:1080"}}},
        {"network": {"dns_servers": ["1.1.1.1"]}},
        {"network": {"mask_request_host": "a.test"}},
        {"network": {"https_ports": [8443]}},
        {"volume_mounts": {"/data": "volume"}},
        {"mcp": {"duckduckgo": {}}},
        {"iam": {"tokens": {"aws": {"audience": "a", "token_type": "JWT-SVID"}}}},
    ],
    ids=str,
)
def test_what_would_be_ignored_is_refused(server: LocalServer, options: dict[str, Any]) -> None:
    with pytest.raises(e2b.SandboxException, match="not supported yet by this server") as raised:
        Sandbox.create("base", **options)
    assert raised.value.status_code == 501


def test_what_is_not_there_yet_says_so(shared: Sandbox) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: shared.update_network({"deny_out": ["0.0.0.0/0"]}),
        lambda: Volume.create("data"),
        lambda: Volume.list(),
        lambda: Secret.list().next_items(),
        lambda: Template.build(Template().from_image("debian"), "mine"),
        lambda: Template.get_tags("base"),
    ]
    for call in calls:
        with pytest.raises(Exception, match=NOT_YET) as raised:
            call()
        assert type(raised.value).__module__ == "e2b.exceptions"


def test_every_operation_of_the_api_answers(server: LocalServer) -> None:
    """None is unknown, and none is an accident."""
    with httpx.Client(base_url=server.url, headers={"X-API-Key": key_of(server)}, timeout=60) as client:
        for method, path in OPERATIONS:
            answer = client.request(method, path)
            assert answer.status_code in {200, 400, 404, 501}, (method, path, answer.text)
            if answer.status_code == 501:
                assert answer.headers["should-retry"] == "false"
            if answer.status_code >= 400:
                assert answer.json()["code"] == answer.status_code
                assert "no such address" not in answer.json()["message"]


OPERATIONS = [
    operation.split()
    for operation in f"""
    GET /default-templates
    POST /sandboxes
    GET /sandboxes
    GET /sandboxes/metrics
    GET /sandboxes/{GONE}
    DELETE /sandboxes/{GONE}
    POST /sandboxes/{GONE}/connect
    POST /sandboxes/{GONE}/fork
    GET /sandboxes/{GONE}/logs
    GET /sandboxes/{GONE}/metrics
    PUT /sandboxes/{GONE}/network
    POST /sandboxes/{GONE}/pause
    POST /sandboxes/{GONE}/refreshes
    POST /sandboxes/{GONE}/resume
    POST /sandboxes/{GONE}/snapshots
    POST /sandboxes/{GONE}/timeout
    GET /secrets
    POST /secrets
    GET /secrets/x
    DELETE /secrets/x
    POST /secrets/x
    GET /snapshots
    GET /templates
    GET /templates/aliases/x
    DELETE /templates/tags
    POST /templates/tags
    PATCH /templates/x
    DELETE /templates/x
    GET /templates/x
    GET /templates/x/builds/y/logs
    GET /templates/x/builds/y/status
    GET /templates/x/files/y
    GET /templates/x/tags
    GET /templates/x/tags/count
    GET /templates/x/tags/exists
    GET /templates/x/tags/groups
    GET /templates/x/tags/y/assignments
    GET /v2/sandboxes
    POST /v2/sandboxes
    POST /v2/sandboxes/{GONE}/connect
    GET /v2/sandboxes/{GONE}/logs
    GET /v2/templates
    PATCH /v2/templates/x
    POST /v2/templates/x/builds/y
    POST /v3/templates
    POST /volumecontent/x/dir
    GET /volumecontent/x/dir
    GET /volumecontent/x/file
    PUT /volumecontent/x/file
    PATCH /volumecontent/x/path
    DELETE /volumecontent/x/path
    GET /volumecontent/x/path
    GET /volumes
    POST /volumes
    GET /volumes/x
    DELETE /volumes/x
    """.split("\n")
    if operation.strip()
]
