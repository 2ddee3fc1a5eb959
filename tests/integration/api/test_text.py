"""Bytes that are no UTF-8: names of files and words of commands may hold any, JSON and code may not."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import pytest

from .wire import lines, refused

ODD = [
    b"\xff\xfe",
    b"caf\xe9",
    b"\xed\xa0\x80",
    b"\xc3",
    b"tab\tline\nquote\"'\\",
    "grüße".encode(),
    b"%41+ &=#?",
]


def output_of(http: httpx.Client, at: str, **body: Any) -> bytes:
    said = lines(http.post(f"{at}/commands", content=json.dumps(body)))
    assert said[-1]["exit_code"] == 0, said
    return b"".join(base64.b64decode(line["data"]) for line in said if line["type"] == "stdout")


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_file_of_any_name(http: httpx.Client, at: str, name: bytes) -> None:
    """In an address it is percent-encoded byte by byte, in JSON as Python has it."""
    as_text = name.decode(errors="surrogateescape")
    query = f"path=odd/{quote_from_bytes(name)}"
    made = http.put(f"{at}/files?{query}", content=b"content")
    assert made.status_code == 200, made.text
    assert json.loads(made.text)["name"] == as_text
    assert http.get(f"{at}/files?{query}").content == b"content"
    assert json.loads(http.get(f"{at}/files/stat?{query}").text)["path"] == f"/home/user/odd/{as_text}"
    assert [each["name"] for each in json.loads(http.get(f"{at}/files/list?path=odd").text)["files"]] == [
        as_text
    ]
    assert output_of(http, at, args=["find", "odd", "-type", "f", "-print0"]) == b"odd/" + name + b"\0"

    body = json.dumps({"source": f"odd/{as_text}", "target": f"odd/moved-{as_text}"})
    moved = http.post(f"{at}/files/move", content=body)
    assert json.loads(moved.text)["name"] == f"moved-{as_text}"
    query = f"path=odd/moved-{quote_from_bytes(name)}"
    assert http.delete(f"{at}/files?{query}").status_code == 204
    refused(http.get(f"{at}/files?{query}"), 404, "not_found", "odd/moved-")
    assert http.get(f"{at}/files/list?path=odd").json() == {"files": []}


def test_a_folder_of_odd_names_comes_and_goes_as_an_archive(http: httpx.Client, at: str) -> None:
    http.put(f"{at}/files?path=source/%FF%FE", content=b"content").raise_for_status()
    archive = http.get(f"{at}/archive?path=source").content
    assert http.put(f"{at}/archive?path=copy", content=archive).json() == {"files": 1}
    assert http.get(f"{at}/files?path=copy/%FF%FE").content == b"content"


def test_words_and_variables_of_any_bytes(http: httpx.Client, at: str) -> None:
    assert output_of(http, at, args=["printf", "%s", "\udcff\udcfe"]) == b"\xff\xfe"
    assert output_of(http, at, args=["printenv", "ODD"], env={"ODD": "\udcff"}) == b"\xff\n"
    code = {"code": "import os; os.environb[b'ODD'][0]", "env": {"ODD": "\udcff"}}
    assert lines(http.post(f"{at}/code", content=json.dumps(code)))[0]["text"] == "255"


def test_output_of_any_bytes(http: httpx.Client, at: str) -> None:
    assert output_of(http, at, args=["printf", "\\377\\000\\303"]) == b"\xff\0\xc3"
    said = lines(http.post(f"{at}/code", json={"code": "print(chr(0xD800)); print('fine')"}))
    assert [line["type"] for line in said][-1] == "done"
    assert "".join(line["text"] for line in said if line["type"] == "stdout").endswith("\nfine\n")


@pytest.mark.parametrize("path", ["commands", "code", "contexts", "files/mkdir", "files/move", "timeout"])
def test_bodies_that_are_not_utf8(http: httpx.Client, at: str, path: str) -> None:
    answer = http.post(f"{at}/{path}", content=b'{"command":"echo \xff"}')
    refused(answer, 400, "invalid_argument", "not valid UTF-8", "JSON encoded as UTF-8")


def test_users_that_are_not_utf8(http: httpx.Client, at: str) -> None:
    refused(http.get(f"{at}/files?path=/etc/passwd&user=%FF"), 400, "invalid_argument", "user")
    body = json.dumps({"command": "true", "user": "\udcff"})
    refused(http.post(f"{at}/commands", content=body), 400, "invalid_argument", "no such user")
