from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st


def test_encoded_events_are_one_line_of_utf8_whatever_the_text() -> None:
    from sandlot_kernel.wire import encode

    line = encode({"text": "a\nb\u2028\x00\ud800 ü"})
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"text": "a\nb\u2028\x00? ü"}


@given(st.text())
def test_what_is_encoded_can_be_read_by_the_host(text: str) -> None:
    from sandlot_kernel.wire import encode

    from sandlot.core.interpreter import protocol

    frame: Any = protocol.decode(encode({"type": "stdout", "id": "1", "text": text}).rstrip(b"\n"))
    assert frame.text == text


@given(st.lists(st.binary(max_size=200).map(lambda data: data.replace(b"\n", b""))))
def test_requests_are_read_line_by_line(lines: list[bytes]) -> None:
    from sandlot_kernel.wire import Requests

    reader, writer = os.pipe()
    try:
        os.write(writer, b"".join(line + b"\n" for line in lines))
        os.close(writer)
        requests = Requests(reader)
        for number, line in enumerate(lines):
            assert requests.waiting == (number > 0)
            assert requests.read() == line
        assert requests.read() is None
    finally:
        os.close(reader)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b'{"id": 1}', b"\xff"])
def test_what_is_no_request(line: bytes) -> None:
    from sandlot_kernel.wire import decode

    with pytest.raises(ValueError):
        decode(line)
