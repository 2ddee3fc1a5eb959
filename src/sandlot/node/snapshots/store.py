"""The store: which snapshots there are, what they share, and what nothing needs any more.

Five folders: ``manifests`` (a folder for each snapshot), ``packs`` (their pages), ``copies`` (files put
together for restores), ``new`` (manifests being written) and ``gone`` (those of deleted snapshots until their
space is given back). A snapshot is there from the rename of its manifest, when all that it names is on disk,
to the rename that takes the manifest away; what a crash leaves besides, :meth:`SnapshotStore.sweep` removes.
One process at a time uses a store, with as many threads as it likes.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from sandlot.errors import Conflict, InvalidArgument, NotFound, SandlotError
from sandlot.node.failures import plainly
from sandlot.node.snapshots import manifest
from sandlot.node.snapshots.copies import Copies, Materialised
from sandlot.node.snapshots.manifest import Head, Manifest, Part
from sandlot.node.snapshots.packs import Packs
from sandlot.node.snapshots.pages import PAGE
from sandlot.node.snapshots.ranges import Range, length, without
from sandlot.node.snapshots.saving import compare, take
from sandlot.node.snapshots.space import Space
from sandlot.node.sums import sync_folder

log = structlog.get_logger(__name__)

__all__ = ["Materialised", "SnapshotStore", "remains"]

COPIES_BYTES = 2 << 30
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}", re.ASCII)


class SnapshotStore:
    """Below ``folder``. ``reserve_bytes`` of its file system stay free. All methods block."""

    def __init__(self, folder: Path, *, reserve_bytes: int, copies_bytes: int = COPIES_BYTES) -> None:
        self._folder = folder
        self._manifests = folder / "manifests"
        self._new = folder / "new"
        self._gone = folder / "gone"
        self._copies_folder = folder / "copies"
        self._packs = Packs(folder / "packs")
        self.space = Space(folder.parent, reserve_bytes)
        """Of the same disk: where it is short, copies that nobody uses go first."""
        self._copies = Copies(self._copies_folder, self._packs, self.space, limit_bytes=copies_bytes)
        self._lock = threading.RLock()
        self._opened = False
        self._heads: dict[str, Head] = {}
        self._unreadable: set[str] = set()
        self._saving: set[str] = set()
        self._fresh: set[str] = set()
        self._pinned: dict[str, Manifest] = {}
        self._pins: Counter[str] = Counter()

    # ── what a node does with it ─────────────────────────────────────────────────────────────────────

    def save(
        self, id: str, files: Mapping[str, Path], about: dict[str, Any], *, like: str | None = None
    ) -> int:
        """Keep these files, and ``about``, which JSON can say; how many bytes that added to the disk.

        Pages that the snapshot ``like`` has in the file of the same name are shared with it: name the last
        snapshot of the same sandbox, or the one that it was made from. Without it a file may become part of
        the store as it is, by a second link: nobody may write to it any more. The caller removes its own.

        All is on disk when this returns; where it raises nothing is left: Conflict (the id is taken),
        NotEnoughSpace, Unavailable.
        """
        _check(id)
        with self._ready():
            if id in self._saving or (self._manifests / id).exists():
                raise Conflict(f"there is a snapshot {id} already")
            self._saving.add(id)
        packs: list[str] = []
        try:
            with self._former(like) as former:
                parts = {name: self._save_file(path, former.get(name), packs) for name, path in files.items()}
                return self._publish(id, about, parts, packs)
        except BaseException as error:
            with self._lock:
                for pack in packs:
                    self._packs.remove(pack)
            if (plain := plainly(error)) is not None:
                raise plain from error
            raise
        finally:
            with self._lock:
                self._fresh.difference_update(packs)
                self._saving.discard(id)

    def about(self, id: str) -> dict[str, Any]:
        """Raises NotFound, Conflict where it is damaged."""
        with self._ready():
            return manifest.read_head(self._manifests / _check(id)).about

    @contextmanager
    def open(self, id: str, names: Sequence[str]) -> Iterator[Materialised]:
        """These of its files, each verified once in this run, for as long as the context lasts.

        Raises NotFound, Conflict where it is damaged, NotEnoughSpace.
        """
        with self._pin(_check(id)) as found:
            if unknown := [name for name in names if name not in found.parts]:
                raise NotFound(f"snapshot {id} has no {', '.join(unknown)}")
            with self._copies.of(found, names) as copy:
                yield copy

    def delete(self, id: str) -> dict[str, int]:
        """Idempotent. Who has it open may go on; what others share with it stays.

        A page counts for the oldest snapshot that has it, which is what ``save`` returns. So some count for
        more from now on: for how many bytes, by id.
        """
        with self._ready():
            return self._delete(_check(id))

    def ids(self) -> set[str]:
        """Damaged ones, too."""
        with self._ready():
            return self._ids()

    def sweep(self, keep: Iterable[str]) -> list[str]:
        """Remove every snapshot that is not in ``keep``, and what a crash left; says what that was."""
        with self._ready():
            stray = sorted(self._ids() - set(keep) - self._saving)
            for id in stray:
                self._delete(id)
            return [*stray, *self._remove_strays()]

    # ── saving ───────────────────────────────────────────────────────────────────────────────────────

    def _save_file(self, source: Path, former: Part | None, packs: list[str]) -> Part:
        name = self._new_pack(packs)
        if former is None and (part := take(source, self._packs, name, self.space)) is not None:
            return part
        part = compare(source, self._packs, name, self.space, former)
        if name not in part.packs:
            self._packs.remove(name)
            packs.remove(name)
        return part

    def _new_pack(self, packs: list[str]) -> str:
        name = self._packs.new_name()
        with self._lock:
            self._fresh.add(name)
        packs.append(name)
        return name

    def _publish(self, id: str, about: dict[str, Any], parts: dict[str, Part], packs: list[str]) -> int:
        self._packs.sync()
        key = secrets.token_hex(8)
        aside = self._new / key
        try:
            head = manifest.write(aside, id, key, about, parts)
            added = sum(map(self._packs.allocated_bytes, packs)) + manifest.allocated_bytes(aside)
            with self._lock:
                self._appear(aside, id)
                self._heads[id] = head
            return added
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def _appear(self, aside: Path, id: str) -> None:
        aside.rename(self._manifests / id)
        try:
            sync_folder(self._manifests)
        except BaseException:
            (self._manifests / id).rename(aside)
            raise

    @contextmanager
    def _former(self, id: str | None) -> Iterator[dict[str, Part]]:
        """The files of the snapshot to compare with; none where it cannot serve."""
        with contextlib.ExitStack() as stack:
            try:
                found = stack.enter_context(self._pin(_check(id))) if id is not None else None
            except SandlotError as error:
                log.info("a snapshot shares nothing with the one before", former=id, reason=error.message)
                found = None
            yield found.parts if found else {}

    # ── what is in use ───────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _pin(self, id: str) -> Iterator[Manifest]:
        """Its pages stay, though it be deleted meanwhile. Raises NotFound, Conflict where it is damaged."""
        with self._ready():
            folder = self._manifests / id
            head = manifest.read_head(folder)
            key = head.key
            if key not in self._pinned:
                self._pinned[key] = Manifest(head, manifest.read_parts(folder, head))
            found = self._pinned[key]
            self._pins[key] += 1
        try:
            yield found
        finally:
            with self._lock:
                self._pins[key] -= 1
                if not self._pins[key]:
                    del self._pins[key], self._pinned[key]
                    if (self._gone / key).exists():
                        self._finish(self._gone / key, head)

    def _delete(self, id: str) -> dict[str, int]:
        folder = self._manifests / id
        if not folder.exists():
            return {}
        heirs = self._heirs(id)
        head = self._heads.pop(id, None)
        self._unreadable.discard(id)
        gone = self._gone / (head.key if head else secrets.token_hex(8))
        folder.rename(gone)
        sync_folder(self._manifests)
        if head is None:
            shutil.rmtree(gone)
            return heirs
        self._copies.forget(head.key)
        if head.key not in self._pinned:
            self._finish(gone, head)
        return heirs

    def _heirs(self, id: str) -> dict[str, int]:
        """For how many bytes more the others count without this one."""
        found: dict[str, int] = {}
        with contextlib.suppress(KeyError, Conflict, NotFound):
            own = self._heads[id]
            rest = manifest.ranges(self._parts(own).values())
            others = [head for head in self._heads.values() if head is not own and head.packs & rest.keys()]
            for head in sorted(others, key=lambda head: head.made_at):
                theirs = manifest.ranges(self._parts(head).values())
                left = {pack: list(without(ranges, theirs.get(pack, ()))) for pack, ranges in rest.items()}
                pages = sum(map(length, rest.values())) - sum(map(length, left.values()))
                if head.made_at > own.made_at and pages:
                    found[head.id] = pages * PAGE
                rest = left
        return found

    def _finish(self, gone: Path, head: Head) -> None:
        """Give back what a deleted snapshot alone had. Where that fails now, it is for the next sweep."""
        try:
            self._collect(manifest.read_parts(gone, head))
            shutil.rmtree(gone)
        except (OSError, SandlotError) as error:
            log.warning("space of a deleted snapshot is not free yet", snapshot=head.id, reason=str(error))

    def _remove_strays(self) -> list[str]:
        if not self._saving:
            for folder in self._new.iterdir():
                shutil.rmtree(folder)
        for gone in self._gone.iterdir():
            if gone.name not in self._pinned:
                self._finish_later(gone)
        if self._unreadable:
            log.warning("pages of damaged snapshots stay until these are deleted", ids=self._unreadable)
            return []
        used = self._fresh.union(*(head.packs for head in self._users()))
        stray = sorted(self._packs.names() - used)
        for pack in stray:
            self._packs.remove(pack)
        return [f"pack {pack}" for pack in stray]

    def _finish_later(self, gone: Path) -> None:
        try:
            self._finish(gone, manifest.read_head(gone))
        except (Conflict, NotFound):
            shutil.rmtree(gone)  # a crash came while it was removed, and that is the last step

    def _collect(self, parts: dict[str, Part]) -> None:
        """Give back the space of the pages in ``parts`` that no snapshot needs.

        Raises Conflict while a damaged snapshot may need them, OSError.
        """
        if self._unreadable:
            raise Conflict(f"damaged snapshots may need it: {', '.join(sorted(self._unreadable))}")
        had = manifest.ranges(parts.values())
        used: dict[str, list[Range]] = {}
        for head in self._users():
            if head.packs & had.keys():
                for pack, ranges in manifest.ranges(self._parts(head).values()).items():
                    used.setdefault(pack, []).extend(ranges)
        for pack, ranges in had.items():
            if pack in used:
                self._packs.free(pack, without(ranges, used[pack]))
            else:
                self._packs.remove(pack)

    def _users(self) -> list[Head]:
        found = {head.key: head for head in self._heads.values()}
        found.update((key, pinned.head) for key, pinned in self._pinned.items())
        return list(found.values())

    def _parts(self, head: Head) -> dict[str, Part]:
        if (pinned := self._pinned.get(head.key)) is not None:
            return pinned.parts
        return manifest.read_parts(self._manifests / head.id, head)

    # ── the folders ──────────────────────────────────────────────────────────────────────────────────

    def _ids(self) -> set[str]:
        return {path.name for path in self._manifests.iterdir()}

    @contextmanager
    def _ready(self) -> Iterator[None]:
        """The lock, with the store opened."""
        with self._lock:
            if not self._opened:
                self._open()
            yield

    def _open(self) -> None:
        # What an earlier run put together may have changed since: it is not trusted.
        shutil.rmtree(self._copies_folder, ignore_errors=True)
        for folder in (self._manifests, self._new, self._gone, self._copies_folder, self._packs.folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for id in self._ids():
            try:
                self._heads[id] = manifest.read_head(self._manifests / id)
            except Conflict as error:
                log.warning("a snapshot is damaged", snapshot=id, reason=error.message)
                self._unreadable.add(id)
        self._opened = True


def remains(folder: Path) -> list[Path]:
    """What a sweep of a store that nobody uses would remove besides snapshots. Changes nothing."""
    found = [path for part in ("new", "gone", "copies") for path in (folder / part).glob("*")]
    used: set[str] = set()
    for each in (folder / "manifests").glob("*"):
        try:
            used |= manifest.read_head(each).packs
        except Conflict:
            return sorted(found)
    return sorted([*found, *(path for path in (folder / "packs").glob("*") if path.name not in used)])


def _check(id: str) -> str:
    if not _ID.fullmatch(id):
        raise InvalidArgument(f"a snapshot id is lower-case letters, digits, dashes and lines, not {id!r}")
    return id
