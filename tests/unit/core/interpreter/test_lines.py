from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.core.interpreter.lines import Lines
from sandlot.errors import GuestError


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_cut_anywhere_the_lines_are_the_same(data: bytes, cuts: list[int]) -> None:
    lines = Lines(limit=1000)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    found = [line for piece in pieces for line in lines.feed(piece)]
    assert found == data.split(b"\n")[:-1]


@pytest.mark.parametrize("data", [b"x" * 11, b"x" * 11 + b"\n", b"ok\n" + b"x" * 11])
def test_a_line_over_the_limit_is_refused_before_it_ends(data: bytes) -> None:
    with pytest.raises(GuestError, match="more than 10 bytes"):
        Lines(limit=10).feed(data)


def test_the_limit_counts_across_pieces() -> None:
    lines = Lines(limit=10)
    assert lines.feed(b"x" * 6) == []
    with pytest.raises(GuestError):
        lines.feed(b"x" * 6 + b"\n")


def test_a_line_at_the_limit_passes() -> None:
    assert Lines(limit=10).feed(b"x" * 10 + b"\n") == [b"x" * 10]
