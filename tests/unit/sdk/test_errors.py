from __future__ import annotations

import time
from pathlib import Path

import pytest

from sandlot import (
    AuthenticationError,
    ConflictError,
    InvalidArgumentError,
    LimitError,
    NotEnoughSpaceError,
    Sandbox,
    SandboxError,
    SandboxTimeoutError,
    ServerUnavailableError,
    TierUnavailableError,
    TooLargeError,
)
from sandlot.sdk._config import resolve
from sandlot.sdk._errors import from_body

from .stub import KEY, Refused, Stub


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (400, "invalid_argument", InvalidArgumentError),
        (409, "conflict", ConflictError),
        (413, "too_large", TooLargeError),
        (422, "tier_unavailable", TierUnavailableError),
        (504, "deadline_exceeded", SandboxTimeoutError),
        (507, "not_enough_space", NotEnoughSpaceError),
        (429, "of_tomorrow", LimitError),
        (500, "internal", SandboxError),
    ],
)
def test_codes_become_classes_with_the_servers_words(
    stub: Stub, status: int, code: str, cls: type[SandboxError]
) -> None:
    stub.refuse = [Refused(status, code, "what was wrong and what would be right")]
    with pytest.raises(cls, match=r"^what was wrong and what would be right$") as caught:
        Sandbox.create()
    assert (type(caught.value), caught.value.code, caught.value.status) == (cls, code, status)
    assert not isinstance(caught.value, TimeoutError) or cls is SandboxTimeoutError


def test_no_server_says_how_to_get_one(stub: Stub) -> None:
    with pytest.raises(ServerUnavailableError) as caught:
        Sandbox.create(url="http://127.0.0.1:9")
    assert caught.value.message.startswith(
        "no Sandlot server answers at http://127.0.0.1:9: start one with `sandlot serve`, or set SANDLOT_URL"
    )


def test_a_wrong_key_says_how_to_get_one(stub: Stub) -> None:
    with pytest.raises(AuthenticationError, match=r"unknown: make one with `sandlot keys create NAME`"):
        Sandbox.create(api_key="sl_wrong")


def test_another_servers_answer_is_recognised(stub: Stub) -> None:
    with pytest.raises(SandboxError, match="is it a Sandlot server"):
        Sandbox.create(url=stub.url + "/elsewhere")


def test_busy_is_waited_for_when_asking_and_not_when_doing(stub: Stub) -> None:
    sandbox = Sandbox.create()
    busy = Refused(503, "unavailable", "starting", {"Retry-After": "0"})
    stub.refuse = [busy, busy]
    assert sandbox.info().state == "running"
    stub.refuse = [busy]
    with pytest.raises(ServerUnavailableError, match="starting") as caught:
        Sandbox.create()
    assert caught.value.retry_after == 0.0


def test_a_limit_says_which_and_whose() -> None:
    details = {"limit": "max_sandboxes", "scope": "tenant", "tenant": "acme", "in_use": 5, "allowed": 5}
    error = from_body(
        {"code": "limit_exceeded", "message": "full", "details": details}, status=429, retry_after=5
    )
    assert isinstance(error, LimitError)
    assert (error.limit, error.scope, error.retry_after) == ("max_sandboxes", "tenant", 5)
    assert error.details == details
    other = LimitError("some other limit")
    assert (other.limit, other.scope, other.retry_after) == (None, None, None)


def test_a_long_wait_is_the_callers_to_decide(stub: Stub) -> None:
    sandbox = Sandbox.create()
    stub.refuse = [Refused(429, "limit_exceeded", "too many", {"Retry-After": "60"})]
    started = time.monotonic()
    with pytest.raises(LimitError) as caught:
        sandbox.info()
    assert caught.value.retry_after == 60
    assert time.monotonic() - started < 30


def test_retries_end(stub: Stub) -> None:
    sandbox = Sandbox.create()
    stub.refuse = [Refused(503, "unavailable", "starting", {"Retry-After": "0"})] * 50
    with pytest.raises(ServerUnavailableError):
        sandbox.info()
    assert len(stub.refuse) == 46


def test_the_server_is_found_by_argument_environment_file_default(
    no_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (resolve().url, resolve().api_key) == ("http://127.0.0.1:7263", None)
    file = no_credentials / "sandlot" / "credentials.toml"
    file.parent.mkdir()
    file.write_text('url = "http://127.0.0.1:7000/"\napi_key = "sl_file"\n')
    assert (resolve().url, resolve().api_key) == ("http://127.0.0.1:7000", "sl_file")
    monkeypatch.setenv("SANDLOT_API_KEY", "sl_env")
    assert resolve().api_key == "sl_env"
    monkeypatch.setenv("SANDLOT_URL", "https://sandlot.example/")
    assert (resolve().url, resolve("http://other", "sl_arg").url) == (
        "https://sandlot.example",
        "http://other",
    )
    assert resolve("http://other", "sl_arg").api_key == "sl_arg"


def test_the_key_of_this_machine_is_not_sent_elsewhere(
    no_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = no_credentials / "sandlot" / "credentials.toml"
    file.parent.mkdir()
    file.write_text('url = "http://127.0.0.1:7263"\napi_key = "sl_file"\n')
    assert resolve("https://elsewhere.example").api_key is None
    assert resolve("http://127.0.0.1:7263/").api_key == "sl_file"


@pytest.mark.parametrize("url", ["localhost:7263", "ftp://host", "http://", "nonsense"])
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="should look like http"):
        resolve(url)


def test_a_broken_credentials_file_is_named(no_credentials: Path) -> None:
    file = no_credentials / "sandlot" / "credentials.toml"
    file.parent.mkdir()
    file.write_text("url = ")
    with pytest.raises(InvalidArgumentError, match=r"credentials\.toml"):
        resolve()


def test_a_key_does_not_show() -> None:
    assert KEY not in repr(resolve(api_key=KEY))
