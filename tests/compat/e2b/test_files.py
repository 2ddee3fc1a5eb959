"""Files through E2B's clients: in every form they read and write them, and what they say of them."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from e2b import (
    AsyncSandbox,
    AuthenticationException,
    FileNotFoundException,
    FileType,
    InvalidArgumentException,
    NotEnoughSpaceException,
    NotFoundException,
    Sandbox,
)
from e2b.exceptions import SandboxNotRunningException
from e2b.sandbox.filesystem.filesystem import WriteEntry

from sandlot import Sandbox as Native
from sandlot.server.local import LocalServer

from .conftest import Make

HOME = "/home/user"
MIB = 1024 * 1024
FORMS = [{}, {"use_octet_stream": True}, {"use_octet_stream": False}, {"gzip": True}]
ODD_NAMES = [
    "with space", "naïve 日本語 🦊.txt", 'a "quoted" one', "back\\slash", "100%", "50%25", "a+b&c=d",
    "semi;colon", "new\nline", "~tilde", "dot.", "'",
]  # fmt: skip


def shown(sandbox: Sandbox, command: str, user: str = "user") -> str:
    return sandbox.commands.run(command, user=user).stdout.strip()


# ── contents ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.e2b("files.write", "files.read", "POST /files", "GET /files")
@pytest.mark.parametrize("options", FORMS, ids=str)
@pytest.mark.parametrize("content", ["", "text ✓\r\n", "x" * 3_000_000], ids=["empty", "text", "long"])
def test_what_is_written_is_read(shared: Sandbox, options: dict[str, bool], content: str) -> None:
    path = "made/on the way/f.txt"
    written = shared.files.write(path, content, **options)
    assert (written.name, written.type, written.path) == ("f.txt", FileType.FILE, f"{HOME}/{path}")
    for zipped in (False, True):
        assert shared.files.read(path, gzip=zipped) == content
        assert shared.files.read(path, format="bytes", gzip=zipped) == content.encode()
        assert b"".join(shared.files.read(path, format="stream", gzip=zipped)) == content.encode()
    assert int(shown(shared, f"stat -c %s '{path}'")) == len(content.encode())


def test_files_and_iterators_are_streamed(sandbox: Sandbox, tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield from (b"a" * 70_000, b"", b"b" * 10)

    (tmp_path / "f").write_bytes(b"from a file")
    with (tmp_path / "f").open("rb") as file:
        sandbox.files.write("file", file)
    sandbox.files.write("text", io.StringIO("tëxt"), gzip=True)
    sandbox.files.write("pieces", pieces())
    assert sandbox.files.read("file") == "from a file"
    assert sandbox.files.read("text") == "tëxt"
    assert sandbox.files.read("pieces") == "a" * 70_000 + "b" * 10


@pytest.mark.parametrize("octets", [True, False])
@pytest.mark.e2b("files.write_files")
def test_a_thousand_files_in_one_call(sandbox: Sandbox, octets: bool) -> None:
    count = 50 if octets else 1000  # as octets each is a request
    files = [WriteEntry(path=f"many/{number % 7}/{number}", data=f"file {number}") for number in range(count)]
    written = sandbox.files.write_files(files, use_octet_stream=octets)
    assert [info.path for info in written] == [f"{HOME}/{file['path']}" for file in files]
    found = shown(sandbox, "find many -type f | wc -l; cat many/3/45")
    assert found == f"{count}\nfile 45"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_whatever_they_are(shared: Sandbox, name: str) -> None:
    folder = f"{HOME}/odd/{ODD_NAMES.index(name)}"
    path = f"{folder}/{name}"
    assert shared.files.write(path, "x").path == path
    shared.files.write_files([WriteEntry(path=path, data="y"), WriteEntry(path=f"{path} too", data="z")])
    assert sorted(entry.name for entry in shared.files.list(folder)) == sorted([name, f"{name} too"])
    assert (shared.files.read(path), shared.files.get_info(path).name) == ("y", name)
    shared.files.remove(path)
    assert not shared.files.exists(path)


async def test_many_at_once(async_sandbox: AsyncSandbox) -> None:
    async def pieces(number: int) -> AsyncIterator[bytes]:
        for _ in range(number):
            yield b"0123456789" * 1000

    await asyncio.gather(*(async_sandbox.files.write(f"f{number}", pieces(number)) for number in range(20)))
    sizes = {entry.name: entry.size for entry in await async_sandbox.files.list(".")}
    assert all(sizes[f"f{number}"] == number * 10_000 for number in range(20))
    read = await asyncio.gather(
        *(async_sandbox.files.read(f"f{number}", format="bytes") for number in range(20))
    )
    assert [len(content) for content in read] == [number * 10_000 for number in range(20)]
    stream = await async_sandbox.files.read("f19", format="stream")
    assert sum([len(chunk) async for chunk in stream]) == 190_000


def test_the_server_does_not_grow_with_a_file(server: LocalServer, shared: Sandbox) -> None:
    size = 192 * MIB
    before = resident(server)
    shared.files.write("large", (b"\0" * MIB for _ in range(size // MIB)), request_timeout=300)
    assert shared.files.get_info("large").size == size
    assert sum(len(chunk) for chunk in shared.files.read("large", format="stream")) == size
    assert resident(server) - before < 64 * MIB


def test_a_little_gzip_becomes_much_file_and_not_much_memory(server: LocalServer, shared: Sandbox) -> None:
    bomb = gzip.compress(bytes(128 * MIB)) + gzip.compress(b"and another")
    before = resident(server)
    headers = headers_for(shared) | {
        "content-type": "application/octet-stream", "content-encoding": "gzip",
    }  # fmt: skip
    address = f"{server.url}/files?path=bomb"
    httpx.post(address, content=bomb, headers=headers, timeout=120).raise_for_status()
    assert shared.files.get_info("bomb").size == 128 * MIB + len("and another")
    assert resident(server) - before < 64 * MIB
    for broken in (bomb[:-20], b"no gzip", b""):
        answer = httpx.post(address, content=broken, headers=headers, timeout=120)
        assert (answer.status_code, "gzip" in answer.json()["message"]) == (400, True)
    assert shared.files.get_info("bomb").size == 128 * MIB + len("and another")


def test_files_of_the_kernel_are_read_though_they_have_no_size(shared: Sandbox) -> None:
    assert "processor" in shared.files.read("/proc/cpuinfo")


# ── entries ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.e2b("files.list")
def test_lists_go_as_deep_as_asked(sandbox: Sandbox) -> None:
    for path in ("top/f", "top/a/f", "top/a/b/f", "top/a/b/c/f"):
        sandbox.files.write(path, "x")
    sandbox.commands.run("ln -s top way")

    def names(path: str, **options: int) -> list[str]:
        return [entry.path.removeprefix(f"{HOME}/") for entry in sandbox.files.list(path, **options)]

    assert names("top") == ["top/a", "top/f"]
    assert names("top", depth=2) == ["top/a", "top/a/b", "top/a/f", "top/f"]
    assert len(names("top", depth=1000)) == 7
    assert names("way") == ["way/a", "way/f"]
    assert ".profile" in names("")
    assert ".profile" in names("~")
    with pytest.raises(FileNotFoundException):
        sandbox.files.list("nowhere")
    with pytest.raises(InvalidArgumentException, match="not a directory"):
        sandbox.files.list("top/f")


@pytest.mark.e2b("files.get_info")
def test_all_there_is_to_know_of_an_entry(sandbox: Sandbox) -> None:
    sandbox.commands.run(
        "mkdir -p d && echo hello > d/f && chmod 4750 d/f && ln -s f d/link && ln -s nowhere d/broken"
        " && ln -s d way && mkfifo d/pipe && chmod 1777 d"
    )
    file = sandbox.files.get_info("d/f")
    assert (file.name, file.type, file.path, file.size) == ("f", FileType.FILE, f"{HOME}/d/f", 6)
    assert (file.mode, file.permissions) == (0o750, "-rwsr-x---")
    assert (file.owner, file.group, file.symlink_target) == ("user", "user", None)
    assert abs(file.modified_time - datetime.now(UTC)) < timedelta(hours=1)
    folder = sandbox.files.get_info("d")
    assert (folder.type, folder.permissions) == (FileType.DIR, "drwxrwxrwt")
    link = sandbox.files.get_info("way/link")
    assert (link.type, link.symlink_target, link.mode) == (FileType.SYMLINK, f"{HOME}/d/f", 0o750)
    assert link.permissions == "lrwxrwxrwx"
    listed = {entry.name: entry for entry in sandbox.files.list("d")}
    assert listed["link"].symlink_target == f"{HOME}/d/f"
    assert listed["broken"].type is FileType.SYMLINK
    assert set(listed) == {"f", "link", "broken"}  # the client leaves out what is none of its types
    assert sandbox.files.get_info("/").name == "/"


@pytest.mark.e2b("files.exists")
def test_what_exists(sandbox: Sandbox) -> None:
    sandbox.commands.run("touch f && ln -s nowhere broken")
    assert [sandbox.files.exists(path) for path in ("f", "broken", ".", "g", "f/g")] == [
        True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.e2b("files.make_dir")
def test_folders_are_made_once(sandbox: Sandbox) -> None:
    assert sandbox.files.make_dir("a/b/c")
    assert not sandbox.files.make_dir("a/b/c")
    assert shown(sandbox, "stat -c '%U %G %a' a a/b a/b/c") == "\n".join(["user user 755"] * 3)
    sandbox.files.write("f", "x")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.make_dir("f")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.make_dir("f/below")


@pytest.mark.e2b("files.rename")
def test_renaming_makes_the_folders_it_needs_and_replaces_a_file(sandbox: Sandbox) -> None:
    sandbox.files.write("f", "new")
    sandbox.files.write("new/place/f", "old")
    assert sandbox.files.rename("f", "new/place/f").path == f"{HOME}/new/place/f"
    assert sandbox.files.read("new/place/f") == "new"
    assert not sandbox.files.exists("f")
    assert sandbox.files.rename("new", "moved/new").type is FileType.DIR
    assert shown(sandbox, "stat -c %U moved") == "user"
    with pytest.raises(FileNotFoundException):
        sandbox.files.rename("nothing", "something")
    assert not sandbox.files.exists("something")


@pytest.mark.e2b("files.remove")
def test_removing_takes_all_below_and_asks_for_nothing_to_be_there(sandbox: Sandbox) -> None:
    sandbox.files.write("d/e/f", "x")
    sandbox.commands.run("ln -s /home/user/d link")
    sandbox.files.remove("link")
    assert sandbox.files.exists("d/e/f")
    sandbox.files.remove("d")
    assert not sandbox.files.exists("d")
    sandbox.files.remove("d")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.remove("/")


# ── users ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_user_says_where_paths_begin_and_whose_files_are_but_sets_no_limits(sandbox: Sandbox) -> None:
    assert sandbox.files.write("f", "root's", user="root").path == "/root/f"
    assert shown(sandbox, "stat -c '%U %G' /root/f", "root") == "root root"
    assert sandbox.files.read("/root/f") == "root's"
    sandbox.files.write("/opt/tool/config", "x")
    sandbox.files.make_dir("/opt/other")
    assert shown(sandbox, "stat -c '%U %G %a' /opt/tool/config /opt/tool /opt/other") == (
        "user user 644\nuser user 755\nuser user 755"
    )
    assert sandbox.files.get_info("/opt/tool/config").owner == "user"
    sandbox.files.write("/opt/tool/config", "y", user="root")
    assert shown(sandbox, "stat -c %U /opt/tool/config") == "root"


def test_a_file_that_is_replaced_keeps_its_mode(sandbox: Sandbox) -> None:
    sandbox.commands.run("echo a > script && chmod 700 script")
    sandbox.files.write("script", "echo b")
    assert shown(sandbox, "./script; stat -c %a script") == "b\n700"


@pytest.mark.parametrize("octets", [True, False])
def test_a_user_that_there_is_not(shared: Sandbox, octets: bool) -> None:
    with pytest.raises(AuthenticationException, match="nobody-here"):
        shared.files.write("f", "x", user="nobody-here", use_octet_stream=octets)
    with pytest.raises(AuthenticationException, match="nobody-here"):
        shared.files.make_dir("f", user="nobody-here")


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_has_no_content(shared: Sandbox) -> None:
    shared.commands.run("mkfifo pipe")
    with pytest.raises(FileNotFoundException, match="nothing"):
        shared.files.read("nothing")
    for path in (".", "pipe", "/dev/zero"):
        with pytest.raises(InvalidArgumentException):
            shared.files.read(path)
    for octets in (True, False):
        with pytest.raises(InvalidArgumentException):
            shared.files.write("/opt", "x", use_octet_stream=octets)
        with pytest.raises(InvalidArgumentException):
            shared.files.write("~other/f", "x", use_octet_stream=octets)


@pytest.mark.e2b("files.write(metadata=)")
@pytest.mark.parametrize("octets", [True, False])
def test_metadata_stay_with_the_file(sandbox: Sandbox, octets: bool) -> None:
    kept = {"author": "me", "purpose": "a test, no less"}
    written = sandbox.files.write("f", "x", metadata=kept, use_octet_stream=octets)
    assert written.metadata == sandbox.files.get_info("f").metadata == kept
    assert sandbox.files.rename("f", "sub/g").metadata == kept
    sandbox.commands.run("mv sub/g sub/h; ln -s h sub/link")
    assert {entry.name: entry.metadata for entry in sandbox.files.list("sub")} == {"h": kept, "link": kept}


@pytest.mark.e2b("files.write_files(metadata=)")
def test_metadata_are_of_every_file_written_at_once_and_of_the_last_writing(sandbox: Sandbox) -> None:
    files = [WriteEntry(path=f"{name}.txt", data=name) for name in "ab"]
    assert [info.metadata for info in sandbox.files.write_files(files, metadata={"Set": "1"})] == [
        {"set": "1"}
    ] * 2
    assert sandbox.files.write("a.txt", "again").metadata is None
    assert [sandbox.files.get_info(f"{name}.txt").metadata for name in "ab"] == [None, {"set": "1"}]


def test_metadata_that_cannot_be_kept(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentException, match="at most 3072 bytes"):
        sandbox.files.write("f", "x", metadata={"long": "x" * 4000})
    assert not sandbox.files.exists("f")
    with pytest.raises(NotFoundException, match="own disk"):
        sandbox.files.write("/dev/shm/f", "x", metadata={"author": "me"})
    assert sandbox.files.write("/dev/shm/f", "x").metadata is None


def test_a_full_disk(server: LocalServer) -> None:
    native = Native.create(disk_mib=64, url=server.url, api_key=server.key)
    try:
        sandbox = Sandbox.connect(native.id)
        with pytest.raises(NotEnoughSpaceException):
            sandbox.files.write("large", bytes(100 * MIB))
        with pytest.raises(NotEnoughSpaceException):
            sandbox.files.write("large", bytes(100 * MIB), use_octet_stream=True)
        assert not sandbox.files.exists("large")
        sandbox.files.write("small", "fits")
        assert sandbox.files.read("small") == "fits"
    finally:
        native.kill()


@pytest.mark.parametrize("octets", [True, False])
def test_a_sandbox_that_has_ended_has_no_files(make: Make, octets: bool) -> None:
    sandbox = make()
    sandbox.kill()
    files = sandbox.files
    for use in (
        lambda: files.read("f"),
        lambda: files.write("f", "x", use_octet_stream=octets),
        lambda: files.list("."),
        lambda: files.watch_dir("."),
    ):
        with pytest.raises(SandboxNotRunningException):
            use()


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("query", "type", "body", "says"),
    [
        ("", "application/octet-stream", b"x", "path"),
        ("?path=f", "text/plain", b"x", "multipart/form-data or application/octet-stream"),
        ("?path=f", "multipart/form-data", b"x", "boundary"),
        ("", FORM, PART % (b"f", b"x"), "ends before"),
        ("", FORM, b"no form", "multipart"),
        ("", FORM, PART % (b"", b"x") + b"--b--", "file name"),
        ("", FORM, PART % (b"f", b"x") + PART % (b"f", b"y") + b"--b--", "two files"),
        ("?path=f", FORM, PART % (b"g", b"x") + PART % (b"h", b"y") + b"--b--", "two files"),
    ],
)
def test_bodies_that_are_refused(
    server: LocalServer, shared: Sandbox, query: str, type: str, body: bytes, says: str
) -> None:
    headers = headers_for(shared) | {"content-type": type}
    answer = httpx.post(f"{server.url}/files{query}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert says in answer.json()["message"]


def test_parts_that_are_no_file_are_passed_over(server: LocalServer, sandbox: Sandbox) -> None:
    form = {"file": ("f", b"content"), "note": ("g", b"what for")}
    answer = httpx.post(f"{server.url}/files", files=form, data={"a": "b"}, headers=headers_for(sandbox))
    assert answer.json() == [{"name": "f", "type": "file", "path": f"{HOME}/f"}]
    assert not sandbox.files.exists("g")


def headers_for(sandbox: Sandbox) -> dict[str, str]:
    token = sandbox._envd_access_token
    assert token is not None
    return {"e2b-sandbox-id": sandbox.sandbox_id, "x-access-token": token}


def resident(server: LocalServer) -> int:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the server is gone")
