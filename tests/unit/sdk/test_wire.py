from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.sdk import InvalidArgumentError, Output, SandboxError
from sandlot.sdk import _wire as wire
from sandlot.sdk._collect import Collector
from sandlot.sdk._models import CommandExit

EVENTS = st.lists(st.fixed_dictionaries({"type": st.text(), "x": st.text() | st.integers()}))


@given(EVENTS, st.integers(1, 20))
def test_lines_come_whole_however_they_are_cut(events: list[dict[str, object]], size: int) -> None:
    data = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    lines = wire.LineSplitter()
    for start in range(0, len(data), size):
        lines.feed(data[start : start + size])
    assert [lines.pop() for _ in events] == events
    assert lines.pop() is None


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b"1\n", b"{}\n", b"\xff\n"])
def test_a_line_that_is_no_event_is_an_error(line: bytes) -> None:
    with pytest.raises(SandboxError, match="the server sent a line that is not"):
        wire.LineSplitter().feed(line)


def test_a_line_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_LINE", 10)
    with pytest.raises(SandboxError, match="more than 10 bytes"):
        wire.LineSplitter().feed(b"x" * 11)


@given(st.lists(st.binary(min_size=1), min_size=1), st.integers(0, 50))
def test_the_first_bytes_are_kept_and_the_text_is_whole(pieces: list[bytes], limit: int) -> None:
    kept = Collector(limit, {"stdout": 0, "stderr": 0})
    text, offset = "", 0
    for piece in pieces:
        text += kept.streams["stdout"].add(Output(stream="stdout", data=piece, offset=offset))
        offset += len(piece)
    text += kept.streams["stdout"].finish()
    whole = b"".join(pieces)
    result = kept.result(CommandExit(exit_code=0))
    assert result.stdout_bytes == whole[:limit]
    assert result.stdout_truncated == (len(whole) > limit)
    assert text == whole.decode(errors="replace")


def test_bytes_that_the_sandbox_dropped_count_as_missing() -> None:
    kept = Collector(100, {"stdout": 0, "stderr": 0})
    kept.streams["stdout"].add(Output(stream="stdout", data=b"late", offset=5000))
    assert kept.result(CommandExit(exit_code=0)).stdout_truncated


def test_queries_leave_out_what_is_none() -> None:
    params = {"a": None, "b": True, "c": ["x:1", "y&z"], "d": "sp ace", "e": [], "f": 0}
    assert wire.query(params) == "?b=true&c=x%3A1&c=y%26z&d=sp+ace&f=0"
    assert wire.query({}) == ""
    assert wire.query({"path": "\udcff"}) == "?path=%FF"
    with pytest.raises(InvalidArgumentError, match="not valid Unicode"):
        wire.query({"path": "\ud800"})


def test_ids_cannot_leave_their_place() -> None:
    assert wire.path("sandboxes", "../keys?x#y") == "/v1/sandboxes/..%2Fkeys%3Fx%23y"


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="at least one argument"):
        wire.command_body([])
