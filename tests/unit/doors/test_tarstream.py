"""The tar reader and writer, held against the standard library's."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandlot.doors.tarstream import MAX_PAX_BYTES, read_tar, write_tar
from sandlot.errors import InvalidArgument

Members = list[tuple[tarfile.TarInfo, bytes]]

_part = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120)
_raw_part = st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
_name = st.lists(
    st.one_of(_part, _raw_part.map(lambda raw: raw.decode("utf-8", "surrogateescape"))),
    min_size=1,
    max_size=4,
).map("/".join)
_formats = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


@st.composite
def _member(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(_name))
    info.type = draw(st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]))
    info.mode = draw(st.integers(0, 0o7777))
    info.uid = draw(st.integers(0, 2**31))
    info.gid = draw(st.integers(0, 2**31))
    info.mtime = draw(st.integers(0, 2**33))
    info.uname = draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(_name)
    data = draw(st.binary(max_size=2000)) if info.isreg() else b""
    info.size = len(data)
    return info, data


def _stdlib(members: Members, format: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, errors="surrogateescape") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


async def _chunked(data: bytes, sizes: Iterable[int]) -> AsyncIterator[bytes]:
    position = 0
    for size in sizes:
        yield data[position : position + size]
        position += size
    yield data[position:]


async def _read(data: bytes, sizes: Iterable[int] = ()) -> Members:
    members: Members = []
    async for item in read_tar(_chunked(data, sizes)):
        if isinstance(item, tarfile.TarInfo):
            members.append((item, b""))
        else:
            info, before = members[-1]
            members[-1] = (info, before + item)
    return members


def _facts(info: tarfile.TarInfo) -> tuple[object, ...]:
    return (
        info.name.rstrip("/"), info.type, info.mode, info.uid, info.gid, int(info.mtime), info.linkname,
        info.size, info.uname,
    )  # fmt: skip


# The first run on a machine builds tables of Unicode, which looks like slow generation.
patiently = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@patiently
@given(st.lists(_member(), max_size=6), _formats, st.lists(st.integers(0, 1500), max_size=20))
async def test_reads_what_the_standard_library_wrote_however_it_is_cut(
    members: Members, format: int, sizes: list[int]
) -> None:
    data = _stdlib(members, format)
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        expected = [_facts(info) for info in archive]
    read = await _read(data, sizes)
    assert [_facts(info) for info, _ in read] == expected
    assert [content for _, content in read] == [content for _, content in members]


@patiently
@given(st.lists(_member(), max_size=6), st.integers(1, 700))
async def test_the_standard_library_reads_what_we_wrote(members: Members, size: int) -> None:
    async def items() -> AsyncIterator[tarfile.TarInfo | bytes]:
        for info, data in members:
            yield info
            for start in range(0, len(data), size):
                yield data[start : start + size]

    written = b"".join([piece async for piece in write_tar(items())])
    assert len(written) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(written), errors="surrogateescape") as archive:
        read = list(archive)
        contents = [
            reader.read() if info.isreg() and (reader := archive.extractfile(info)) else b"" for info in read
        ]
    assert [_facts(info) for info in read] == [_facts(info) for info, _ in members]
    assert contents == [data for _, data in members]


@patiently
@given(st.lists(_member(), min_size=1, max_size=3), st.data())
async def test_damage_is_refused_or_read_but_never_a_crash(members: Members, data: st.DataObject) -> None:
    archive = bytearray(_stdlib(members, tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 8))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(archive)))
    for hostile in (bytes(archive), bytes(archive[:cut])):
        try:
            read = await _read(hostile)
        except InvalidArgument:
            continue
        for info, content in read:
            assert len(content) == (info.size if info.isreg() else 0)
            assert "\0" not in info.name


@patiently
@given(st.binary(max_size=3000))
async def test_noise_is_refused_or_empty(noise: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        assert await _read(noise) == []


async def test_an_empty_body_is_said_to_be_one() -> None:
    with pytest.raises(InvalidArgument, match="empty"):
        await _read(b"")


async def test_a_gigantic_header_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE
    info.size = MAX_PAX_BYTES + 1
    with pytest.raises(InvalidArgument, match="at most"):
        await _read(info.tobuf())


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_SPARSE, b"V", b"M", b"D"])
async def test_kinds_that_are_not_read_are_named(kind: bytes) -> None:
    info = tarfile.TarInfo("odd")
    info.type = kind
    with pytest.raises(InvalidArgument, match="odd"):
        await _read(info.tobuf())


async def test_pax_sparse_files_are_refused_with_advice() -> None:
    info = tarfile.TarInfo("hole")
    info.pax_headers = {"GNU.sparse.major": "1"}
    with pytest.raises(InvalidArgument, match="without -S"):
        await _read(info.tobuf(tarfile.PAX_FORMAT))


@pytest.mark.parametrize("data", [b"short", b"much too long a content"])
async def test_a_file_that_changed_its_size_spoils_no_archive_silently(data: bytes) -> None:
    info = tarfile.TarInfo("a")
    info.size = 10

    async def items() -> AsyncIterator[tarfile.TarInfo | bytes]:
        yield info
        yield data

    with pytest.raises(ValueError, match="data"):
        _ = [piece async for piece in write_tar(items())]
