"""Answers of a guest, honest and otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.errors import GuestError, InvalidArgument, NotFound
from sandlot.node.agent.files import encode_entry, read_entry, read_event, read_info
from sandlot.node.agent.link import decode_error
from sandlot.node.agent.model import PtySize, SpawnSpec, TreeEntry
from sandlot.node.agent.process import decode_output, encode_spawn, read_exit
from sandlot.node.agent.process import read_info as read_process
from sandlot.node.agent.wire import Reader, Writer

PARSERS: list[Callable[[bytes], Any]] = [
    decode_output,
    decode_error,
    lambda data: read_exit(Reader(data)),
    lambda data: read_process(Reader(data)),
    lambda data: read_info(Reader(data)),
    lambda data: read_entry(Reader(data)),
    lambda data: read_event(Reader(data)),
]


@given(st.sampled_from(PARSERS), st.binary(max_size=300))
def test_any_payload_is_understood_or_a_guest_error(parse: Callable[[bytes], Any], data: bytes) -> None:
    with contextlib.suppress(GuestError):
        parse(data)


names = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=50)


@given(st.integers(0, 255), st.integers(0, (1 << 64) - 1), st.integers(-(1 << 63), (1 << 63) - 1), names)
def test_fields_survive_the_way_there_and_back(small: int, large: int, signed: int, text: str) -> None:
    reader = Reader(Writer().u8(small).u64(large).i64(signed).text(text, "it").done())
    assert (reader.u8(), reader.u64(), reader.i64(), reader.text()) == (small, large, signed, text)
    reader.end()


def test_names_that_are_not_utf8_survive() -> None:
    assert Reader(Writer().text("caf\udce9", "it").done()).blob() == b"caf\xe9"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_no_guest_can_have_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Writer().text(text, "the path")


def test_something_left_over_is_no_answer() -> None:
    reader = Reader(b"\1\2")
    reader.u8()
    with pytest.raises(GuestError):
        reader.end()


def test_errors_become_their_class_with_a_printable_message() -> None:
    payload = Writer().u16(1).u32(2).blob(b"no such \x1b[31mfile").done()
    error = decode_error(payload)
    assert isinstance(error, NotFound)
    assert "\x1b" not in error.message
    assert error.details == {"errno": 2}


def test_an_unknown_error_code_is_the_guests_own_fault() -> None:
    assert isinstance(decode_error(Writer().u16(999).u32(0).blob(b"x").done()), GuestError)


entries = st.builds(
    TreeEntry,
    path=names.filter(lambda p: not p.startswith("/") and ".." not in p.split("/")),
    kind=st.just("file"),
    mode=st.integers(0, 0o7777),
    size=st.integers(0, 1 << 40),
    uid=st.integers(0, 1 << 31),
    gid=st.integers(0, 1 << 31),
    mtime=st.integers(0, 1 << 32).map(float),
)


@given(entries)
def test_tree_entries_survive_the_way_there_and_back(entry: TreeEntry) -> None:
    assert read_entry(Reader(encode_entry(entry))) == entry


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ".."])
def test_an_entry_that_leads_out_of_its_folder_is_refused(path: str) -> None:
    raw = Writer().u8(1).u32(0o644).u64(0).u32(0).u32(0).i64(0).text(path, "it").text("", "it").done()
    with pytest.raises(GuestError):
        read_entry(Reader(raw))


def test_an_impossible_exit_is_refused() -> None:
    with pytest.raises(GuestError):
        read_exit(Reader(Writer().u32(300).u32(0).u8(0).u64(0).u64(0).done()))


def test_a_timeout_that_rounds_to_nothing_is_still_one() -> None:
    spec = SpawnSpec(["true"], pty=PtySize(1, 2), timeout=0.0001)
    reader = Reader(encode_spawn(spec))
    assert (reader.u32(), reader.text(), reader.u32()) == (1, "true", 0)
    assert (reader.text(), reader.text(), reader.text()) == ("", "root", "")
    assert (reader.u8(), reader.u16(), reader.u16(), reader.u64()) == (1, 1, 2, 1)
