"""Files and their changes in this protocol's words."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, cast

import pytest

from sandlot.core.live import LiveSandbox
from sandlot.doors.e2b.envd.connect import Code, RpcError
from sandlot.doors.e2b.envd.entries import entries_of, entry_of
from sandlot.doors.e2b.envd.filesystem import _told, owner_for
from sandlot.doors.e2b.envd.filesystem_messages import ListResponse
from sandlot.doors.encoding import to_json
from sandlot.errors import NotFound
from sandlot.node.agent import FileInfo, FileKind, GuestAgent, WatchEvent


def info(path: str, kind: FileKind = "file", **changes: Any) -> FileInfo:
    known: dict[str, Any] = {
        "size": 7, "mode": 0o644, "uid": 1000, "gid": 1001, "owner": "ada", "group": "crew", "mtime": 1.5,
    }  # fmt: skip
    return FileInfo(path=path, name=path.rpartition("/")[2], kind=kind, **(known | changes))


class FakeAgent:
    """Knows where links lead."""

    def __init__(self, targets: dict[str, FileInfo] | None = None) -> None:
        self.targets = targets or {}
        self.entries: dict[str, FileInfo] = {}
        self.asked = 0

    async def stat(self, path: str, *, follow: bool = True, resolve: bool = False) -> FileInfo:
        self.asked += 1
        known = self.targets if resolve else self.entries
        if path not in known:
            raise NotFound(path)
        return known[path]


def agent(**options: Any) -> tuple[FakeAgent, GuestAgent]:
    fake = FakeAgent(**options)
    return fake, cast(GuestAgent, fake)


class FakeLive:
    """Its files have what ``kept`` says."""

    def __init__(self) -> None:
        self.agent = FakeAgent()
        self.node = self
        self.kept: dict[str, dict[str, str]] = {}

    async def file_attributes(self, paths: Collection[str], prefix: str) -> dict[str, dict[str, str]]:
        assert prefix == "user.e2b."
        return {path: self.kept[path] for path in paths if path in self.kept}


def live() -> tuple[FakeLive, LiveSandbox]:
    fake = FakeLive()
    return fake, cast(LiveSandbox, fake)


def test_an_entry_on_the_wire() -> None:
    assert json.loads(to_json(entry_of(info("/home/ada/f", mode=0o4755)))) == {
        "name": "f",
        "type": "FILE_TYPE_FILE",
        "path": "/home/ada/f",
        "size": "7",
        "mode": 0o755,
        "permissions": "-rwsr-xr-x",
        "owner": "ada",
        "group": "crew",
        "modifiedTime": "1970-01-01T00:00:01.500000Z",
    }


@pytest.mark.parametrize(
    ("kind", "mode", "type", "permissions"),
    [
        ("dir", 0o1777, "FILE_TYPE_DIRECTORY", "drwxrwxrwt"),
        ("other", 0o600, "FILE_TYPE_UNSPECIFIED", "?rw-------"),
        ("file", 0, "FILE_TYPE_FILE", "----------"),
    ],
)
def test_kinds(kind: FileKind, mode: int, type: str, permissions: str) -> None:
    entry = entry_of(info("/f", kind, mode=mode))
    assert (entry.type, entry.permissions) == (type, permissions)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1.25, "1969-12-31T23:59:58.750000Z"),
        (9.2e9, "2261-07-15T11:33:20Z"),
        (1e18, "9999-12-31T23:59:59.999999Z"),
        (-1e18, "0001-01-01T00:00:00Z"),
    ],
)
def test_times(seconds: float, shown: str) -> None:
    assert entry_of(info("/f", mtime=seconds)).modified_time == shown


def test_users_that_have_no_name() -> None:
    entry = entry_of(info("/f", owner="", group=""))
    assert (entry.owner, entry.group) == ("1000", "1001")


async def test_links_are_shown_as_what_they_lead_to() -> None:
    links = {f"/links/{number}": info(f"/real/{number}", "dir", mode=0o750) for number in range(1200)}
    fake, asked = agent(targets=links)
    infos = [info(path, "symlink", mode=0o777, target="x") for path in links]
    entries = await entries_of(
        asked, [*infos, info("/links/broken", "symlink", mode=0o777), info("/links/f")]
    )
    assert fake.asked == 1201
    assert [entry.path for entry in entries] == [*links, "/links/broken", "/links/f"]
    first, broken, file = entries[0], entries[-2], entries[-1]
    assert (first.type, first.mode, first.is_symlink) == ("FILE_TYPE_DIRECTORY", 0o750, True)
    assert (first.symlink_target, first.permissions) == ("/real/0", "lrwxrwxrwx")
    assert (broken.type, broken.symlink_target) == ("FILE_TYPE_SYMLINK", "/links/broken")
    assert (file.is_symlink, file.symlink_target) == (False, None)


def test_names_that_are_no_text_spoil_no_list() -> None:
    listed = ListResponse([entry_of(info("/d/\udcff\udcfe")), entry_of(info("/d/ok"))])
    names = [entry["name"] for entry in json.loads(to_json(listed).decode())["entries"]]
    assert names == ["\ufffd\ufffd", "ok"]


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────


def event(kind: Any, path: str) -> WatchEvent:
    return WatchEvent(kind, path, is_dir=False)


async def test_changes_are_named_from_the_folder_that_is_watched() -> None:
    _, asked = live()
    told = await _told(
        asked,
        [
            event("create", "/d/a/f"),
            event("rename", "/d/f"),
            event("remove", "/d"),
            event("write", "/d/\udcff"),
        ],
        "/d",
        False,
    )
    assert [(change.name, change.type) for change in told] == [
        ("a/f", "EVENT_TYPE_CREATE"), ("f", "EVENT_TYPE_RENAME"), (".", "EVENT_TYPE_REMOVE"),
        ("\ufffd", "EVENT_TYPE_WRITE"),
    ]  # fmt: skip
    [change] = await _told(asked, [event("chmod", "/f")], "/", False)
    assert change.name == "f"


async def test_entries_come_with_changes_of_what_is_still_there() -> None:
    fake, asked = live()
    fake.agent.entries["/d/f"] = info("/d/f")
    fake.kept["/d/f"] = {"author": "ada"}
    events = [
        event("create", "/d/f"),
        event("write", "/d/f"),
        event("remove", "/d/f"),
        event("create", "/d/g"),
    ]
    told = await _told(asked, events, "/d", True)
    assert [None if change.entry is None else change.entry.path for change in told] == [
        "/d/f", "/d/f", None, None,
    ]  # fmt: skip
    assert fake.agent.asked == 2
    assert told[0].entry is not None
    assert told[0].entry.metadata == {"author": "ada"}


async def test_lost_changes_are_an_error() -> None:
    _, asked = live()
    with pytest.raises(RpcError, match="watch it again") as raised:
        await _told(asked, [event("create", "/d/f"), event("overflow", "/d")], "/d", False)
    assert raised.value.code is Code.ABORTED


def test_whose_new_files_are() -> None:
    class Live:
        default_user = "user"

    asked = cast(LiveSandbox, Live())
    assert [owner_for(asked, user) for user in (None, "root", "1000:50")] == ["user:", "root:", "1000:50"]
