"""Sandboxes that stand still: pause and resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sandlot.cli.finding import find, seconds
from sandlot.cli.sandboxes import TIME_PANEL, Ids, Json

if TYPE_CHECKING:
    from sandlot.sdk import Sandbox, SandboxInfo

FilesOnly = Annotated[
    bool, typer.Option("--files-only", help="Keep its files, not its memory and processes.")
]


def add_to(app: typer.Typer) -> None:
    app.command("pause", rich_help_panel=TIME_PANEL)(pause)
    app.command("resume", rich_help_panel=TIME_PANEL)(resume)


def pause(ids: Ids, files_only: FilesOnly = False, json: Json = False) -> None:
    """Let nothing of them run any more, and keep them as they are, until a request or `resume` wakes them."""
    _each(ids, lambda sandbox: sandbox.pause(memory=not files_only), json=json)


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
    if timeout is not None and limit is None:
        raise typer.BadParameter(
            "resume needs a length of time; `sandlot timeout ID none` takes its end away"
        )
    _each(ids, lambda sandbox: sandbox.resume(limit), json=json)


def _each(ids: list[str], change: Callable[[Sandbox], SandboxInfo], *, json: bool) -> None:
    """One after the other, and told of at once: where one cannot be changed those before it are."""
    from sandlot.cli.output import as_json

    changed: list[SandboxInfo] = []
    for sandbox in map(find, ids):
        changed.append(change(sandbox))
        if not json:
            typer.echo(sandbox.id)
    if json:
        as_json(changed)
