"""With another tenant's key there is nothing to be found, at any address there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import httpx
import pytest
from starlette.routing import WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sandlot.core.ids import new_sandbox_id
from sandlot.doors import native
from sandlot.server.local import LocalServer
from tests.integration.api.wire import SANDBOXES, lines, refused, until

from .conftest import Client, Operator, Tenants, tenants_of

SECRET = "the-words-nobody-else-may-read"
ALL_STATES = "creating,running,pausing,paused,resuming,killing,killed,failed"


@dataclass(frozen=True)
class Victim:
    """A sandbox full of secrets, and whose it is."""

    id: str
    ended: str
    command: int
    context: str
    owner: Client
    seen: dict[str, Any]

    @property
    def at(self) -> str:
        return f"{SANDBOXES}/{self.id}"


@pytest.fixture(scope="module")
def tenants(server: LocalServer) -> Iterator[Tenants]:
    yield from tenants_of(server)


@pytest.fixture(scope="module")
def victim(tenants: Tenants) -> Victim:
    owner = tenants("owner")
    secrets = {"metadata": {"job": SECRET}, "env": {"TOKEN": SECRET}, "timeout_s": 1800}
    ended = owner.make(**secrets)
    owner.kill(ended)
    body = {"template": "code-interpreter", "isolation": "container"} | secrets
    made = owner.post(SANDBOXES, json=body)
    assert made.status_code == 201, made.text
    id = made.json()["id"]
    at = f"{SANDBOXES}/{id}"
    owner.put(f"{at}/files?path=secret.txt", content=SECRET).raise_for_status()
    script = f"echo {SECRET}; exec sleep 3600"
    started = owner.post(f"{at}/commands", json={"command": script, "background": True, "timeout_s": None})
    context = owner.post(f"{at}/contexts", json={}).raise_for_status().json()["id"]
    lines(owner.post(f"{at}/code", json={"code": f"kept = '{SECRET}'", "context": context}))
    command = started.json()["id"]
    return Victim(id, ended, command, context, owner, state_of(owner, at, command, context))


@pytest.fixture(scope="module")
def intruder(tenants: Tenants, victim: Victim) -> Client:
    return tenants("intruder")


def state_of(owner: Client, at: str, command: int, context: str) -> dict[str, Any]:
    """All of the sandbox that a stranger's request could have changed."""
    code = lines(owner.post(f"{at}/code", json={"code": "kept", "context": context}))
    return {
        "sandbox": owner.get(at).json(),
        "file": owner.get(f"{at}/files?path=secret.txt").text,
        "home": sorted(each["name"] for each in owner.get(f"{at}/files/list?path=.").json()["files"]),
        "command": owner.get(f"{at}/commands/{command}").json(),
        "commands": len(owner.get(f"{at}/commands").json()["commands"]),
        "contexts": owner.get(f"{at}/contexts").json(),
        "kept": [each["text"] for each in code if each["type"] == "result"],
        "events": owner.get(f"{at}/events").json(),
    }


# ── every route that the API's own description has ───────────────────────────────────────────────────────


