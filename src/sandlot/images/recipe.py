"""What a template is made of: layers, each a folder under recipes/ with a key that its inputs decide."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandlot.images.apt import Archive

_FORMAT = b"1"  # raise it when the builder itself makes different layers out of the same recipe
_RECIPES = Path(__file__).parent / "recipes"


def _kernels() -> Path:
    """The code interpreter's kernels: beside this file in an installed package, else in the checkout."""
    installed = Path(__file__).parent / "kernels"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "guest" / "kernels"


@dataclass(frozen=True)
class LayerRecipe:
    """One layer. ``inputs`` are folders from outside the recipe, shown to its script under their names."""

    name: str
    parent: LayerRecipe | None = None
    inputs: Mapping[str, Path] = field(default_factory=dict)
    needs_bytes: int = 64 << 20

    @property
    def folder(self) -> Path:
        return _RECIPES / self.name

    def chain(self) -> list[LayerRecipe]:
        """This layer and all below it, lowest first."""
        return [*(self.parent.chain() if self.parent else []), self]

    def key(self, archive: Archive) -> str:
        """Hex digest over everything that decides the layer's content, except the day's package versions."""
        digest = hashlib.sha256(_FORMAT)
        for word in (self.name, archive.os, archive.suite, archive.architecture):
            digest.update(word.encode() + b"\0")
        if self.parent:
            digest.update(self.parent.key(archive).encode())
        for label, folder in [("recipe", self.folder), *sorted(self.inputs.items())]:
            for path in _files(folder):
                name = f"{label}/{path.relative_to(folder)}".encode()
                content = hashlib.sha256(path.read_bytes()).digest()
                digest.update(name + b"\0" + (b"x" if path.stat().st_mode & 0o100 else b"-") + content)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class TemplateRecipe:
    """A template that this version of Sandlot can build."""

    name: str
    description: str
    top: LayerRecipe
    kernels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    start: str | None = None
    ready: str | None = None


ENTER_SCRIPT = _RECIPES / "enter.sh"

_base = LayerRecipe("base", needs_bytes=1536 << 20)
_code_interpreter = LayerRecipe("code-interpreter", parent=_base, needs_bytes=3 << 30)
_languages = LayerRecipe("languages", parent=_code_interpreter, needs_bytes=1 << 30)
_kernel_layer = LayerRecipe("kernels", parent=_languages, inputs={"kernels": _kernels()})

_INSIDE = "/usr/lib/sandlot/kernels"
_PIPES = ("/usr/bin/perl", f"{_INSIDE}/pipes.pl")
_NODE = (
    *_PIPES,
    "/usr/local/bin/node",
    "--expose-internals",
    "--disable-warning=ExperimentalWarning",
    f"{_INSIDE}/node/main.cjs",
)
_KERNELS: Mapping[str, tuple[str, ...]] = {
    "python": ("/usr/bin/python3", "-u", f"{_INSIDE}/python/main.py"),
    "javascript": (*_NODE, "javascript"),
    "typescript": (*_NODE, "typescript"),
    "bash": ("/usr/bin/python3", f"{_INSIDE}/bash/main.py"),
    "r": ("/usr/bin/python3", f"{_INSIDE}/r/main.py"),
    "java": (
        *_PIPES,
        "/usr/bin/java",
        f"-XX:SharedArchiveFile={_INSIDE}/java/kernel.jsa",
        f"@{_INSIDE}/java/options",
        "sandlot.kernel.Main",
    ),
}

RECIPES: Mapping[str, TemplateRecipe] = {
    recipe.name: recipe
    for recipe in (
        TemplateRecipe("base", "A small Linux with the tools that an agent expects, and Python", _base),
        TemplateRecipe(
            "code-interpreter",
            "base, with the scientific Python stack, and interpreters that keep their state for Python, "
            "JavaScript, TypeScript, Bash, R and Java",
            _kernel_layer,
            kernels=_KERNELS,
        ),
    )
}


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path
