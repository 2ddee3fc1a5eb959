"""Sandboxes that stand still: pause and resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sandlot.cli.finding import find, seconds
from sandlot.cli.sandboxes import TIME_PANEL, Ids, Json

if TYPE_CHECKING:
    from sandlot.sdk import SandboxInfo

FilesOnly = Annotated[
    bool, typer.Option("--files-only", help="Keep its files, not its memory and processes.")
]


def add_to(app: typer.Typer) -> None:
    app.command("pause", rich_help_panel=TIME_PANEL)(pause)
    app.command("resume", rich_help_panel=TIME_PANEL)(resume)


def pause(ids: Ids, files_only: FilesOnly = False, json: Json = False) -> None:
    """Let nothing of them run any more, and keep them as they are, until a request or `resume` wakes them."""
    _tell([sandbox.pause(memory=not files_only) for sandbox in map(find, ids)], json=json)


def resume(
    ids: Ids,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Seconds until its time is up, or 10m, 2h.",
            show_default="those that it was made with",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Let paused sandboxes go on where they were."""
    limit = None if timeout is None else seconds(timeout)
    _tell([sandbox.resume(limit) for sandbox in map(find, ids)], json=json)


def _tell(changed: list[SandboxInfo], *, json: bool) -> None:
    from sandlot.cli.output import as_json

    if json:
        as_json(changed)
        return
    for one in changed:
        typer.echo(one.id)
