"""Snapshots, the way back to one, and forks."""

from __future__ import annotations

from typing import Annotated

import typer

from sandlot.cli.failures import fail
from sandlot.cli.finding import find, find_id, seconds
from sandlot.cli.pausing import FilesOnly
from sandlot.cli.sandboxes import TIME_PANEL, Id, Json, Quiet, Timeout

Named = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Its id or its name.")]


def add_to(app: typer.Typer) -> None:
    app.command("snapshot", rich_help_panel=TIME_PANEL)(snapshot)
    snapshots = typer.Typer(help="Sandboxes as they were.", no_args_is_help=True)
    snapshots.command("ls")(list_)
    snapshots.command("rm")(remove)
    app.add_typer(snapshots, name="snapshots", rich_help_panel=TIME_PANEL)
    app.command("rollback", rich_help_panel=TIME_PANEL)(rollback)
    app.command("fork", rich_help_panel=TIME_PANEL)(fork)


def snapshot(
    id: Id,
    name: Annotated[str | None, typer.Option("--name", "-n", help="One by which you find it again.")] = None,
    take_name: Annotated[
        bool, typer.Option("--take-name", help="From the snapshot that has the name, if there is one.")
    ] = False,
    files_only: FilesOnly = False,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long it is kept, such as 12h or 7d; none for ever.")
    ] = "none",
    json: Json = False,
) -> None:
    """Keep a sandbox as it is now, and print the snapshot's id. The sandbox goes on."""
    from sandlot.cli.output import as_json

    # Not asked for is not the same as wanted: a tier that cannot keep memory then keeps the files.
    memory = False if files_only else None
    made = find(id).snapshot(name=name, memory=memory, expires=seconds(expires), take_name=take_name)
    if json:
        as_json(made)
    else:
        typer.echo(made.id)


def list_(
    sandbox: Annotated[
        str | None, typer.Option("--sandbox", "-s", metavar="ID", help="Only those of this sandbox.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List snapshots, the newest first."""
    from sandlot.cli.output import ago, ahead, as_json, print_table, size
    from sandlot.sdk import Snapshot

    wanted = None if sandbox is None else find_id(sandbox, ended=True)
    found = list(Snapshot.list(sandbox=wanted))
    if json:
        as_json(found)
    elif quiet:
        for one in found:
            typer.echo(one.id)
    else:
        rows = [
            (one.id, one.name, one.sandbox_id, "memory" if one.memory else "files", size(one.size_bytes),
             size(one.stored_bytes), ago(one.created_at), ahead(one.expires_at))
            for one in found
        ]  # fmt: skip
        print_table(("ID", "NAME", "SANDBOX", "KEEPS", "SIZE", "ON DISK", "AGE", "EXPIRES IN"), rows)


def remove(
    snapshots: Annotated[list[str], typer.Argument(metavar="SNAPSHOT", help="Ids or names.")],
) -> None:
    """Delete snapshots. Sandboxes that were made from them go on."""
    from sandlot.sdk import Snapshot

    for one in map(Snapshot.get, snapshots):
        one.delete()
        typer.echo(one.id)


def rollback(id: Id, snapshot: Named, json: Json = False) -> None:
    """Return a sandbox to one of its own snapshots."""
    from sandlot.cli.output import as_json

    changed = find(id).rollback(snapshot)
    if json:
        as_json(changed)
    else:
        typer.echo(changed.id)


def fork(
    id: Id,
    count: Annotated[int, typer.Option("--count", "-n", help="How many.")] = 1,
    timeout: Timeout = "300",
    json: Json = False,
) -> None:
    """Make sandboxes with the memory, processes and files of one, which goes on, and print their ids.

    Where some cannot be made the others stay: their ids are printed, and the exit code is 1.
    """
    from sandlot.cli.output import as_json
    from sandlot.sdk import ForkError

    parent, problem = find(id), ""
    try:
        made = parent.fork(count, timeout=seconds(timeout))
    except ForkError as error:
        made, problem = error.sandboxes, error.message
    if json:
        as_json([child.info() for child in made])
    else:
        for child in made:
            typer.echo(child.id)
    if problem:
        fail(problem)
