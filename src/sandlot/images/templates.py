"""The templates of one host: what there is, how it is built, and when old versions go.

On disk, under the root folder::

    <template>.json      the current version: its layers, its configuration
    layers/<name>-<key>  finished layers; never changed again, because running sandboxes stand on them
    building/            what a build is making; anything here outside a build is left over from a killed one
    logs/<template>.log  the last build's output
    lock                 held by the one builder at work and by all its processes
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandlot.errors import Conflict, InvalidArgument, NotEnoughSpace, NotFound, PermissionDenied, Unavailable
from sandlot.images.apt import Archive, host_archive
from sandlot.images.layers import Workbench, make_layer, tree_bytes
from sandlot.images.progress import Progress, Report
from sandlot.images.recipe import RECIPES, LayerRecipe, TemplateRecipe
from sandlot.images.runner import Runner

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62})")
_LOCK_POLL_S = 0.5
_LOCK_DEADLINE_S = 2 * 3600
_TOOLS = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "setpriv": "util-linux", "mount": "mount"}


@dataclass(frozen=True)
class TemplateConfig:
    """How a sandbox made from the template behaves where its creator says nothing else.

    ``start`` is a line for its shell that runs on from its boot, ``ready`` one that exits with 0 once what
    that began can be used; only then is the sandbox handed over.
    """

    user: str = "user"
    workdir: str = "/home/user"
    env: Mapping[str, str] = field(default_factory=dict)
    kernels: Mapping[str, list[str]] = field(default_factory=dict)
    start: str | None = None
    ready: str | None = None


@dataclass(frozen=True)
class Template:
    """A built template. ``layers`` are read-only folders, top first, as overlayfs's ``lowerdir`` has them."""

    name: str
    id: str
    layers: tuple[Path, ...]
    config: TemplateConfig


@dataclass(frozen=True)
class TemplateInfo:
    """What a list of templates shows. ``size_bytes`` counts layers that templates share in each of them."""

    name: str
    id: str
    description: str
    size_bytes: int
    built_at: datetime