def operations(server: LocalServer) -> list[tuple[str, str, dict[str, Any]]]:
    schema = httpx.get(f"{server.url}/openapi.json").json()
    return [
        (method.upper(), path, resolved(operation, schema))
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def resolved(node: Any, schema: dict[str, Any]) -> Any:
    """Without references, but for recursive ones."""
    if isinstance(node, dict):
        if (ref := node.get("$ref")) is not None:
            return schema["components"]["schemas"][ref.rsplit("/", 1)[-1]]
        return {key: resolved(value, schema) for key, value in node.items()}
    return [resolved(each, schema) for each in node] if isinstance(node, list) else node


_VALUES = {
    "path": "secret.txt", "source": "secret.txt", "target": "taken.txt", "command": "cat secret.txt",
    "code": "print(kept)", "signal": "KILL", "timeout_s": 1, "rows": 24, "cols": 80, "language": "python",
    "snapshot": "kept",
}  # fmt: skip


def sockets() -> list[str]:
    """The addresses of WebSockets, which the description does not have."""
    rooms = [import_module(f"{native.__name__}.{each.name}") for each in iter_modules(native.__path__)]
    routes = [route for room in rooms if hasattr(room, "router") for route in room.router.routes]
    return [route.path for route in routes if isinstance(route, WebSocketRoute)]


def request(
    client: Client, method: str, path: str, operation: dict[str, Any], victim: Victim, id: str
) -> Any:
    """The operation, aimed at ``id`` as well as its owner could, with all that makes it a good request."""
    names = {"sandbox_id": id, "command_id": victim.command, "context_id": victim.context}
    query = {
        each["name"]: _VALUES[each["name"]]
        for each in operation.get("parameters", [])
        if each["in"] == "query" and each.get("required")
    }
    content = operation.get("requestBody", {}).get("content", {})
    options: dict[str, Any] = {}
    if (described := content.get("application/json")) is not None:
        fields = described["schema"]["properties"]
        wanted = set(described["schema"].get("required", ())) | (fields.keys() & {"command"})
        options["json"] = {name: _VALUES[name] for name in wanted}
    elif content:
        options["content"] = b"overwritten"
    return client.request(method, path.format(**names), params=query, **options)


def anonymous(answer: httpx.Response, id: str) -> tuple[int, str, dict[str, str]]:
    """What an answer says, whatever the id was."""
    headers = {name: answer.headers[name] for name in answer.headers if name not in ("date", "x-request-id")}
    return answer.status_code, answer.text.replace(id, "ID"), headers


def test_another_tenants_sandbox_is_one_that_never_was(
    server: LocalServer, victim: Victim, intruder: Client
) -> None:
    walked = 0
    for method, path, operation in operations(server):
        if "{sandbox_id}" not in path:
            continue
        for id in (victim.id, victim.ended):
            never = new_sandbox_id()
            found = request(intruder, method, path, operation, victim, id)
            missed = request(intruder, method, path, operation, victim, never)
            refused(found, 404, "not_found", "no sandbox has the id")
            assert anonymous(found, id) == anonymous(missed, never), f"{method} {path}"
        walked += 1
    assert walked >= 28, "the walk has lost its way"
    assert state_of(victim.owner, victim.at, victim.command, victim.context) == victim.seen


def test_what_has_no_sandbox_in_its_address_tells_nothing_of_one(
    server: LocalServer, victim: Victim, intruder: Client
) -> None:
    for method, path, operation in operations(server):
        if "{" in path:
            continue
        answer = request(intruder, method, path, operation, victim, victim.id)
        assert answer.status_code < 500
        for word in (SECRET, victim.id, victim.ended, "owner"):
            assert word not in answer.text, f"{method} {path}"
    intruder.clear()


def test_a_terminal_is_not_opened_into_it(server: LocalServer, victim: Victim, intruder: Client) -> None:
    paths = sockets()
    assert "/v1/sandboxes/{sandbox_id}/terminal" in paths
    for path in paths:
        for query in ("", "?command=cat%20secret.txt", f"?command_id={victim.command}"):
            answers = []
            for id in (victim.id, victim.ended, new_sandbox_id()):
                address = server.url.replace("http", "ws") + path.format(sandbox_id=id) + query
                with pytest.raises(InvalidStatus) as caught:
                    connect(address, additional_headers={"X-API-Key": intruder.key})
                body = (caught.value.response.body or b"").decode()
                answers.append((caught.value.response.status_code, body.replace(id, "ID")))
            assert answers[0][0] == 404
            assert "not_found" in answers[0][1]
            assert len(set(answers)) == 1
    assert state_of(victim.owner, victim.at, victim.command, victim.context) == victim.seen


def test_lists_filters_and_cursors_show_ones_own_alone(victim: Victim, intruder: Client) -> None:
    mine = intruder.make()
    everything = {"state": ALL_STATES}
    owners = victim.owner.get(SANDBOXES, params=everything | {"limit": 1}).json()
    assert [each["id"] for each in owners["sandboxes"]] == [victim.id]
    cursor = owners["next_cursor"]
    older = victim.owner.get(SANDBOXES, params=everything | {"cursor": cursor}).json()
    assert [each["id"] for each in older["sandboxes"]] == [victim.ended]
    for params in (everything, {}, everything | {"cursor": cursor}, {"metadata": f"job:{SECRET}"}):
        answer = intruder.get(SANDBOXES, params=params)
        assert not {each["id"] for each in answer.json()["sandboxes"]} & {victim.id, victim.ended}
        assert SECRET not in answer.text
    assert [each["id"] for each in intruder.get(SANDBOXES).json()["sandboxes"]] == [mine]
    intruder.kill(mine)


def test_everybody_is_told_of_their_own_use(victim: Victim, intruder: Client) -> None:
    assert intruder.tenant()["name"] == "intruder"
    assert intruder.tenant()["use"]["sandboxes"] == 0
    assert victim.owner.tenant()["use"]["sandboxes"] == 1


def test_the_figures_of_all_tenants_are_the_operators(victim: Victim, intruder: Client) -> None:
    answer = intruder.get("/metrics")
    refused(answer, 403, "permission_denied", "tenant")
    assert "owner" not in answer.text


def test_a_revoked_key_and_a_removed_tenant_are_nobody(tenants: Tenants, operator: Operator) -> None:
    first = tenants("leaver")
    id = first.make()
    assert "has 1 key;" in operator.tries("tenants", "rm", "leaver").stderr
    turned_away(first, operator)
    assert "has 1 sandbox;" in operator.tries("tenants", "rm", "leaver").stderr
    with operator.client_of("leaver") as second:
        second.kill(id)
        turned_away(second, operator)
        operator("tenants", "rm", "leaver")
        turned_away(second, operator)
    assert "leaver" not in operator("tenants", "ls")
    namesake = tenants("leaver")
    assert namesake.get(SANDBOXES, params={"state": ALL_STATES}).json()["sandboxes"] == []
    refused(namesake.get(f"{SANDBOXES}/{id}"), 404, "not_found")


def turned_away(client: Client, operator: Operator) -> None:
    """Once the keys of its tenant are revoked."""
    for key in operator.keys_of("leaver"):
        operator("keys", "revoke", key)
    until(lambda: client.get("/v1/tenant").status_code == 401, "the end of its key")
    refused(client.ask(), 401, "unauthenticated", "revoked")
