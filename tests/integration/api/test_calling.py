"""What a sandbox cannot do, asked of a live one of each tier; it goes on as if nothing had been asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from .wire import lines, refused


@pytest.fixture(autouse=True)
def unharmed(http: httpx.Client, at: str) -> Iterator[None]:
    yield
    said = lines(http.post(f"{at}/commands", json={"args": ["true"]}))
    assert said[-1]["exit_code"] == 0


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({}, 400, "invalid_argument", ["command", "args"]),
        ({"command": "ls", "args": ["ls"]}, 400, "invalid_argument", ["either", "command", "args"]),
        ({"args": []}, 400, "invalid_argument", ["empty"]),
        ({"args": [""]}, 400, "invalid_argument", ["empty"]),
        ({"args": ["no-such-program"]}, 404, "not_found", ["no-such-program"]),
        ({"args": ["/no/such"]}, 404, "not_found", ["/no/such"]),
        ({"args": ["/etc"]}, 400, "invalid_argument", ["/etc", "directory"]),
        ({"args": ["/etc/passwd"]}, 403, "permission_denied", ["/etc/passwd"]),
        ({"args": ["echo", "a\0b"]}, 400, "invalid_argument", ["NUL"]),
        ({"command": "echo a\0b"}, 400, "invalid_argument", ["NUL"]),
        ({"args": ["echo", "\ud800"]}, 400, "invalid_argument", ["argument", "surrogate"]),
        ({"args": ["sleep", 1]}, 400, "invalid_argument", ["args.1", "string"]),
        ({"command": ["ls"]}, 400, "invalid_argument", ["command", "string"]),
        ({"command": "true", "cwd": "/no/such"}, 404, "not_found", ["directory", "/no/such"]),
        ({"command": "true", "cwd": "/etc/passwd"}, 404, "not_found", ["/etc/passwd", "directory"]),
        ({"command": "true", "cwd": "/root"}, 403, "permission_denied", ["/root"]),
        ({"command": "true", "cwd": "a\0b"}, 400, "invalid_argument", ["NUL"]),
        ({"command": "true", "user": "nobody-here"}, 400, "invalid_argument", ["user", "nobody-here"]),
        ({"command": "true", "user": "-1"}, 400, "invalid_argument", ["user", "-1"]),
        ({"command": "true", "user": "4294967295"}, 400, "invalid_argument", ["user", "4294967295"]),
        ({"command": "true", "user": "a\0"}, 400, "invalid_argument", ["user", "NUL"]),
        ({"command": "true", "timeout_s": -1}, 400, "invalid_argument", ["timeout_s", "0.001", "2592000"]),
        ({"command": "true", "timeout_s": 1e30}, 400, "invalid_argument", ["timeout_s", "2592000"]),
        ({"command": "true", "env": {"A=B": "x"}}, 400, "invalid_argument", ["env", "A=B"]),
        ({"command": "true", "env": {"A": "\ud800"}}, 400, "invalid_argument", ["env", "'A'", "surrogate"]),
        ({"command": "true", "tag": "é" * 101}, 400, "invalid_argument", ["tag", "200 bytes"]),
        ({"command": "true", "tag": "kernel/x"}, 400, "invalid_argument", ["tag", "kernel/"]),
        ({"command": "true", "stdin": "yes"}, 400, "invalid_argument", ["stdin", "boolean"]),
        ({"comand": "true"}, 400, "invalid_argument", ["comand", "command"]),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_commands_that_cannot_start(
    http: httpx.Client, at: str, body: dict[str, Any], status: int, code: str, words: list[str]
) -> None:
    for background in (False, True):
        answer = http.post(f"{at}/commands", content=json.dumps(body | {"background": background}))
        refused(answer, status, code, *words)


@pytest.mark.parametrize("id", ["4000000", "4294967296", "9" * 30])
def test_a_command_that_is_not_there(http: httpx.Client, at: str, id: str) -> None:
    one = f"{at}/commands/{id}"
    for answer in (
        http.get(one),
        http.get(f"{one}/output"),
        http.post(f"{one}/stdin", content=b"x"),
        http.post(f"{one}/stdin/close"),
        http.post(f"{one}/signal", json={}),
        http.post(f"{one}/resize", json={"rows": 1, "cols": 1}),
    ):
        refused(answer, 404, "not_found", f"no command {id}")


@pytest.mark.parametrize("id", ["-1", "first", "%00"])
def test_what_is_no_command(http: httpx.Client, at: str, id: str) -> None:
    refused(http.get(f"{at}/commands/{id}"), 400, "invalid_argument", "command_id")


def test_what_a_running_command_cannot_take(http: httpx.Client, at: str) -> None:
    body = {"args": ["sleep", "600"], "background": True}
    one = f"{at}/commands/{http.post(f'{at}/commands', json=body).json()['id']}"
    refused(http.post(f"{one}/stdin", content=b"x"), 409, "conflict", "no open input")
    refused(http.post(f"{one}/resize", json={"rows": 9, "cols": 9}), 400, "invalid_argument", "no terminal")
    refused(http.post(f"{one}/resize", json={"rows": 0, "cols": 9}), 400, "invalid_argument", "rows", "1")
    for signal, words in [
        ("NOPE", ["'NOPE'", "TERM"]),
        ("", ["TERM"]),
        (0, ["1 to 64"]),
        (65, ["1 to 64"]),
        (10**400, ["1 to 64"]),
        (True, ["signal", "integer", "string"]),
        (None, ["signal", "integer", "string"]),
    ]:
        answer = http.post(f"{one}/signal", json={"signal": signal})
        refused(answer, 400, "invalid_argument", *words)
    for start in ("-1", "x", str(2**63), str(2**64 - 1), "9" * 30):
        refused(http.get(f"{one}/output?stdout_from={start}"), 400, "invalid_argument", "stdout_from")
    assert http.get(one).json()["running"]
    assert http.post(f"{one}/signal", json={"signal": "KILL"}).status_code == 204
    assert lines(http.get(f"{one}/output"))[-1]["exit_code"] == 137
    refused(http.post(f"{one}/signal", json={}), 409, "conflict", "ended")
    refused(http.post(f"{one}/stdin", content=b"x"), 409, "conflict", "ended")


@pytest.mark.parametrize(
    ("query", "status", "code", "words"),
    [
        ("", 400, "invalid_argument", ["path", "query"]),
        ("path=", 400, "invalid_argument", ["path", "empty"]),
        ("path=a%00b", 400, "invalid_argument", ["path", "NUL"]),
        ("path=nothing-here", 404, "not_found", ["/home/user/nothing-here"]),
        ("path=/etc/passwd/x", 404, "not_found", ["/etc/passwd/x"]),
        ("path=/root/.bashrc", 403, "permission_denied", ["/root/.bashrc"]),
        ("path=/etc/passwd&user=nobody-here", 400, "invalid_argument", ["user", "nobody-here"]),
        ("path=/etc/passwd&user=a%00", 400, "invalid_argument", ["user", "NUL"]),
        ("path=" + "x/" * 3000, 400, "invalid_argument", ["long"]),
        ("path=" + "x" * 300, 400, "invalid_argument", ["long"]),
        ("pth=/etc/passwd", 400, "invalid_argument", ["pth", "path"]),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_paths_that_lead_nowhere(
    http: httpx.Client, at: str, query: str, status: int, code: str, words: list[str]
) -> None:
    refused(http.get(f"{at}/files?{query}"), status, code, *words)
    refused(http.get(f"{at}/files/stat?{query}"), status, code, *words)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("path=/etc", ["/etc", "folder", "/archive"]),
        ("path=/dev/zero", ["/dev/zero", "neither"]),
        ("path=/etc/passwd&offset=-1", ["offset", "0"]),
        (f"path=/etc/passwd&offset={2**63}", ["offset"]),
        ("path=/etc/passwd&length=-1", ["length", "0"]),
        ("path=/etc/passwd&length=all", ["length", "integer"]),
    ],
)
def test_what_cannot_be_read(http: httpx.Client, at: str, query: str, words: list[str]) -> None:
    refused(http.get(f"{at}/files?{query}"), 400, "invalid_argument", *words)


@pytest.mark.parametrize(
    ("query", "status", "code", "words"),
    [
        ("path=a%00b", 400, "invalid_argument", ["NUL"]),
        ("path=/etc", 400, "invalid_argument", ["/etc", "directory"]),
        ("path=/root/x", 403, "permission_denied", ["/root/x"]),
        ("path=/etc/passwd/x", 409, "conflict", ["/etc/passwd"]),
        ("path=f&mode=999", 400, "invalid_argument", ["mode", "'999'", "0644"]),
        ("path=f&mode=0o644", 400, "invalid_argument", ["mode", "'0o644'", "0644"]),
        ("path=f&mode=77777", 400, "invalid_argument", ["mode", "0644"]),
        ("path=f&owner=nobody-here", 400, "invalid_argument", ["nobody-here"]),
        ("path=f&user=nobody-here", 400, "invalid_argument", ["nobody-here"]),
        ("path=f&mod=0600", 400, "invalid_argument", ["mod", "mode"]),
    ],
)
def test_what_cannot_be_written(
    http: httpx.Client, at: str, query: str, status: int, code: str, words: list[str]
) -> None:
    refused(http.put(f"{at}/files?{query}", content=b"x"), status, code, *words)
    refused(http.get(f"{at}/files?path=f"), 404, "not_found", "f")


def test_a_misspelt_parameter_does_no_harm(http: httpx.Client, at: str) -> None:
    http.put(f"{at}/files?path=kept/file", content=b"x").raise_for_status()
    answer = http.delete(f"{at}/files?path=kept&recursiv=false")
    refused(answer, 400, "invalid_argument", "recursiv", "'recursive'")
    refused(http.delete(f"{at}/files?path=kept&recursive=false"), 409, "conflict", "kept", "not empty")
    assert http.get(f"{at}/files?path=kept/file").content == b"x"


@pytest.mark.parametrize(
    ("call", "body", "status", "code", "words"),
    [
        ("move", {"source": "nope", "target": "x"}, 404, "not_found", ["nope"]),
        ("move", {"source": "\ud800", "target": "x"}, 400, "invalid_argument", ["path", "surrogate"]),
        ("move", {"source": "a\0", "target": "x"}, 400, "invalid_argument", ["NUL"]),
        ("move", {"source": "/etc/passwd", "target": "x"}, 403, "permission_denied", ["user", "/x"]),
        ("copy", {"source": "nope", "target": "x"}, 404, "not_found", ["nope"]),
        ("copy", {"source": ".", "target": ""}, 400, "invalid_argument", ["empty"]),
        ("copy", {"source": "."}, 400, "invalid_argument", ["target", "needed"]),
        ("mkdir", {"path": "q", "mode": "9"}, 400, "invalid_argument", ["mode", "0644"]),
        ("mkdir", {"path": "q", "mode": 755}, 400, "invalid_argument", ["mode", "string"]),
        ("mkdir", {"path": "/etc/passwd"}, 409, "conflict", ["/etc/passwd"]),
        ("mkdir", {"path": "no/q", "parents": False}, 404, "not_found", ["no/q"]),
    ],
)
def test_file_calls_that_cannot_be(
    http: httpx.Client,
    at: str,
    call: str,
    body: dict[str, Any],
    status: int,
    code: str,
    words: list[str],
) -> None:
    refused(http.post(f"{at}/files/{call}", content=json.dumps(body)), status, code, *words)


@pytest.mark.parametrize(
    ("query", "status", "code", "words"),
    [
        ("list?path=/etc/passwd", 400, "invalid_argument", ["/etc/passwd", "directory"]),
        ("list?path=nope", 404, "not_found", ["nope"]),
        ("list?depth=0", 400, "invalid_argument", ["depth", "1"]),
        ("list?depth=65", 400, "invalid_argument", ["depth", "64"]),
        ("watch?path=nope", 404, "not_found", ["nope"]),
        ("watch?path=%00", 400, "invalid_argument", ["NUL"]),
        ("stat?path=/etc&follow=maybe", 400, "invalid_argument", ["follow", "boolean"]),
    ],
)
def test_looks_at_what_is_not_there(
    http: httpx.Client, at: str, query: str, status: int, code: str, words: list[str]
) -> None:
    refused(http.get(f"{at}/files/{query}"), status, code, *words)


@pytest.mark.parametrize("archive", [b"", b"x", b"x" * 512, b"x" * 10240, b"\xff" * 5000])
def test_what_is_no_archive(http: httpx.Client, at: str, archive: bytes) -> None:
    answer = http.put(f"{at}/archive?path=unpacked", content=archive)
    refused(answer, 400, "invalid_argument", "archive")


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({}, 400, "invalid_argument", ["code", "needed"]),
        ({"code": 1}, 400, "invalid_argument", ["code", "string"]),
        ({"code": "1", "language": "cobol"}, 400, "invalid_argument", ["cobol", "python"]),
        ({"code": "1", "context": "nope"}, 404, "not_found", ["context", "nope"]),
        ({"code": "1", "timeout_s": 0}, 400, "invalid_argument", ["timeout_s", "0"]),
        ({"code": "1", "timeout_s": -1}, 400, "invalid_argument", ["timeout_s", "0"]),
        ({"code": "1", "env": {"A=": "x"}}, 400, "invalid_argument", ["env", "'A='"]),
        ({"code": "1", "env": {"A": "\ud800"}}, 400, "invalid_argument", ["env", "'A'", "surrogate"]),
        ({"code": "'\ud800'"}, 400, "invalid_argument", ["code", "Unicode"]),
    ],
)
def test_code_that_cannot_run(
    http: httpx.Client, at: str, body: dict[str, Any], status: int, code: str, words: list[str]
) -> None:
    refused(http.post(f"{at}/code", content=json.dumps(body)), status, code, *words)
    assert lines(http.post(f"{at}/code", json={"code": "6 * 7"}))[0]["text"] == "42"


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"language": "cobol"}, 400, "invalid_argument", ["cobol", "python"]),
        ({"cwd": "/no/such"}, 404, "not_found", ["/no/such"]),
        ({"cwd": "missing"}, 404, "not_found", ["/home/user/missing"]),
        ({"cwd": "/etc/passwd"}, 404, "not_found", ["/etc/passwd", "directory"]),
        ({"cwd": "a\0b"}, 400, "invalid_argument", ["NUL"]),
        ({"cwd": "\ud800"}, 400, "invalid_argument", ["surrogate"]),
        ({"env": {"A": "\0"}}, 400, "invalid_argument", ["env", "NUL"]),
        ({"lang": "python"}, 400, "invalid_argument", ["lang", "language"]),
    ],
)
def test_contexts_that_cannot_be(
    http: httpx.Client, at: str, body: dict[str, Any], status: int, code: str, words: list[str]
) -> None:
    before = http.get(f"{at}/contexts").json()
    refused(http.post(f"{at}/contexts", content=json.dumps(body)), status, code, *words)
    assert http.get(f"{at}/contexts").json() == before


@pytest.mark.parametrize("id", ["nope", "%00", "%FF"])
def test_a_context_that_is_not_there(http: httpx.Client, at: str, id: str) -> None:
    one = f"{at}/contexts/{id}"
    for answer in (http.delete(one), http.post(f"{one}/restart"), http.post(f"{one}/interrupt")):
        refused(answer, 404, "not_found", "no context")


@pytest.mark.parametrize("value", ["-1", "0", "1e30", "1" + "0" * 400, '"x"', "NaN"])
def test_a_deadline_that_cannot_be(http: httpx.Client, at: str, value: str) -> None:
    before = http.get(at).json()["deadline"]
    answer = http.post(f"{at}/timeout", content=f'{{"timeout_s": {value}}}')
    refused(answer, 400, "invalid_argument", "timeout_s")
    assert http.get(at).json()["deadline"] == before
