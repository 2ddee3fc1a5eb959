"""Makes one layer: a folder that is a root file system, or the difference to the one below it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandlot.images import debs
from sandlot.images.apt import AptSource, Archive, render_deb822
from sandlot.images.progress import Progress, Report
from sandlot.images.recipe import ENTER_SCRIPT, LayerRecipe
from sandlot.images.runner import Runner
from sandlot.images.wheels import GuestPython, download

_DEBOOTSTRAP_DEADLINE_S = 3600
_SETUP_DEADLINE_S = 1800
_PLANNED = re.compile(r"^(\d+) upgraded, (\d+) newly installed")
_STEP = re.compile(r"^(?:Unpacking|Setting up) (\S+)")


@dataclass(frozen=True)
class Workbench:
    """What making a layer needs: an empty folder, where packages come from, and whom to tell."""

    staging: Path
    archive: Archive
    runner: Runner
    report: Report


async def make_layer(recipe: LayerRecipe, lower: Sequence[Path], bench: Workbench) -> Path:
    """Builds ``recipe`` over the finished layers ``lower``, top first, and returns the new layer's folder."""
    rootfs = bench.staging / "rootfs"
    rootfs.mkdir(mode=0o755)
    if recipe.parent is None:
        await _bootstrap(recipe, rootfs, bench)
        view: list[str | Path] = [rootfs]
        inputs = {}
    else:
        work, merged = bench.staging / "work", bench.staging / "merged"
        work.mkdir()
        merged.mkdir()
        view = ["--overlay", ":".join(map(str, lower)), rootfs, work, merged]
        inputs = {
            **recipe.inputs,
            **await _fetch_wheels(recipe, lower, bench),
            **await _fetch_debs(recipe, lower, bench),
        }
    bench.report(Progress(recipe.name, "installing"))
    shown = [f"{name}={folder}" for name, folder in inputs.items()]
    await bench.runner.run(
        ["bash", ENTER_SCRIPT, *view, recipe.folder / "setup.sh", *shown],
        deadline_s=_SETUP_DEADLINE_S,
        offline=True,
    )
    return rootfs


async def _bootstrap(recipe: LayerRecipe, rootfs: Path, bench: Workbench) -> None:
    files = recipe.folder / "files"
    sources = bench.staging / "archive.sources"
    sources.write_text(render_deb822(bench.archive.sources))
    host_options = bench.staging / "apt.conf"
    host_options.write_text(await asyncio.to_thread(debs.host_options))
    options = [
        "--mode=root",
        "--format=directory",
        "--variant=minbase",
        "--verbose",
        f"--architectures={bench.archive.architecture}",
        f"--include={','.join(_packages(recipe))}",
        f"--aptopt={host_options}",
        f"--dpkgopt={files / 'etc/dpkg/dpkg.cfg.d/sandlot'}",
    ]
    await bench.runner.run(
        ["mmdebstrap", *options, bench.archive.suite, rootfs, sources],
        deadline_s=_DEBOOTSTRAP_DEADLINE_S,
        env={"TMPDIR": str(bench.staging)},
        on_line=_debootstrap_progress(recipe.name, bench.report),
    )
    await asyncio.to_thread(_configure, rootfs, files, bench.archive)


def _configure(rootfs: Path, files: Path, archive: Archive) -> None:
    """Puts our own files in place, and in place of what the builder's options left in the guest."""
    for source in sorted(files.rglob("*")):
        target = rootfs / source.relative_to(files)
        if source.is_dir():
            target.mkdir(mode=0o755, exist_ok=True)
        else:
            shutil.copyfile(source, target)
            target.chmod(0o644)
    for leftover in ("apt/apt.conf.d/99mmdebstrap", "dpkg/dpkg.cfg.d/99mmdebstrap", "apt/sources.list"):
        (rootfs / "etc" / leftover).unlink(missing_ok=True)
    for generated in (rootfs / "etc/apt/sources.list.d").iterdir():
        generated.unlink()
    (rootfs / f"etc/apt/sources.list.d/{archive.os}.sources").write_text(render_deb822(archive.sources))
    for signing in archive.sources:
        _copy_keyring(signing, rootfs)
    for device in (rootfs / "dev").iterdir():
        if device.is_dir() and not device.is_symlink():
            shutil.rmtree(device)
        else:
            device.unlink()


def _copy_keyring(source: AptSource, rootfs: Path) -> None:
    """A mirror signed with a key of its own is trusted by the guest through the same file as by the host."""
    if not source.signed_by or not source.signed_by.startswith("/"):
        return
    inside = rootfs / source.signed_by.lstrip("/")
    if not inside.exists():
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.signed_by, inside)


async def _fetch_wheels(recipe: LayerRecipe, lower: Sequence[Path], bench: Workbench) -> dict[str, Path]:
    """The input "wheels", for a recipe that pins Python packages: one file of pins per version of Python."""
    pins = recipe.folder / "pins"
    if not pins.is_dir():
        return {}
    python = GuestPython.of_rootfs(lower[-1], bench.archive.architecture)
    target = bench.staging / "wheels"
    target.mkdir()
    requirements = target / "requirements.txt"
    requirements.write_text(python.read_pins(pins))
    report = bench.report
    await download(
        requirements, target, python, bench.runner, lambda m, f: report(Progress(recipe.name, m, f))
    )
    return {"wheels": target}


async def _fetch_debs(recipe: LayerRecipe, lower: Sequence[Path], bench: Workbench) -> dict[str, Path]:
    """The input "debs", for a recipe over another one that names packages of the operating system."""
    if not (recipe.folder / "debs.txt").is_file():
        return {}
    target = bench.staging / "debs"
    target.mkdir()
    report = bench.report
    await debs.download(
        _packages(recipe, "debs.txt"),
        target,
        next(layer for layer in lower if (layer / debs.STATUS).is_file()),
        bench.archive,
        bench.runner,
        lambda m, f: report(Progress(recipe.name, m, f)),
    )
    return {"debs": target}


def _packages(recipe: LayerRecipe, file: str = "packages.txt") -> list[str]:
    lines = (recipe.folder / file).read_text().splitlines()
    return [name for line in lines if (name := line.split("#", 1)[0].strip())]


def _debootstrap_progress(layer: str, report: Report) -> Callable[[str], None]:
    """Each package is unpacked and set up once; apt says before how many it will be."""
    total = 0
    done = 0

    def on_line(line: str) -> None:
        nonlocal total, done
        if planned := _PLANNED.match(line):
            total += 2 * int(planned[2])
        elif (step := _STEP.match(line)) and total:
            done += 1
            report(Progress(layer, f"installing {step[1]}", min(done / total, 1.0)))
        elif line.startswith("I: "):
            report(Progress(layer, line.removeprefix("I: ").rstrip(".")))

    return on_line


def tree_bytes(folder: Path) -> int:
    """What the folder takes on the disk, in bytes; a file with several names counts once."""
    seen: set[int] = set()
    total = 0
    pending = [os.fspath(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return total
