"""The templates folder: what is current, what a build changes, what a failed or killed one leaves."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path

import pytest

from sandlot.errors import Conflict, InvalidArgument, NotEnoughSpace, NotFound, PermissionDenied
from sandlot.images import BuildFailed, Progress, Templates, templates
from sandlot.images.apt import Archive
from sandlot.images.layers import Workbench
from sandlot.images.recipe import LayerRecipe, TemplateRecipe

ARCHIVE = Archive("debian", "bookworm", "amd64", ())


class Maker:
    """Stands in for the real work: each layer is one file, and a test can have the next one fail."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.fails = False
        self.gate: asyncio.Event | None = None

    async def __call__(self, recipe: LayerRecipe, lower: Sequence[Path], bench: Workbench) -> Path:
        if self.gate:
            await self.gate.wait()
        rootfs = bench.staging / "rootfs"
        rootfs.mkdir()
        (rootfs / recipe.name).write_text("x" * 5000)
        if self.fails:
            raise BuildFailed("no luck")
        self.made.append(recipe.name)
        return rootfs


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    base = LayerRecipe("base")
    recipes = {
        "base": TemplateRecipe("base", "small", base),
        "big": TemplateRecipe(
            "big", "large", LayerRecipe("kernels", parent=base), kernels={"python": ("/k", "-u")}
        ),
    }
    maker = Maker()
    monkeypatch.setattr(templates, "RECIPES", recipes)
    monkeypatch.setattr(templates, "host_archive", lambda: ARCHIVE)
    monkeypatch.setattr(templates, "make_layer", maker)
    monkeypatch.setattr(templates, "_require_builder", lambda: None)
    monkeypatch.setattr(templates, "_mounts", lambda: "")  # this machine may have real sandboxes
    return maker


@pytest.fixture
def store(tmp_path: Path, maker: Maker) -> Templates:
    return Templates(tmp_path / "templates")


def ignore(progress: Progress) -> None:
    pass


def left_in_building(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "templates/building").iterdir())


async def test_a_built_template_is_found_with_its_layers_top_first(store: Templates) -> None:
    built = await store.build("big", progress=ignore)
    assert store.resolve("big") == built
    assert [layer.parent.name.rsplit("-", 1)[0] for layer in built.layers] == ["kernels", "base"]
    assert all(
        (layer / name).is_file() for layer, name in zip(built.layers, ("kernels", "base"), strict=True)
    )
    assert built.config.kernels == {"python": ["/k", "-u"]}
    assert built.config.user == "user"


async def test_the_list_tells_name_size_and_description(store: Templates) -> None:
    assert store.list() == []
    built = await store.build("base", progress=ignore)
    [info] = store.list()
    assert (info.name, info.id, info.description) == ("base", built.id, "small")
    assert info.size_bytes >= 5000
    assert info.built_at.tzinfo is not None


async def test_nothing_is_built_twice_and_layers_are_shared(store: Templates, maker: Maker) -> None:
    big = await store.build("big", progress=ignore)
    base = await store.build("base", progress=ignore)
    assert await store.build("big", progress=ignore) == big
    assert maker.made == ["base", "kernels"]
    assert base.layers == big.layers[1:]


async def test_a_template_whose_layers_all_came_with_another_is_there_too(store: Templates) -> None:
    await store.build("big", progress=ignore)
    assert store.resolve("base").layers


async def test_force_builds_a_new_version_beside_the_old(store: Templates) -> None:
    old = await store.build("base", progress=ignore)
    again = await store.build("base", progress=ignore, force=True)
    third = await store.build("base", progress=ignore, force=True)
    assert len({old.id, again.id, third.id}) == 3
    assert old.layers[0].is_dir()
    assert store.resolve("base") == third
    assert await store.build("base", progress=ignore) == third


