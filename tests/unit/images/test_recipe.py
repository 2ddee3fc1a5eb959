"""A layer is made anew exactly when something that it is made of has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandlot.images import recipe as recipes
from sandlot.images.apt import Archive
from sandlot.images.recipe import RECIPES, LayerRecipe

ARCHIVE = Archive("debian", "bookworm", "amd64", ())


@pytest.fixture
def layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LayerRecipe, LayerRecipe]:
    monkeypatch.setattr(recipes, "_RECIPES", tmp_path)
    for name in ("lower", "upper", "extra"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "setup.sh").write_text(f"echo {name}\n")
    lower = LayerRecipe("lower")
    return lower, LayerRecipe("upper", parent=lower, inputs={"extra": tmp_path / "extra"})


def test_the_key_is_stable(layers: tuple[LayerRecipe, LayerRecipe]) -> None:
    _, upper = layers
    assert upper.key(ARCHIVE) == upper.key(replace(ARCHIVE, sources=()))
    cache = upper.inputs["extra"] / "__pycache__"
    before = upper.key(ARCHIVE)
    cache.mkdir()
    (cache / "setup.pyc").write_bytes(b"compiled")
    assert upper.key(ARCHIVE) == before


def test_any_change_below_or_inside_changes_the_key(layers: tuple[LayerRecipe, LayerRecipe]) -> None:
    lower, upper = layers
    seen = {upper.key(ARCHIVE)}
    for archive in (replace(ARCHIVE, suite="trixie"), replace(ARCHIVE, architecture="arm64")):
        seen.add(upper.key(archive))
    (upper.inputs["extra"] / "setup.sh").write_text("echo changed\n")
    seen.add(upper.key(ARCHIVE))
    (upper.inputs["extra"] / "setup.sh").rename(upper.inputs["extra"] / "renamed.sh")
    seen.add(upper.key(ARCHIVE))
    (upper.folder / "setup.sh").chmod(0o755)
    seen.add(upper.key(ARCHIVE))
    (lower.folder / "setup.sh").write_text("echo changed\n")
    seen.add(upper.key(ARCHIVE))
    assert len(seen) == 7


def test_a_change_on_top_leaves_the_layers_below_alone(layers: tuple[LayerRecipe, LayerRecipe]) -> None:
    lower, upper = layers
    before = lower.key(ARCHIVE)
    (upper.folder / "setup.sh").write_text("echo changed\n")
    assert lower.key(ARCHIVE) == before


def test_templates_share_their_lowest_layer() -> None:
    assert {template.top.chain()[0].key(ARCHIVE) for template in RECIPES.values()} == {
        RECIPES["base"].top.key(ARCHIVE)
    }


def test_every_python_that_a_guest_may_have_is_pinned_exactly() -> None:
    pins = RECIPES["code-interpreter"].top.chain()[1].folder / "pins"
    files = sorted(path.stem for path in pins.iterdir())
    assert files == ["python3.10", "python3.11", "python3.12", "python3.13"]
    for path in pins.iterdir():
        assert all("==" in line for line in path.read_text().splitlines())
