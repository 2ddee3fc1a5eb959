"""Requests for a sandbox that can never be one: each is refused, says why, and leaves nothing."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from .wire import SANDBOXES, refused


def known(http: httpx.Client) -> list[dict[str, Any]]:
    """All sandboxes of the server, ended ones as well."""
    answer = http.get(SANDBOXES, params={"state": "creating,running,killing,killed,failed", "limit": 1000})
    return list(answer.json()["sandboxes"])


@pytest.mark.parametrize("name", ["no-such-template", "../../etc", "a\0b", ""])
def test_an_unknown_template_names_those_there_are(http: httpx.Client, name: str) -> None:
    before = known(http)
    answer = http.post(SANDBOXES, json={"template": name})
    refused(answer, 404, "not_found", repr(name), "base", "code-interpreter", "sandlot templates build")
    assert known(http) == before


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("cpus", -1, ["0.05", "64", "-1"]),
        ("cpus", 0, ["0.05", "64", "0"]),
        ("cpus", 1e300, ["0.05", "64", "1e+300"]),
        ("memory_mib", -5, ["64", "262144", "-5"]),
        ("memory_mib", 10**30, ["64", "262144", "1e+30"]),
        ("memory_mib", 10**400, ["64", "262144"]),
        ("memory_mib", 512.5, ["integer"]),
        ("disk_mib", 1, ["64", "1048576", "1"]),
        ("pids", 0, ["8", "32768", "0"]),
        ("pids", 2**63, ["8", "32768"]),
        ("timeout_s", -1, ["1", "2592000", "-1"]),
        ("timeout_s", 0, ["1", "2592000", "0"]),
        ("timeout_s", 1e12, ["2592000", "1000000000000"]),
        ("isolation", "vm", ["gvisor", "container"]),
        ("hostname", "not a name", ["a-z", "63"]),
        ("hostname", "x" * 64, ["63"]),
        ("env", {"A=B": "x"}, ["A=B", "="]),
        ("env", {"": "x"}, ["empty"]),
        ("env", {"A": "\0"}, ["'A'", "NUL"]),
        ("env", {"A": "\ud800"}, ["'A'", "surrogate", "Unicode"]),
        ("metadata", {"k": "\udcff"}, ["'k'", "surrogate", "Unicode"]),
        ("metadata", {"k": None}, ["metadata.k", "string"]),
    ],
)
def test_absurd_values_name_the_field_and_its_bounds(
    http: httpx.Client, field: str, value: Any, words: list[str]
) -> None:
    before = known(http)
    answer = http.post(SANDBOXES, content=json.dumps({field: value}))
    refused(answer, 400, "invalid_argument", field, *words)
    assert known(http) == before


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("cpus", "1", "number"),
        ("cpus", True, "number"),
        ("memory_mib", "512", "integer"),
        ("memory_mib", [512], "integer"),
        ("internet", "no", "boolean"),
        ("internet", 0, "boolean"),
        ("env", [], "dictionary"),
        ("env", {"A": 1}, "string"),
        ("template", 7, "string"),
        ("template", None, "string"),
        ("timeout_s", {}, "number"),
        ("template", "\ud800", "string"),
    ],
)
def test_a_wrong_type_is_not_made_to_fit(http: httpx.Client, field: str, value: Any, word: str) -> None:
    answer = http.post(SANDBOXES, content=json.dumps({field: value}))
    error = refused(answer, 400, "invalid_argument", field, word)
    assert error["details"]["problems"][0]["field"].startswith(field)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ["JSON body is needed"]),
        (b"{", ["not JSON", "byte 1"]),
        (b'{"template":"base"} x', ["not JSON", "byte 20"]),
        (b"[]", ["JSON object"]),
        (b"null", ["JSON object"]),
        (b'"base"', ["JSON object"]),
        (b"template=base", ["not JSON"]),
        (b"[" * 100_000, ["nested too deeply"]),
        (b'{"env":' * 10_000 + b"1" + b"}" * 10_000, ["nested too deeply"]),
        (b'{"template":"\xff\xfe"}', ["not valid UTF-8"]),
        (b"\x1f\x8b\x08\x00", ["not valid UTF-8"]),
        (b'{"memory_mib":' + b"9" * 5000 + b"}", ["digits"]),
        (b'{"cpus":NaN}', ["cpus", "finite"]),
        (b'{"timeout_s":Infinity}', ["timeout_s", "finite"]),
        (b'{"timeout_s":-Infinity}', ["timeout_s", "finite"]),
        (b'{"timeout_s":1e999}', ["timeout_s", "finite"]),
        (b'{"memory_mib":NaN}', ["memory_mib", "integer"]),
        (b'{"tiemout_s":5}', ["tiemout_s", "timeout_s"]),
        (b'{"cpus":1,"cpus":-1}', ["cpus", "0.05"]),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else "",
)
def test_what_is_no_request(http: httpx.Client, body: bytes, words: list[str]) -> None:
    """Of a key that comes twice the last one counts, as everywhere in JSON."""
    refused(http.post(SANDBOXES, content=body), 400, "invalid_argument", *words)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", ["limit", "1 to 1000"]),
        ("limit=99999999999999999999999", ["limit", "1 to 1000"]),
        ("limit=many", ["limit", "integer"]),
        ("cursor=made-up", ["cursor"]),
        ("cursor=%FF", ["cursor"]),
        ("state=asleep", ["asleep", "running"]),
        ("metadata=colour", ["colour", "key:value"]),
        ("stat=running", ["stat", "state"]),
    ],
)
def test_a_list_that_cannot_be(http: httpx.Client, query: str, words: list[str]) -> None:
    refused(http.get(f"{SANDBOXES}?{query}"), 400, "invalid_argument", *words)


@pytest.mark.parametrize("query", ["metadata=a%00:b", "metadata=%FF:b", "metadata=a:%ED%A0%80"])
def test_odd_bytes_in_a_filter_match_nothing(http: httpx.Client, query: str) -> None:
    assert http.get(f"{SANDBOXES}?{query}").json()["sandboxes"] == []


def test_an_address_or_method_that_is_none(http: httpx.Client) -> None:
    refused(http.get("/v1/sandbox"), 404, "not_found", "/v1/sandbox", "/docs")
    answer = http.patch(SANDBOXES)
    refused(answer, 405, "method_not_allowed", "PATCH", "GET", "POST")
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("id", ["nope", "%00", "%FF", "sb" + "A" * 20, "x" * 5000])
def test_what_is_no_id(http: httpx.Client, id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = http.request(method, f"{SANDBOXES}/{id}")
        refused(answer, 400, "invalid_argument", "not a sandbox id", "'sb' and 20 characters")


def test_an_id_that_nobody_has(http: httpx.Client) -> None:
    id = "sb" + "a" * 20
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/commands"), ("GET", "/files?path=x")]:
        refused(http.request(method, f"{SANDBOXES}/{id}{path}"), 404, "not_found", id)
    refused(http.post(f"{SANDBOXES}/{id}/commands", json={"command": "true"}), 404, "not_found", id)
