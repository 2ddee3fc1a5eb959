from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from sandlot.core.ids import is_sandbox_id, new_sandbox_id
from sandlot.core.paging import decode_cursor, encode_cursor
from sandlot.errors import InvalidArgument

moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))


@given(moments)
def test_a_cursor_survives_the_round_trip(at: datetime) -> None:
    id = new_sandbox_id()
    assert decode_cursor(encode_cursor(at, id)) == (at, id)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        _, id = decode_cursor(text)
    except InvalidArgument:
        return
    assert is_sandbox_id(id)


def test_ids_differ_and_are_labels() -> None:
    ids = {new_sandbox_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(is_sandbox_id(id) and len(id) <= 63 for id in ids)
