"""Bodies and ranges of files over HTTP: however they are cut, and whatever is wrong with them."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from sandlot.doors.bodies import REFUSED_BODY, STRANGERS_BODY, read_out
from sandlot.doors.e2b.envd.encodings import gunzipped, gzipped
from sandlot.doors.e2b.envd.forms import MAX_HEADER_BYTES, MAX_PARTS, Form
from sandlot.doors.e2b.envd.ranges import NotInFile, range_of
from sandlot.errors import InvalidArgument

TYPE = "multipart/form-data; boundary=bound"
Parts = Sequence[tuple[str, str | None, bytes]]


def cut(body: bytes, sizes: Sequence[int]) -> list[bytes]:
    """``body`` in pieces of these sizes, over and over."""
    pieces: list[bytes] = []
    while body:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(body[:size])
        body = body[size:]
    return pieces


async def chunks(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def form(parts: Parts) -> bytes:
    body = b""
    for name, file_name, content in parts:
        disposition = f'form-data; name="{name}"'
        if file_name is not None:
            escaped = file_name.replace("\\", "\\\\").replace('"', "%22").replace("\r", "%0D")
            disposition += f'; filename="{escaped}"'.replace("\n", "%0A")
        body += b"--bound\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + b"--bound--\r\n"


async def read(body: Sequence[bytes]) -> list[tuple[str, str | None, bytes]]:
    reader = Form(chunks(body), TYPE)
    found = []
    while (part := await reader.next_part()) is not None:
        found.append((part.name, part.file_name, b"".join([piece async for piece in reader.data()])))
    return found


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0%\\"), max_size=40)
CONTENTS = st.lists(
    st.sampled_from([b"\r\n", b"--", b"bound", b"\r\n--boun", b"\r", b"-", b"x", b"\0\xff", b"--bound"])
).map(b"".join)
SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@given(st.lists(st.tuples(st.just("file"), st.none() | NAMES, CONTENTS), max_size=4), SIZES)
@settings(deadline=None)
async def test_a_form_is_read_however_it_is_cut(parts: Parts, sizes: Sequence[int]) -> None:
    parts = [
        (name, file_name, content)
        for name, file_name, content in parts
        if b"\r\n--bound" not in b"\r\n" + content
    ]
    assert await read(cut(form(parts), sizes)) == parts


@given(st.binary(max_size=300), SIZES)
@settings(deadline=None)
async def test_what_is_no_form_is_refused(body: bytes, sizes: Sequence[int]) -> None:
    with pytest.raises(InvalidArgument):
        await read(cut(body, sizes))


@given(st.data())
@settings(deadline=None)
async def test_a_form_that_is_cut_off_is_refused(data: st.DataObject) -> None:
    whole = form([("file", "f", b"content"), ("file", "g", b"more")])
    end = data.draw(st.integers(0, len(whole) - len(b"--\r\n") - 1))
    with pytest.raises(InvalidArgument):
        await read([whole[:end]] if end else [])


async def test_what_is_left_of_a_part_is_passed_over() -> None:
    reader = Form(chunks([form([("a", None, b"x" * 1000), ("file", "f", b"y")])]), TYPE)
    for name in ("a", "file"):
        part = await reader.next_part()
        assert part is not None
        assert part.name == name
    assert await reader.next_part() is None


@pytest.mark.parametrize(
    ("disposition", "name", "file_name"),
    [
        (b'form-data; name="file"; filename="a b.txt"', "file", "a b.txt"),
        (b"form-data; name=file; filename=plain", "file", "plain"),
        (b'form-data; name="file"; filename="say \\"hi\\".txt"', "file", 'say "hi".txt'),
        (b'form-data; name="file"; filename=""', "file", ""),
        (b'form-data; name="file"', "file", None),
        (b'form-data; name="file"; filename="/deep/in/f"', "file", "/deep/in/f"),
        ('form-data; name="file"; filename="日本"'.encode(), "file", "日本"),
        (b'form-data; name="file"; filename="\xff"', "file", "\udcff"),
        (b"", "", None),
    ],
)
async def test_names_as_clients_write_them(disposition: bytes, name: str, file_name: str | None) -> None:
    body = b"--bound\r\ncontent-DISPOSITION: " + disposition + b"\r\n\r\nx\r\n--bound--"
    assert await read([body]) == [(name, file_name, b"x")]


async def test_forms_without_end_are_refused() -> None:
    part = b'--bound\r\nContent-Disposition: form-data; name="file"\r\n\r\n\r\n'
    with pytest.raises(InvalidArgument, match="parts"):
        await read([part * 100] * (MAX_PARTS // 100) + [part])
    with pytest.raises(InvalidArgument):
        await read([b"--bound\r\nContent-Disposition: " + b"x" * 2 * MAX_HEADER_BYTES])
    with pytest.raises(InvalidArgument):
        await read([b"--bound\r\n" + b"A: b\r\n" * 1000])


@pytest.mark.parametrize(
    "type", ["multipart/form-data", "multipart/form-data; boundary=", f"a; boundary={'x' * 9999}"]
)
def test_a_form_without_a_boundary_is_refused(type: str) -> None:
    with pytest.raises(InvalidArgument, match="content-type"):
        Form(chunks([]), type)


# ── gzip ────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=3), SIZES)
@settings(deadline=None)
async def test_gzip_is_undone_however_it_is_cut(members: Sequence[bytes], sizes: Sequence[int]) -> None:
    body = b"".join(map(gzip.compress, members))
    undone = [piece async for piece in gunzipped(chunks(cut(body, sizes)))]
    assert b"".join(undone) == b"".join(members)


async def test_gzip_comes_in_pieces_however_much_it_becomes() -> None:
    sizes = [len(piece) async for piece in gunzipped(chunks([gzip.compress(bytes(10_000_000))]))]
    assert sum(sizes) == 10_000_000
    assert max(sizes) <= 128 * 1024


@given(st.data())
@settings(deadline=None)
async def test_gzip_that_is_cut_off_or_none_is_refused(data: st.DataObject) -> None:
    whole = gzip.compress(b"some content")
    cut_off = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for body in (cut_off, b"\0" + cut_off, whole + b"rest"):
        with pytest.raises(InvalidArgument, match="gzip"):
            [piece async for piece in gunzipped(chunks([body]))]


async def test_gzip_is_made() -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"0123456789" * 1000

    made = b"".join([piece async for piece in gzipped(content())])  # type: ignore[arg-type]
    assert gzip.decompress(made) == b"0123456789" * 100_000


# ── ranges ──────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text("bytes=-0123456789 ,", max_size=20) | st.text(max_size=20), st.integers(1, 1000))
def test_no_range_leads_out_of_the_file(header: str, size: int) -> None:
    try:
        part = range_of(header, size)
    except NotInFile:
        return
    if part is not None:
        first, length = part
        assert 0 <= first < first + length <= size


@given(st.integers(1, 1000), st.integers(0, 999), st.integers(0, 999))
def test_ranges_are_what_slices_are(size: int, first: int, last: int) -> None:
    data = bytes(i % 251 for i in range(size))
    if first < size and first <= last:
        part = range_of(f"bytes={first}-{last}", size)
        assert part is not None
        assert data[part[0] : part[0] + part[1]] == data[first : last + 1]
    if last:
        part = range_of(f"bytes=-{last}", size)
        assert part is not None
        assert data[part[0] : part[0] + part[1]] == data[-last:]


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────


class Sender:
    """A client that sends ``pieces`` as fast as they are taken."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.taken = 0
        self.taken_before_the_answer: int | None = None

    async def receive(self) -> dict[str, object]:
        assert self.left > 0, "nothing more comes"
        self.left -= 1
        self.taken += 1
        return {"type": "http.request", "body": b"x" * 16384, "more_body": self.left > 0}

    async def send(self, message: object) -> None:
        if self.taken_before_the_answer is None:
            self.taken_before_the_answer = self.taken


async def answered(sender: Sender, status: int, reads: int) -> int | None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(reads):
            await receive()
        await PlainTextResponse("no", status)(scope, receive, send)

    await app({"type": "http"}, *read_out(sender.receive, sender.send))  # type: ignore[arg-type]
    return sender.taken_before_the_answer


async def test_a_refusal_waits_for_what_is_still_being_sent() -> None:
    assert await answered(Sender(10), 400, 0) == 10
    assert await answered(Sender(10), 507, 4) == 10
    assert await answered(Sender(10), 400, 10) == 10


async def test_but_not_for_all_and_for_a_stranger_not_for_long() -> None:
    assert await answered(Sender(10**6), 507, 0) == REFUSED_BODY // 16384
    assert await answered(Sender(10**6), 401, 0) == STRANGERS_BODY // 16384
    assert await answered(Sender(10), 200, 0) == 0
