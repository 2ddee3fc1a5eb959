"""What a crash may have left on this host, of whichever instance, and taking it away.

Everything that Sandlot makes carries its instance's name. A thing is left over when no server of that
instance runs, and no sandbox that is written down is made of it: one that still runs, or one that is kept on
disk. Which snapshots there should be only the server's database tells; of these only what is no snapshot is
left over. Nothing without our names is looked at.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from sandlot.network.addresses import BLOCK_PREFIX, NETNS_DIR, AddressPlan
from sandlot.network.links import Links
from sandlot.network.netns import remove as remove_netns
from sandlot.node import loop, mounts
from sandlot.node.cgroups import CgroupLayout, CgroupTree
from sandlot.node.model import instance_of
from sandlot.node.processes import is_alive
from sandlot.node.records import Record, Records
from sandlot.node.snapshots import SnapshotStore
from sandlot.node.snapshots import remains as snapshots_remains

LOCK = "server.lock"
_NAME = re.compile(r"(?:sandlot[-_]|sl-?)([0-9a-f]{4})(?:-probe|-\d+)?", re.ASCII)
_NFT_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Trace:
    """One thing that is left. ``remove`` is idempotent; it raises OSError or SandlotError."""

    instance: str
    kind: str
    name: str
    remove: Callable[[], object] = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class _Kept:
    """What the sandboxes that run on without a server are made of; ``records`` and ``images`` are also those
    of sandboxes that are kept on disk.
    """

    ids: frozenset[str]
    disks: frozenset[str]
    networks: frozenset[str]
    records: frozenset[str]
    images: frozenset[str]

    @classmethod
    def of(cls, records: Iterable[Record]) -> _Kept:
        known = list(records)
        running = [record for record in known if _runs(record)]
        kept = [*running, *(record for record in known if record.suspended or record.aside)]
        return cls(
            frozenset(record.id for record in running),
            frozenset(name for record in running for name in record.disks()),
            frozenset(record.network for record in running if record.network),
            frozenset(record.id for record in kept),
            frozenset(name for record in kept for name in record.disks()),
        )


def _runs(record: Record) -> bool:
    if record.suspended is not None:
        return record.suspended.waking  # it may run already, and not be written down yet
    return record.main is not None and is_alive(record.main)


def find(own_data_dir: Path, only: str | None = None) -> list[Trace]:
    """All that is left, in the order in which it can be removed. ``only`` looks at one instance."""
    links = Links()
    try:
        folders = _data_folders(own_data_dir)
        cables = links.names()
        names = _named(cables) | folders.keys()
        served = {instance_of(folder) for folder in served_folders()}
        found: list[Trace] = []
        for instance in sorted(names - served):
            if only in (None, instance):
                found += _Instance(instance, folders.get(instance), links, cables).traces()
        return found
    finally:
        links.close()


def served_folders() -> Iterator[Path]:
    """The data folder of every server that runs on this host: it holds its lock file open, as we may, too."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            target = os.readlink(descriptor)
            if descriptor.parts[2] != str(os.getpid()) and target.endswith(f"/{LOCK}"):
                yield Path(target).parent


