"""What comes from a kernel is one of its events, or a GuestError; nothing else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.core.interpreter import ErrorEvent, Result, Stdout, protocol
from sandlot.core.interpreter.protocol import ContextSettings, Pong, ResultFrame
from sandlot.errors import GuestError

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
_types = st.sampled_from(["ready", "pong", "invalid", "stdout", "stderr", "result", "error", "done", "other"])
_fields = ["id", "text", "html", "json", "data", "chart", "extra", "is_main", "name", "value", "traceback"]


def _try(line: bytes) -> None:
    try:
        frame = protocol.decode(line)
        if isinstance(frame, protocol.StdoutFrame | protocol.StderrFrame | ResultFrame | protocol.ErrorFrame):
            protocol.event_of(frame)
        elif isinstance(frame, Pong):
            protocol.settings_of(frame)
    except GuestError:
        pass


@given(st.binary())
def test_any_bytes(line: bytes) -> None:
    _try(line)


@given(_types, st.dictionaries(st.sampled_from(_fields), _json), st.booleans())
def test_any_json_in_the_shape_of_an_event(type_: str, fields: dict[str, Any], ascii_only: bool) -> None:
    line = json.dumps({**fields, "type": type_, "execution_count": 1}, ensure_ascii=ascii_only)
    _try(line.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"type":"stdout","id":"1"}',
        b'{"type":"stdout","id":1,"text":"x"}',
        b'{"type":"stdout","id":"1","text":"\xff"}',
        b'{"type":"stdout","id":"1","text":"\\ud800"}',
        b'{"type":"done","id":"1","execution_count":-1}',
        b'{"type":"done","id":"1","execution_count":1e400}',
        b'{"type":"result","id":"1","is_main":true,"json":' + b"[" * 100_000,
    ],
)
def test_garbage(line: bytes) -> None:
    with pytest.raises(GuestError):
        protocol.decode(line)


def test_events() -> None:
    assert _event({"type": "stdout", "text": "x"}) == Stdout("x")
    error = {"type": "error", "name": "E", "value": "v", "traceback": "t"}
    assert _event(error) == ErrorEvent("E", "v", "t")
    assert _event(
        {"type": "result", "is_main": True, "text": "1", "data": {"a": [1]}, "json": [1]}
    ) == Result(is_main=True, text="1", data={"a": [1]}, json=[1])


@pytest.mark.parametrize("structure", ["[" * 50_000 + "]" * 50_000, '"' + "x" * (5 << 20) + '"', "[1]", "1"])
def test_structures_that_are_too_deep_too_large_or_no_objects(structure: str) -> None:
    line = b'{"type":"result","id":"1","is_main":true,"data":' + structure.encode() + b"}"
    with pytest.raises(GuestError):
        _event_of(line)


def test_a_context_spoilt_by_its_kernel_is_not_used() -> None:
    def settings(context: object) -> ContextSettings | None:
        return protocol.settings_of(Pong(id="1", context=msgspec.Raw(msgspec.json.encode(context))))

    assert settings({"cwd": "/x", "env": {"A": "1"}}) == ContextSettings("/x", {"A": "1"})
    assert settings(None) is None
    assert settings({"cwd": "/x", "env": {"A": 1}}) is None
    assert settings({"cwd": "/x", "env": {"": "1"}}) is None
    assert settings({"cwd": "x" * 5000, "env": {}}) is None
    assert settings({"cwd": "/x", "env": {str(i): "x" for i in range(10_000)}}) is None


def test_requests_are_one_line_each() -> None:
    for line in (
        protocol.run("1", "a\nb\u2028", {"X": "1\n2"}, {"Y": "3\n4"}),
        protocol.hello("1", ContextSettings("/", {})),
        protocol.ping("1"),
    ):
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
    plain = {"op": "run", "id": "1", "code": "a\nb", "env": {"X": "1"}}
    assert json.loads(protocol.run("1", "a\nb", {"X": "1"}, {})) == plain
    assert json.loads(protocol.run("1", "a\nb", {"X": "1"}, {"Y": "2"})) == {**plain, "setenv": {"Y": "2"}}


def _event(fields: dict[str, Any]) -> object:
    return _event_of(json.dumps({"id": "1", **fields}).encode())


def _event_of(line: bytes) -> object:
    frame = protocol.decode(line)
    assert isinstance(frame, protocol.StdoutFrame | protocol.StderrFrame | ResultFrame | protocol.ErrorFrame)
    return protocol.event_of(frame)


@pytest.mark.parametrize("processes", [[0], [-1], [1 << 31], ["1"], [1, 2, 3, 4, 5]])
def test_processes_that_wait_are_few_and_have_numbers_of_processes(processes: list[Any]) -> None:
    line = json.dumps({"type": "activity", "id": "a", "reasons": [], "processes": processes}).encode()
    with pytest.raises(GuestError):
        protocol.decode(line)
