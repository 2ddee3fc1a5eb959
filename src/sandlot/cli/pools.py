"""Hot sandboxes: how many stand ready, and how often one was wanted."""

from __future__ import annotations

import typer

from sandlot.cli.sandboxes import Json

_COLUMNS = (
    "template",
    "template_id",
    "hot",
    "making",
    "wanted",
    "min",
    "max",
    "memory_bytes",
    "per_minute",
    "hits",
    "misses",
    "unfit",
)


def add_to(app: typer.Typer) -> None:
    app.command("pools", rich_help_panel="The server's machine")(pools)


def pools(json: Json = False) -> None:
    """List the hot pools: for each template what stands ready, and how often that was of use."""
    from sandlot.cli.output import as_json, print_table
    from sandlot.sdk import Server

    found = Server().pools()
    if json:
        as_json(found)
        return
    print_table(
        [*map(_heading, _COLUMNS)], ([_cell(name, pool[name]) for name in _COLUMNS] for pool in found)
    )


def _heading(name: str) -> str:
    return {"template_id": "VERSION", "memory_bytes": "MEMORY"}.get(name, name.upper().replace("_", " "))


def _cell(name: str, value: object) -> object:
    from sandlot.cli.output import size

    return size(value) if name == "memory_bytes" and isinstance(value, int) else value
