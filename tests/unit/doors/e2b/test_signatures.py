"""What a signed file address proves, and to whom."""

from __future__ import annotations

import base64
import hashlib
import time
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.doors.e2b.signatures import MAX_FIELDS, Signature, query_of, signature_of
from sandlot.errors import Unauthenticated

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TOKEN = "5a" * 20


def signed(path: str, operation: str, user: str, token: str, expires: str | None) -> str:
    """As a client signs."""
    text = f"{path}:{operation}:{user}:{token}" + ("" if expires is None else f":{expires}")
    return "v1_" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def asked(method: str, query: bytes) -> Signature | None:
    return signature_of(method, query_of({"query_string": query}))


@given(TEXT, TEXT, st.none() | st.integers(0, 10**12 - 1).map(str), st.booleans(), st.booleans())
def test_what_a_client_signs_is_believed_and_nothing_else(
    path: str, user: str, expires: str | None, plus: bool, write: bool
) -> None:
    method, operation = ("POST", "write") if write else ("GET", "read")
    fields = {"path": path, "username": user, "signature": signed(path, operation, user, TOKEN, expires)}
    if expires is not None:
        fields["signature_expiration"] = expires
    # Python's clients write a space as %20, JavaScript's as a plus sign.
    query = (urlencode(fields) if plus else urlencode(fields, quote_via=quote)).encode()
    signature = asked(method, query)
    assert signature is not None
    assert signature.is_of(TOKEN)
    assert not signature.is_of(TOKEN[:-1] + "b")
    other = asked("GET" if write else "POST", query)
    assert other is not None
    assert not other.is_of(TOKEN)
    for change in (
        {"path": path + "x"},
        {"username": user + "x"},
        {"signature_expiration": "1" + (expires or "")},
    ):
        changed = asked(method, urlencode(fields | change).encode())
        assert changed is not None
        assert not changed.is_of(TOKEN)


def test_a_sign_that_some_do_not_escape() -> None:
    """Base64 has plus signs, which mean spaces in a query."""
    path = next(str(n) for n in range(1000) if "+" in signed(str(n), "read", "", TOKEN, None))
    signature = asked("GET", f"path={path}&signature={signed(path, 'read', '', TOKEN, None)}".encode())
    assert signature is not None
    assert signature.is_of(TOKEN)


def test_paths_are_whatever_bytes_they_are() -> None:
    digest = hashlib.sha256(b"\xff\xfe:read::" + TOKEN.encode()).digest()
    value = base64.b64encode(digest).decode().rstrip("=")
    signature = asked("HEAD", b"path=%FF%FE&signature=v1_" + quote(value, safe="").encode())
    assert signature is not None
    assert signature.is_of(TOKEN)


@given(st.binary())
def test_any_query_is_read_or_not_but_never_a_fault(query: bytes) -> None:
    for method in ("GET", "POST", "PUT"):
        if (signature := asked(method, query)) is not None:
            assert not signature.is_of(TOKEN)


def test_the_first_of_several_counts_and_a_crowd_not_at_all() -> None:
    assert query_of({"query_string": b"path=a&path=b"}) == {"path": "a"}
    assert query_of({"query_string": b"a=b&" * MAX_FIELDS + b"path=a"}) == {}


@pytest.mark.parametrize("text", ["", "0", "-1", "1e99", "soon", "9" * 13, "٣"])
def test_a_time_that_is_over_or_none(text: str) -> None:
    signature = Signature("f", "read", "", "v1_", text)
    with pytest.raises(Unauthenticated, match="expired"):
        signature.check_time()


def test_a_time_that_is_not_over() -> None:
    Signature("f", "read", "", "v1_", str(int(time.time()) + 60)).check_time()
    Signature("f", "read", "", "v1_", None).check_time()
