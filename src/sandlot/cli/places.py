"""Options that say where the server of this machine has its things."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sandlot.server.settings import Settings

Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The settings file.", show_default="./sandlot.toml")
]
DataDir = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the server keeps everything.")]


def settings_of(config: Path | None, flags: dict[str, Any]) -> Settings:
    from sandlot.server.settings import load

    return load(flags, file=config)