class Templates:
    """The templates under ``root``. Reading is for anyone; building needs root and one builder at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._layers = self._root / "layers"

    def list(self) -> list[TemplateInfo]:
        """Every template that is built, by name."""
        records = [_read_json(path) for path in sorted(self._root.glob("*.json"))]
        return [
            TemplateInfo(
                name=record["name"],
                id=record["id"],
                description=record["description"],
                size_bytes=record["size_bytes"],
                built_at=datetime.fromisoformat(record["built_at"]),
            )
            for record in records
        ]

    def resolve(self, name: str) -> Template:
        """The current version. Raises NotFound, saying which templates there are and how to build one."""
        if _NAME.fullmatch(name):
            with contextlib.suppress(FileNotFoundError):
                template = self._template(_read_json(self._root / f"{name}.json"))
                if all(layer.is_dir() for layer in template.layers):
                    return template
        if name in RECIPES:
            raise NotFound(
                f"template {name!r} is not built on this host; build it: sandlot templates build {name}"
            )
        built = ", ".join(info.name for info in self.list()) or "none yet"
        raise NotFound(
            f"there is no template {name[:64]!r}. Built: {built}. "
            f"`sandlot templates build NAME` builds {', '.join(RECIPES)}"
        )

    async def build(self, name: str, *, progress: Report, force: bool = False) -> Template:
        """Builds what is missing of ``name`` and makes it current; ``force`` builds all of it anew.

        Running sandboxes keep the version that they were made from. Raises InvalidArgument for a name
        without a recipe, PermissionDenied when not root, Unavailable, NotEnoughSpace, and BuildFailed.
        """
        recipe = RECIPES.get(name)
        if recipe is None:
            raise InvalidArgument(f"there is no recipe for {name[:64]!r}; there are {', '.join(RECIPES)}")
        archive = await asyncio.to_thread(host_archive)
        if force or not self._is_current(recipe, archive):
            _require_builder()
            async with self._locked(progress) as held:
                await self._build_layers(recipe, archive, held, progress, force=force)
                self._publish_all(archive)
        return self.resolve(name)

    def prune(self, *, keep: Collection[Path] = ()) -> Sequence[Path]:
        """Removes layers that no current template uses, nothing mounts, and ``keep`` does not name.

        ``keep`` holds the layers of sandboxes and snapshots that are not mounted now. Returns what is gone.
        Raises Conflict while a build is running.
        """
        with _try_lock(self._root) as held:
            if held is None:
                raise Conflict("a template is being built; prune when it is done")
            used = {layer for info in self.list() for layer in self.resolve(info.name).layers}
            used |= {path.absolute() for path in keep}
            mounted = _mounts()
            removed = []
            for folder in sorted(self._layers.glob("*")):
                if folder / "rootfs" in used or folder.name in mounted:
                    continue
                doomed = self._building() / folder.name
                folder.rename(doomed)
                shutil.rmtree(doomed)
                removed.append(folder / "rootfs")
            return removed

    async def _build_layers(
        self, recipe: TemplateRecipe, archive: Archive, held: int, report: Report, *, force: bool
    ) -> None:
        await asyncio.to_thread(_empty, self._building())
        log = self._root / "logs" / f"{recipe.name}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {recipe.name} for {archive}\n")
        runner = Runner(log, held=held)
        below: tuple[Path, ...] = ()
        for layer in recipe.top.chain():
            finished = None if force else self._find(layer, archive)
            if finished is None:
                finished = await self._build_layer(layer, below, archive, runner, report)
            below = (finished, *below)

    async def _build_layer(
        self, recipe: LayerRecipe, below: tuple[Path, ...], archive: Archive, runner: Runner, report: Report
    ) -> Path:
        free = shutil.disk_usage(self._root).free
        if free < recipe.needs_bytes:
            raise NotEnoughSpace(
                f"building {recipe.name} needs {recipe.needs_bytes >> 20} MiB free under {self._root}; "
                f"there are {free >> 20} MiB"
            )
        started = time.monotonic()
        staging = self._building() / recipe.name
        staging.mkdir(mode=0o700)
        try:
            report(Progress(recipe.name, "starting"))
            rootfs = await make_layer(recipe, below, Workbench(staging, archive, runner, report))
            report(Progress(recipe.name, "saving"))
            await runner.run(["sync", "--file-system", rootfs], deadline_s=600, isolated=False)
            final = self._free_name(f"{recipe.name}-{recipe.key(archive)}")
            ready = self._building() / "ready"
            ready.mkdir(mode=0o755)
            rootfs.rename(ready / "rootfs")
            seconds = time.monotonic() - started
            size = await asyncio.to_thread(tree_bytes, ready / "rootfs")
            record = {
                "name": recipe.name,
                "size_bytes": size,
                "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "build_s": round(seconds, 1),
                "packages_from": f"{archive.os} {archive.suite} {archive.architecture}",
            }
            _write_json(ready / "layer.json", record)
            self._layers.mkdir(exist_ok=True)
            ready.rename(final)
        finally:
            await asyncio.to_thread(_empty, self._building())
        report(Progress(recipe.name, f"built in {seconds:.0f} s, {size >> 20} MiB", 1.0))
        return final / "rootfs"

    def _find_all(self, recipe: TemplateRecipe, archive: Archive) -> tuple[Path, ...] | None:
        """The finished layers of the recipe as it is now, top first; None when one is missing."""
        found = [self._find(layer, archive) for layer in reversed(recipe.top.chain())]
        return tuple(layer for layer in found if layer) if all(found) else None

    def _find(self, recipe: LayerRecipe, archive: Archive) -> Path | None:
        """The newest finished layer with these inputs: a forced build adds another beside the first."""
        first = self._layers / f"{recipe.name}-{recipe.key(archive)}"
        newest = first if (first / "layer.json").is_file() else None
        for again in sorted(self._layers.glob(f"{first.name}.*"), key=lambda p: int(p.suffix[1:])):
            newest = again
        return newest / "rootfs" if newest else None

    def _free_name(self, name: str) -> Path:
        path = self._layers / name
        attempt = 1
        while path.exists():
            attempt += 1
            path = self._layers / f"{name}.{attempt}"
        return path

    def _is_current(self, recipe: TemplateRecipe, archive: Archive) -> bool:
        layers = self._find_all(recipe, archive)
        path = self._root / f"{recipe.name}.json"
        return layers is not None and path.is_file() and _read_json(path) == _record(recipe, layers)

    def _publish_all(self, archive: Archive) -> None:
        """What was built for one template is current in every other that is made of it, too."""
        for recipe in RECIPES.values():
            layers = self._find_all(recipe, archive)
            if layers and not self._is_current(recipe, archive):
                _write_json(self._root / f"{recipe.name}.json", _record(recipe, layers))

    def _template(self, record: dict[str, Any]) -> Template:
        return Template(
            name=record["name"],
            id=record["id"],
            layers=tuple(self._layers / name / "rootfs" for name in record["layers"]),
            config=TemplateConfig(**record["config"]),
        )

    def _building(self) -> Path:
        path = self._root / "building"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    @contextlib.asynccontextmanager
    async def _locked(self, report: Report) -> AsyncIterator[int]:
        deadline = time.monotonic() + _LOCK_DEADLINE_S
        waiting = False
        while True:
            with _try_lock(self._root) as held:
                if held is not None:
                    yield held
                    return
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"another build has held {self._root / 'lock'} for {_LOCK_DEADLINE_S // 3600} hours"
                )
            if not waiting:
                report(Progress("waiting", "another build is running on this host"))
                waiting = True
            await asyncio.sleep(_LOCK_POLL_S)


def _record(recipe: TemplateRecipe, layers: Sequence[Path]) -> dict[str, Any]:
    """What a template's file says; the id is of everything that a sandbox made from it would notice."""
    config = TemplateConfig(
        env=_GUEST_ENV,
        kernels={name: list(words) for name, words in recipe.kernels.items()},
        start=recipe.start,
        ready=recipe.ready,
    )
    # What a template does not have its file does not mention, and so keeps the id that it had.
    said = {name: value for name, value in asdict(config).items() if value is not None}
    body = {"layers": [layer.parent.name for layer in layers], "config": said}
    made = [_read_json(layer.parent / "layer.json") for layer in layers]
    return {
        "name": recipe.name,
        "id": hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16],
        "description": recipe.description,
        "size_bytes": sum(layer["size_bytes"] for layer in made),
        "built_at": max(layer["built_at"] for layer in made),
        **body,
    }


# The user's own `pip install` puts commands in ~/.local/bin, and not every command runs in a login shell.
_GUEST_ENV: Mapping[str, str] = {
    "PATH": "/home/user/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@contextlib.contextmanager
def _try_lock(root: Path) -> Iterator[int | None]:
    root.mkdir(parents=True, exist_ok=True)
    file = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file
    finally:
        os.close(file)


def _require_builder() -> None:
    if os.geteuid() != 0:
        raise PermissionDenied("building a template needs root: it mounts file systems and sets owners")
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if missing:
        raise Unavailable(
            f"building a template needs {', '.join(missing)}: apt-get install {' '.join(missing)}"
        )


def _mounts() -> str:
    """The mount tables of every mount namespace on the host, where overlays show their layers' paths."""
    tables: dict[str, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            namespace = os.readlink(process / "ns/mnt")
            if namespace not in tables:
                tables[namespace] = (process / "mountinfo").read_text(errors="replace")
    return "\n".join(tables.values())


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _read_json(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _write_json(path: Path, content: dict[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.new")
    with aside.open("w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
