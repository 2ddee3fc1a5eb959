"""Addresses that E2B's clients sign, for whoever has nothing but the address."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from e2b import Sandbox

from sandlot.server.local import LocalServer

CONTENT = b"0123456789" * 50


@pytest.fixture(scope="module")
def sandbox(server: LocalServer) -> Iterator[Sandbox]:
    """With a file to be read, which no test may change."""
    sandbox = Sandbox.create(timeout=1800)
    sandbox.files.write("f.txt", CONTENT)
    yield sandbox
    sandbox.kill()


def changed(address: str, **parameters: str | None) -> str:
    """The address with some parameters changed, or left out."""
    parts = urlsplit(address)
    query: dict[str, str | None] = {**dict(parse_qsl(parts.query)), **parameters}
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(kept)).geturl()


def curl(*arguments: str) -> bytes:
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "30", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.e2b("Sandbox.download_url", "Sandbox.upload_url")
def test_plain_curl_uploads_and_downloads(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(CONTENT)
    name = "in/päth & co+.txt"
    answer = json.loads(curl("-F", f"file=@{tmp_path / 'local'}", sandbox.upload_url(name)))
    assert answer == [{"name": "päth & co+.txt", "type": "file", "path": f"/home/user/{name}"}]
    assert curl(sandbox.download_url(name, use_signature_expiration=60)) == CONTENT
    octets = ("-H", "content-type: application/octet-stream", "--data-binary")
    curl(*octets, "raw", sandbox.upload_url("raw", user="root", use_signature_expiration=60))
    assert sandbox.files.read("/root/raw") == "raw"
    assert curl("--compressed", sandbox.download_url("/root/raw")) == b"raw"


@pytest.mark.parametrize(
    ("asked", "status", "body", "says"),
    [
        ("bytes=3-12", 206, CONTENT[3:13], "bytes 3-12/500"),
        ("bytes=490-", 206, CONTENT[490:], "bytes 490-499/500"),
        ("bytes=-7", 206, CONTENT[-7:], "bytes 493-499/500"),
        ("bytes=490-9999", 206, CONTENT[490:], "bytes 490-499/500"),
        ("bytes=0-1,4-5", 200, CONTENT, None),
        ("lines=1-2", 200, CONTENT, None),
        ("bytes=9-2", 200, CONTENT, None),
        ("bytes=500-", 416, b"", "bytes */500"),
        ("bytes=-0", 416, b"", "bytes */500"),
    ],
)
def test_parts_of_a_file(sandbox: Sandbox, asked: str, status: int, body: bytes, says: str | None) -> None:
    answer = httpx.get(sandbox.download_url("f.txt"), headers={"range": asked})
    assert (answer.status_code, answer.content, answer.headers.get("content-range")) == (status, body, says)


def test_a_download_that_broke_off_goes_on_where_the_file_is_the_same(sandbox: Sandbox) -> None:
    address = sandbox.download_url("f.txt")
    version = httpx.get(address).headers["last-modified"]
    same = httpx.get(address, headers={"range": "bytes=490-", "if-range": version})
    other = httpx.get(address, headers={"range": "bytes=490-", "if-range": "Mon, 01 Jan 2001 00:00:00 GMT"})
    assert (same.status_code, other.status_code) == (206, 200)


def test_what_a_browser_is_told(sandbox: Sandbox) -> None:
    sandbox.files.write('pägé "1".html', "<script>alert(1)</script>")
    answer = httpx.head(sandbox.download_url('pägé "1".html'))
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "25")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-disposition"] == (
        "inline; filename=\"p?g? _1_.html\"; filename*=UTF-8''p%C3%A4g%C3%A9%20%221%22.html"
    )


def test_a_page_of_any_origin_may_upload(sandbox: Sandbox) -> None:
    address = sandbox.upload_url("from-a-page")
    origin = {"origin": "https://app.example.com"}
    asked = origin | {"access-control-request-method": "POST", "access-control-request-headers": "x-a"}
    leave = httpx.options(address, headers=asked)
    assert (leave.status_code, leave.headers["access-control-allow-origin"]) == (200, "*")
    assert "POST" in leave.headers["access-control-allow-methods"]
    answer = httpx.post(address, files={"file": ("x", b"hello")}, headers=origin)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert sandbox.files.read("from-a-page") == "hello"


def test_an_address_opens_what_was_signed_and_only_as_long_as_it_says(sandbox: Sandbox) -> None:
    address = sandbox.download_url("f.txt", user="user", use_signature_expiration=60)
    assert httpx.get(address).content == CONTENT
    expired = httpx.get(sandbox.download_url("f.txt", use_signature_expiration=-1))
    assert expired.status_code == 401
    assert expired.json() == {"code": 401, "message": "signature is already expired"}
    for refused in (
        changed(address, path="g.txt"),
        changed(address, username="root"),
        changed(address, username=None),
        changed(address, signature_expiration="99999999999"),
        changed(address, signature_expiration=None),
        changed(address, signature="v1_" + "A" * 43),
        changed(address, signature=""),
    ):
        answer = httpx.get(refused)
        assert (answer.status_code, answer.json()["code"]) == (401, 401), refused
    assert httpx.post(address, files={"file": ("x", b"x")}).status_code == 401
    assert httpx.get(sandbox.upload_url("f.txt")).status_code == 401


def test_a_signature_counts_for_the_sandbox_that_it_is_of(server: LocalServer, sandbox: Sandbox) -> None:
    address, headers = sandbox.download_url("f.txt"), {"e2b-sandbox-id": sandbox.sandbox_id}
    assert httpx.get(address, headers=headers).content == CONTENT
    other = Sandbox.create()
    try:
        headers["e2b-sandbox-id"] = other.sandbox_id
        assert httpx.get(address, headers=headers).status_code == 401
        signed = other.download_url("/etc/hostname")
        assert httpx.get(signed).status_code == 200
        wrong = {"x-access-token": "0" * 40, "e2b-sandbox-id": other.sandbox_id}
        assert httpx.get(signed, headers=wrong).status_code == 401
        unsigned = httpx.get(f"{server.url}/files?path=f.txt", headers=headers)
        assert (unsigned.status_code, "token" in unsigned.json()["message"]) == (401, True)
    finally:
        other.kill()
    assert httpx.get(signed).status_code == 401


def test_a_sandbox_without_a_token_asks_for_none(server: LocalServer) -> None:
    with httpx.Client(base_url=server.url, headers={"x-api-key": server.key}, timeout=30) as api:
        made = api.post("/sandboxes", json={"templateID": "base", "secure": False}).raise_for_status().json()
        try:
            assert made.get("envdAccessToken") is None
            named = {"e2b-sandbox-id": made["sandboxID"]}
            httpx.post(f"{server.url}/files", files={"file": ("f", b"x")}, headers=named).raise_for_status()
            assert httpx.get(f"{server.url}/files?path=f", headers=named).text == "x"
            nameless = httpx.get(f"{server.url}/files?path=f")
            assert (nameless.status_code, "whose file" in nameless.json()["message"]) == (400, True)
        finally:
            api.delete(f"/sandboxes/{made['sandboxID']}")