class _Instance:
    def __init__(self, name: str, data_dir: Path | None, links: Links, cables: Iterable[str]) -> None:
        self._name = name
        self._node = data_dir / "node" if data_dir is not None else None
        self._cables = [cable for cable in cables if cable.startswith(f"sl{name}-")]
        self._links = links
        self._run = Path(f"/run/sandlot-{name}")
        self._records = Records(self._node / "sandboxes") if self._node else None
        ids = self._records.ids() if self._records else set()
        read = (self._records.read(id) for id in ids) if self._records else ()
        self._kept = _Kept.of(record for record in read if record is not None)

    def traces(self) -> list[Trace]:
        found = [*self._groups(kill=True), *self._mounts(), *self._loops(), *self._network()]
        found += [*self._files(), *self._groups(kill=False)]
        return found

    def _trace(self, kind: str, name: str, remove: Callable[[], object]) -> Trace:
        return Trace(self._name, kind, name, remove)

    def _groups(self, *, kill: bool) -> Iterator[Trace]:
        layout = CgroupLayout.detect()
        for suffix in ("", "-probe"):
            tree = CgroupTree(f"{self._name}{suffix}", layout)
            for id in sorted(tree.ids() - self._kept.ids):
                group = tree.group(id)
                if not kill:
                    yield self._trace("control group", group.path, group.remove)
                elif pids := group.processes():
                    yield self._trace(
                        "processes", f"of {group.path}: {', '.join(map(str, pids))}", group.kill
                    )
            if not kill and not self._kept.ids and tree.exists():
                yield self._trace("control group", f"/{tree.name}", tree.remove)

    def _mounts(self) -> Iterator[Trace]:
        for root in (self._run, Path(f"{self._run}-probe")):
            for point in mounts.mounted_under(root):
                kept = self._kept.disks if point.is_relative_to(self._run / "disks") else self._kept.ids
                if not kept & set(point.parts):
                    yield self._trace("mount", str(point), partial(mounts.remove, [point]))

    def _loops(self) -> Iterator[Trace]:
        for folder in self._image_folders():
            for device, image in sorted(loop.devices_of(folder).items()):
                if image.stem not in self._kept.disks:
                    yield self._trace(
                        "loop device", f"/dev/{device} of {image}", partial(loop.detach, device, image)
                    )

    def _network(self) -> Iterator[Trace]:
        kept = {name.removeprefix("sl-") for name in self._kept.networks}
        for cable in sorted(self._cables):
            if cable.removeprefix("sl") not in kept:
                yield self._trace("cable", cable, partial(_with_links, partial(Links.cut, interface=cable)))
        for name in sorted(os.listdir(NETNS_DIR) if NETNS_DIR.is_dir() else ()):
            if name.startswith(f"sl-{self._name}-") and name not in self._kept.networks:
                yield self._trace("network namespace", name, partial(remove_netns, NETNS_DIR / name))
        if self._kept.ids:
            return
        table = f"sandlot_{self._name}"
        if table in _tables():
            yield self._trace("firewall table", table, partial(_nft, "delete", "table", "inet", table))
        for gateway in self._links.labelled(f"lo:sl{self._name}"):
            block = IPv4Network(f"{gateway}/{BLOCK_PREFIX}", strict=False)
            plan = AddressPlan(self._name, block)
            yield self._trace(
                "address block", str(block), partial(_with_links, partial(Links.let_go_of_block, plan=plan))
            )

    def _files(self) -> Iterator[Trace]:
        for folder in self._image_folders():
            for image in sorted(folder.glob("*.img")):
                if image.stem not in self._kept.images:
                    yield self._trace("disk image", str(image), partial(image.unlink, missing_ok=True))
        if self._records is not None:
            for id in sorted(self._records.ids() - self._kept.records):
                yield self._trace("record", id, partial(self._records.remove, id))
        yield from self._saved()
        for folder in sorted(self._run_folders()):
            yield self._trace("folder", str(folder), partial(_remove_folder, folder))

    def _saved(self) -> Iterator[Trace]:
        """Of snapshots and forks that were under way."""
        if self._node is None:
            return
        for folder in sorted((self._node / "captures").glob("*")):
            yield self._trace("capture", _sized(folder), partial(_remove_folder, folder))
        snapshots = self._node / "snapshots"
        for path in snapshots_remains(snapshots):
            yield self._trace("part of no snapshot", _sized(path), partial(_sweep, snapshots))

    def _run_folders(self) -> Iterator[Path]:
        probe = Path(f"{self._run}-probe")
        if probe.exists():
            yield probe
        if not self._kept.ids:
            yield from (folder for folder in (self._run,) if folder.exists())
            return
        for part, kept in (("sandboxes", self._kept.ids), ("disks", self._kept.disks)):
            if (self._run / part).is_dir():
                yield from (each for each in (self._run / part).iterdir() if each.name not in kept)

    def _image_folders(self) -> list[Path]:
        return [self._node / "disks", self._node / "probe"] if self._node else []


def _named(cables: Iterable[str]) -> set[str]:
    """Every instance of which something on this host has the name."""
    names = [*cables, *_tables()]
    for folder in (Path("/run"), NETNS_DIR, *CgroupLayout.detect().roots()):
        with contextlib.suppress(OSError):
            names += os.listdir(folder)
    matches = (_NAME.fullmatch(name) for name in names)
    return {match[1] for match in matches if match}


def _data_folders(own: Path) -> dict[str, Path]:
    """Where the instances keep their data: ours, and those whose loop devices tell."""
    found = {instance_of(own): own} if (own / "node").is_dir() else {}
    for image in loop.images():
        if image.parent.name in ("disks", "probe") and image.parent.parent.name == "node":
            folder = image.parent.parent.parent
            found.setdefault(instance_of(folder), folder)
    return found


def _tables() -> list[str]:
    words = (line.split() for line in _nft("list", "tables").splitlines())
    return [line[2] for line in words if len(line) == 3 and line[1] == "inet"]


def _nft(*arguments: str) -> str:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return ""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=_NFT_DEADLINE_S)
    return done.stdout


def _sized(path: Path) -> str:
    files = [each for each in (path, *path.rglob("*")) if each.is_file()]
    return f"{path} ({sum(each.stat().st_blocks * 512 for each in files) >> 20} MiB)"


def _sweep(snapshots: Path) -> None:
    store = SnapshotStore(snapshots, reserve_bytes=0)
    store.sweep(store.ids())


def _with_links(work: Callable[[Links], object]) -> None:
    links = Links()
    try:
        work(links)
    finally:
        links.close()


def _remove_folder(folder: Path) -> None:
    """Refuses where something is mounted below still: that must not be emptied through its mount."""
    if left := mounts.mounted_under(folder):
        raise OSError(f"{left[0]} is still mounted")
    if folder.exists():
        shutil.rmtree(folder)