async def test_a_name_that_nothing_answers_to(store: Templates) -> None:
    with pytest.raises(NotFound, match="sandlot templates build base"):
        store.resolve("base")
    await store.build("base", progress=ignore)
    with pytest.raises(NotFound, match="Built: base"):
        store.resolve("nope")
    with pytest.raises(NotFound):
        store.resolve("../base")
    with pytest.raises(InvalidArgument, match="base, big"):
        await store.build("nope", progress=ignore)


async def test_layers_that_somebody_removed_are_built_again(store: Templates) -> None:
    built = await store.build("base", progress=ignore)
    shutil.rmtree(built.layers[0].parent)
    with pytest.raises(NotFound, match="sandlot templates build base"):
        store.resolve("base")
    assert (await store.build("base", progress=ignore)).layers[0].is_dir()


async def test_a_failed_build_changes_nothing(store: Templates, maker: Maker, tmp_path: Path) -> None:
    old = await store.build("base", progress=ignore)
    maker.fails = True
    with pytest.raises(BuildFailed):
        await store.build("base", progress=ignore, force=True)
    assert store.resolve("base") == old
    assert left_in_building(tmp_path) == []
    maker.fails = False
    assert (await store.build("base", progress=ignore, force=True)).id != old.id


async def test_a_cancelled_build_leaves_nothing_and_frees_the_lock(
    store: Templates, maker: Maker, tmp_path: Path
) -> None:
    maker.gate = asyncio.Event()
    started = asyncio.Event()
    build = asyncio.create_task(store.build("base", progress=lambda _: started.set()))
    await started.wait()
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    assert left_in_building(tmp_path) == []
    maker.gate = None
    await store.build("base", progress=ignore)


async def test_leftovers_of_a_killed_build_are_gone_after_the_next(store: Templates, tmp_path: Path) -> None:
    leftover = tmp_path / "templates/building/base/rootfs"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("")
    await store.build("base", progress=ignore)
    assert left_in_building(tmp_path) == []
    assert not (store.resolve("base").layers[0] / "half").exists()


async def test_two_builders_take_turns_and_the_second_has_nothing_left_to_do(
    store: Templates, maker: Maker, tmp_path: Path
) -> None:
    maker.gate = asyncio.Event()
    waiting = asyncio.Event()

    def second_says(progress: Progress) -> None:
        if progress.stage == "waiting":
            waiting.set()

    started = asyncio.Event()
    first = asyncio.create_task(store.build("base", progress=lambda _: started.set()))
    await started.wait()
    second = asyncio.create_task(Templates(tmp_path / "templates").build("base", progress=second_says))
    await waiting.wait()
    maker.gate.set()
    assert await first == await second
    assert maker.made == ["base"]


async def test_a_full_disk_is_told_before_the_work(store: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1))
    with pytest.raises(NotEnoughSpace, match="64 MiB"):
        await store.build("base", progress=ignore)


async def test_building_needs_root(tmp_path: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(templates, "host_archive", lambda: ARCHIVE)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(PermissionDenied, match="root"):
        await Templates(tmp_path).build("base", progress=ignore)


async def test_prune_removes_only_what_nobody_needs(store: Templates) -> None:
    gone = await store.build("base", progress=ignore)
    kept = await store.build("base", progress=ignore, force=True)
    current = await store.build("base", progress=ignore, force=True)
    assert store.prune(keep=kept.layers) == list(gone.layers)
    assert not gone.layers[0].exists()
    assert kept.layers[0].is_dir()
    assert store.resolve("base") == current
    assert store.prune() == list(kept.layers)


async def test_prune_spares_what_is_mounted(store: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await store.build("base", progress=ignore)
    await store.build("base", progress=ignore, force=True)
    monkeypatch.setattr(templates, "_mounts", lambda: f"… overlay rw,lowerdir={old.layers[0]},upperdir=/x")
    assert store.prune() == []


async def test_prune_does_not_disturb_a_build(store: Templates, tmp_path: Path) -> None:
    await store.build("base", progress=ignore)
    with (tmp_path / "templates/lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="being built"):
            store.prune()
