"""Making sandboxes."""

from __future__ import annotations

from typing import Annotated

import typer

from sandlot.cli.finding import labelled, seconds, variables
from sandlot.cli.sandboxes import PANEL, TIME_PANEL, Env, Internet, Isolation, Json, Timeout


def add_to(app: typer.Typer) -> None:
    app.command("create", rich_help_panel=PANEL)(create)


def create(
    template: Annotated[
        str, typer.Argument(help="What it starts from; `sandlot templates ls` lists them.")
    ] = "base",
    isolation: Isolation = None,
    cpus: Annotated[float | None, typer.Option(help="Processors, in fractions too.")] = None,
    memory: Annotated[int | None, typer.Option(metavar="MIB", help="Memory.")] = None,
    disk: Annotated[int | None, typer.Option(metavar="MIB", help="Disk.")] = None,
    pids: Annotated[int | None, typer.Option(help="Most processes and threads.")] = None,
    env: Env = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="A label of yours.")
    ] = None,
    timeout: Timeout = "300",
    internet: Internet = None,
    hostname: Annotated[str | None, typer.Option(help="What the machine calls itself.")] = None,
    ingress: Annotated[
        str | None,
        typer.Option(
            metavar="WHO", help="Who reaches its web ports: public, token or off.", show_default="public"
        ),
    ] = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            "--snapshot",
            metavar="SNAPSHOT",
            help="A snapshot, by id or name, to start from instead.",
            rich_help_panel=TIME_PANEL,
        ),
    ] = None,
    on_timeout: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="What becomes of it when its time is up: kill or pause.",
            show_default="kill",
            rich_help_panel=TIME_PANEL,
        ),
    ] = None,
    pause_idle: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Pause it when it had nothing to run for so long.",
            rich_help_panel=TIME_PANEL,
        ),
    ] = "never",
    pause_memory: Annotated[
        bool | None,
        typer.Option(
            "--pause-memory/--pause-files-only",
            help="What a pause that comes by itself keeps.",
            show_default="memory",
            rich_help_panel=TIME_PANEL,
        ),
    ] = None,
    auto_resume: Annotated[
        bool | None,
        typer.Option(
            "--auto-resume/--no-auto-resume",
            help="Whether any request wakes it, or `resume` alone.",
            show_default="any request",
            rich_help_panel=TIME_PANEL,
        ),
    ] = None,
    keep_paused: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="How long it is kept once it is paused, such as 7d; none for ever.",
            rich_help_panel=TIME_PANEL,
        ),
    ] = "none",
    on_create: Annotated[
        str | None,
        typer.Option(metavar="LINE", help="Run in it once, by its shell.", rich_help_panel=TIME_PANEL),
    ] = None,
    on_resume: Annotated[
        str | None,
        typer.Option(
            metavar="LINE", help="Run in it each time that it comes back.", rich_help_panel=TIME_PANEL
        ),
    ] = None,
    ready: Annotated[
        str | None,
        typer.Option(metavar="LINE", help="Wait until this exits with 0.", rich_help_panel=TIME_PANEL),
    ] = None,
    json: Json = False,
) -> None:
    """Start a sandbox and print its id."""
    from sandlot.cli.output import as_json
    from sandlot.sdk import Hooks, Sandbox

    sandbox = Sandbox.create(
        template,
        isolation=isolation,
        cpus=cpus,
        memory_mib=memory,
        disk_mib=disk,
        pids=pids,
        env=variables(env),
        metadata=labelled(metadata),
        timeout=seconds(timeout),
        internet=internet,
        hostname=hostname,
        ingress=ingress,
        snapshot=snapshot,
        on_timeout=on_timeout,
        pause_memory=pause_memory,
        pause_idle=seconds(pause_idle),
        auto_resume=auto_resume,
        keep_paused=seconds(keep_paused),
        hooks=Hooks(on_create=on_create, on_resume=on_resume, ready=ready)
        if on_create or on_resume or ready
        else None,
    )
    if json:
        as_json(sandbox.info())
    else:
        typer.echo(sandbox.id)
