"""`sandlot doctor --fix`: shows what crashed servers left, asks, and removes it line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sandlot.cli.failures import FAILED

if TYPE_CHECKING:
    from sandlot.server.settings import Settings


def mend(settings: Settings, instance: str | None, *, ask: bool, json: bool) -> None:
    from sandlot.cli.output import as_json
    from sandlot.server import logs
    from sandlot.server.doctor import leftovers, remove

    logs.configure("error", settings.log_format)
    found = leftovers(settings, instance)
    if found and ask:
        for trace in found:
            typer.echo(f"  {trace.instance}  {trace}", err=json)
        typer.confirm(f"Remove these {len(found)}?", abort=True, err=json)
    rows, failed = [], 0
    for trace, problem in remove(settings, instance) if found else ():
        failed += problem is not None
        rows.append({"instance": trace.instance, "kind": trace.kind, "name": trace.name, "problem": problem})
        if not json:
            outcome = "removed" if problem is None else f"NOT removed, {problem}:"
            typer.echo(f"{outcome} {trace} (instance {trace.instance})")
    if json:
        as_json(rows)
    elif not found:
        typer.echo("Nothing is left of former servers.")
    if failed:
        raise typer.Exit(FAILED)
