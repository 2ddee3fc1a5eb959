"""The codec against whatever a hostile guest may send."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.errors import GuestError
from sandlot.node.agent.frames import HEADER, MAX_PAYLOAD, Frame, FrameDecoder, FrameType, charge, encode

FROM_GUEST = [
    FrameType.WELCOME, FrameType.PONG, FrameType.REPLY, FrameType.ERROR, FrameType.DATA,
    FrameType.END, FrameType.WINDOW, FrameType.ENTRY, FrameType.OUTPUT,
]  # fmt: skip

frames = st.builds(
    Frame,
    kind=st.sampled_from(FROM_GUEST),
    final=st.booleans(),
    channel=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=3000),
)


def feed(decoder: FrameDecoder, data: bytes, sizes: Iterable[int]) -> list[Frame]:
    """As a socket does: into the decoder's own memory, in pieces."""
    found: list[Frame] = []
    steps = iter(sizes)
    at = 0
    while at < len(data):
        space = decoder.space()
        assert len(space) > 0
        size = min(len(space), len(data) - at, next(steps, len(data)))
        space[:size] = data[at : at + size]
        at += size
        found.extend(decoder.received(size))
    return found


@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 5000), max_size=40))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Frame], sizes: list[int]) -> None:
    data = b"".join(encode(f.kind, f.channel, f.payload, final=f.final) for f in sent)
    assert feed(FrameDecoder(), data, sizes) == sent


@pytest.mark.parametrize("size", [0, 1, 64 * 1024 - 13, 64 * 1024 - 12, 64 * 1024, MAX_PAYLOAD])
def test_large_frames_follow_small_ones(size: int) -> None:
    decoder = FrameDecoder()
    sent = [
        Frame(FrameType.DATA, False, 7, b"a"),
        Frame(FrameType.DATA, False, 7, bytes(size)),
        Frame(FrameType.REPLY, True, 7, b"z"),
    ]
    data = b"".join(encode(f.kind, f.channel, f.payload, final=f.final) for f in sent)
    assert feed(decoder, data * 3, [1000] * 10_000) == sent * 3


@given(st.binary(max_size=4000), st.lists(st.integers(1, 100), max_size=50))
def test_garbage_gives_frames_or_a_guest_error_and_nothing_else(data: bytes, sizes: list[int]) -> None:
    try:
        found = feed(FrameDecoder(), data, sizes)
    except GuestError:
        return
    assert sum(HEADER.size + len(frame.payload) for frame in found) <= len(data)


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(MAX_PAYLOAD + 1, FrameType.DATA, 0, 0, 1),
        HEADER.pack(0xFFFFFFFF, FrameType.DATA, 0, 0, 1),
        HEADER.pack(0, FrameType.SPAWN, 0, 0, 1),
        HEADER.pack(0, 0xEE, 0, 0, 1),
        HEADER.pack(0, FrameType.DATA, 2, 0, 1),
        HEADER.pack(0, FrameType.DATA, 0, 1, 1),
    ],
)
def test_what_no_guest_may_send_is_refused_by_its_header_alone(header: bytes) -> None:
    with pytest.raises(GuestError):
        feed(FrameDecoder(), header, [])


def test_a_frame_too_large_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="at most"):
        encode(FrameType.DATA, 1, bytes(MAX_PAYLOAD + 1))


def test_an_empty_frame_costs_credit_too() -> None:
    assert charge(0) == 64
    assert charge(65) == 65
