"""Whatever the API's own description allows to be sent, and what it forbids: the answer is as described.

``SCHEMA_EXAMPLES`` is how many requests each route gets; there is no end to what may be tried.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sandlot.server.app import create_app
from sandlot.server.backend import Backend
from sandlot.server.local import LocalServer
from sandlot.server.settings import Settings

from .wire import SANDBOXES, lines

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "16"))
STREAMS = "application/x-ndjson"
LISTEN_S = 0.2
MOST_BYTES = 256 * 1024
ENDS_A_SANDBOX = {f"DELETE {SANDBOXES}/{{sandbox_id}}", f"POST {SANDBOXES}/{{sandbox_id}}/timeout"}
PAUSES = f"POST {SANDBOXES}/{{sandbox_id}}/pause"
STOPS_A_SANDBOX = {PAUSES, *(f"POST {SANDBOXES}/{{sandbox_id}}/{verb}" for verb in ("rollback", "snapshots"))}
TAKES_LONG = {f"POST {SANDBOXES}", f"POST {SANDBOXES}/{{sandbox_id}}/contexts", *STOPS_A_SANDBOX}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]

NO_BACKEND = Backend(cast(Any, None), cast(Any, None))
DESCRIPTION = create_app(Settings(data_dir=Path("unused")), NO_BACKEND).openapi()
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(DESCRIPTION).get_all_operations()]

TAR = "application/x-tar"
schemathesis.openapi.media_type(TAR, st.binary(max_size=2048))


@schemathesis.serializer(TAR)
def as_it_is(_: schemathesis.SerializationContext, content: Any) -> Any:
    return content


@dataclass(frozen=True)
class Real:
    """What there is on the server, to be named in requests."""

    sandbox: str
    expendable: str
    resting: str
    commands: tuple[int, ...]
    snapshots: tuple[str, ...]
    contexts: tuple[str, ...] = ("default-python",)


@pytest.fixture(scope="module")
def real(http: httpx.Client) -> Iterator[Real]:
    ids = []
    for template in ("code-interpreter", "base", "base"):
        body = {"template": template, "isolation": "container", "timeout_s": 1800}
        ids.append(http.post(SANDBOXES, json=body).raise_for_status().json()["id"])
    at = f"{SANDBOXES}/{ids[0]}"
    lines(http.post(f"{at}/code", json={"code": "1"}))
    commands = [
        http.post(f"{at}/commands", json={"background": True, "timeout_s": None, **body}).json()["id"]
        for body in (
            {"args": ["cat"], "stdin": True},
            {"args": ["sleep", "1000"]},
            {"command": "echo; exit 3"},
        )
    ]
    kept = http.post(f"{SANDBOXES}/{ids[2]}/snapshots", json={"name": "real/one"}).raise_for_status().json()
    yield Real(*ids, tuple(commands), (kept["id"], "real/one"))
    for id in ids:
        http.delete(f"{SANDBOXES}/{id}")
    for left in http.get("/v1/snapshots", params={"limit": 1000}).json()["snapshots"]:
        http.delete(f"/v1/snapshots/{left['id']}")


def cases(operation: APIOperation, real: Real) -> st.SearchStrategy[Case]:
    """Right and wrong ones, most of them of things that there are."""
    sandbox = real.sandbox
    if operation.label in ENDS_A_SANDBOX:
        sandbox = real.expendable
    elif operation.label in STOPS_A_SANDBOX:
        sandbox = real.resting
    known: dict[str, st.SearchStrategy[Any]] = {
        "sandbox_id": st.just(sandbox),
        "command_id": st.sampled_from(real.commands),
        "context_id": st.sampled_from(real.contexts),
        "snapshot": st.sampled_from(real.snapshots),
    }
    named = {each.name: known[each.name] for each in operation.path_parameters}

    def naming(case: Case, real_ones: dict[str, Any] | None) -> Case:
        case.path_parameters |= real_ones or {}
        return case

    generated = st.one_of(*[operation.as_strategy(mode) for mode in GenerationMode])
    real_ones = st.sampled_from([True, True, True, False]).flatmap(
        lambda yes: st.fixed_dictionaries(named) if yes else st.none()
    )
    return st.builds(naming, generated, real_ones)


def answered(http: httpx.Client, case: Case) -> Response:
    """Of a stream, which may have no end, its beginning."""
    asked = requests.Request(**case.as_transport_kwargs(base_url=str(http.base_url))).prepare()
    headers = {
        name: value
        for name, value in asked.headers.items()
        if name.lower() not in ("x-api-key", "authorization")
    }
    request = http.build_request(case.method, str(asked.url), headers=headers, content=asked.body)
    response = http.send(request, stream=True)
    content = b""
    try:
        if response.headers.get("content-type") == STREAMS:
            request.extensions["timeout"]["read"] = LISTEN_S
        for piece in response.iter_raw():
            content += piece
            if len(content) > MOST_BYTES:
                break
    except httpx.ReadTimeout:
        pass
    finally:
        response.close()
    answer_headers = {name: [value] for name, value in response.headers.items()}
    return Response(response.status_code, answer_headers, content, asked, 0.0, verify=False)


def test_the_server_describes_itself_so(http: httpx.Client) -> None:
    assert http.get("/openapi.json").json() == DESCRIPTION


@pytest.mark.parametrize("operation", OPERATIONS, ids=[each.label for each in OPERATIONS])
def test_any_request(http: httpx.Client, server: LocalServer, real: Real, operation: APIOperation) -> None:
    examples = EXAMPLES // 4 if operation.label in TAKES_LONG else EXAMPLES

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases(operation, real))
    def ask(case: Case) -> None:
        answer = answered(http, case)
        checks = list(CHECKS)
        if answer.headers["content-type"] == ["application/json"]:
            checks.append(response_schema_conformance)
        case.validate_response(answer, checks=checks)
        if operation.label == f"POST {SANDBOXES}" and answer.status_code == 201:
            http.delete(f"{SANDBOXES}/{answer.json()['id']}").raise_for_status()
        if operation.label == PAUSES and answer.status_code == 200:
            http.post(f"{SANDBOXES}/{answer.json()['id']}/resume").raise_for_status()

    ask()
