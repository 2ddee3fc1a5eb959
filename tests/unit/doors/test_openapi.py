"""The API's description is complete: whoever reads nothing else can still use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from sandlot.doors import native


@pytest.fixture
def schema(app: FastAPI) -> dict[str, Any]:
    schema = app.openapi()
    native.describe(schema)
    return schema


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_operation_says_what_it_does_how_it_fails_and_that_it_needs_a_key(
    schema: dict[str, Any],
) -> None:
    for name, operation in operations(schema):
        assert operation["description"], name
        assert {"400", "401", "503"} <= operation["responses"].keys(), name
        assert operation["security"] == [{"header": []}, {"bearer": []}], name
        failures = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        for status, answer in failures.items():
            reference = answer["content"]["application/json"]["schema"]["$ref"]
            assert reference == "#/components/schemas/ErrorAnswer", (name, status)


def test_every_parameter_is_described(schema: dict[str, Any]) -> None:
    for name, operation in operations(schema):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in set(references(schema)):
        assert reference.removeprefix("#/components/schemas/") in schema["components"]["schemas"]


def test_streams_show_their_lines(schema: dict[str, Any]) -> None:
    streams = [
        name
        for name, operation in operations(schema)
        if "application/x-ndjson" in operation["responses"].get("200", {}).get("content", {})
    ]
    assert streams == [
        "post /v1/sandboxes/{sandbox_id}/commands",
        "get /v1/sandboxes/{sandbox_id}/commands/{command_id}/output",
        "post /v1/sandboxes/{sandbox_id}/code",
        "get /v1/sandboxes/{sandbox_id}/files/watch",
    ]


def test_answers_in_json_have_a_shape(schema: dict[str, Any]) -> None:
    for name, operation in operations(schema):
        for status, answer in operation["responses"].items():
            if (shape := answer.get("content", {}).get("application/json")) is not None:
                assert "$ref" in shape["schema"], (name, status)


def test_whoever_sends_a_body_learns_what_may_be_wrong_with_it(schema: dict[str, Any]) -> None:
    for name, operation in operations(schema):
        if "requestBody" in operation:
            assert {"408", "413"} <= operation["responses"].keys(), name
