"""The server, its keys and its templates, on the server's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sandlot.cli import ca, tenants
from sandlot.cli.failures import FAILED
from sandlot.cli.places import Config, DataDir, settings_of
from sandlot.cli.sandboxes import Json

_PANEL = "The server's machine"

TemplatesDir = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where templates are.")]


def add_to(app: typer.Typer) -> None:
    extra = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command("serve", rich_help_panel=_PANEL, context_settings=extra)(serve)
    app.command("doctor", rich_help_panel=_PANEL)(doctor)
    keys = typer.Typer(help="API keys of the server on this machine.", no_args_is_help=True)
    for name, command in (("create", create_key), ("ls", list_keys), ("revoke", revoke_key)):
        keys.command(name)(command)
    app.add_typer(keys, name="keys", rich_help_panel=_PANEL)
    tenants.add_to(app, _PANEL)
    ca.add_to(app, _PANEL)
    templates = typer.Typer(help="What sandboxes start from.", no_args_is_help=True)
    for name, work in (("ls", list_templates), ("build", build_templates)):
        templates.command(name)(work)
    app.add_typer(templates, name="templates", rich_help_panel=_PANEL)


def serve(
    ctx: typer.Context,
    config: Config = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.", show_default="7263")] = None,
    domain: Annotated[str | None, typer.Option(help="Serve HTTPS for this domain, too.")] = None,
    data_dir: DataDir = None,
    templates_dir: TemplatesDir = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Run the server until Ctrl-C. Sandboxes outlive it.

    Every setting is a flag too: --max-sandboxes 50 is max_sandboxes = 50 in sandlot.toml.
    """
    from sandlot.server.run import serve as run_server

    given = {
        "host": host,
        "port": port,
        "domain": domain,
        "data_dir": data_dir,
        "templates_dir": templates_dir,
        "log_level": log_level,
    }
    raise typer.Exit(run_server(settings_of(config, {**given, **_flags(ctx.args)})))


def _flags(words: list[str]) -> dict[str, str]:
    """``--some-name value``, ``--some-name=value``; a name alone is true."""
    flags: dict[str, str] = {}
    rest = iter(words)
    word = next(rest, None)
    while word is not None:
        if not word.startswith("--"):
            raise typer.BadParameter(f"{word!r} is not a flag; flags begin with --")
        name, equals, value = word.removeprefix("--").partition("=")
        word = next(rest, None)
        if not equals:
            value = "true"
            if word is not None and not word.startswith("--"):
                value, word = word, next(rest, None)
        flags[name.replace("-", "_")] = value
    return flags


def doctor(
    local: Annotated[
        bool, typer.Option("--local", help="Look at this machine, also where a server runs.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove what crashed servers left on this machine.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --fix: do not ask before.")] = False,
    instance: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --fix: only of this instance, 4 hex digits.")
    ] = None,
    json: Json = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Show what the server's machine can do, and how to get what it lacks.

    Asks the server; where none answers, looks at this machine. The exit code is 1 where no sandbox could run.
    With --fix it removes what no running server and no running sandbox needs, and is 1 where something stays.
    """
    if fix:
        from sandlot.cli.mending import mend

        mend(settings_of(config, {"data_dir": data_dir}), instance, ask=not yes, json=json)
        return
    from sandlot.cli.diagnosis import print_report
    from sandlot.cli.output import as_json

    source, report = _report(local=local)
    if json:
        as_json(report)
    else:
        print_report(source, report)
    if not any(tier.get("available") for tier in report.get("tiers", ())):
        raise typer.Exit(FAILED)


def _report(*, local: bool) -> tuple[str, dict[str, Any]]:
    from sandlot.sdk import AuthenticationError, Server, ServerUnavailableError

    if not local:
        server = Server()
        try:
            return f"the server at {server.url}", server.host()
        except (ServerUnavailableError, AuthenticationError) as error:
            typer.echo(f"sandlot: {error}; looking at this machine instead", err=True)
    import asyncio

    from sandlot.server.doctor import host_report

    return "this machine", asyncio.run(host_report(settings_of(None, {})))


def create_key(
    name: Annotated[str, typer.Argument(help="For you, to tell keys apart.")],
    tenant: Annotated[
        str, typer.Option(metavar="NAME", help="Whose: it sees this tenant's sandboxes and no others.")
    ] = "default",
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it. It is shown once."""
    import asyncio

    from sandlot.server.keys import create

    typer.echo(asyncio.run(create(settings_of(config, {"data_dir": data_dir}), name, tenant)))


def list_keys(config: Config = None, data_dir: DataDir = None, json: Json = False) -> None:
    """List keys: their names, their tenants, and how they begin."""
    import asyncio

    from sandlot.cli.output import ago, as_json, print_table
    from sandlot.server.keys import everyone

    found = asyncio.run(everyone(settings_of(config, {"data_dir": data_dir})))
    if json:
        as_json(found)
        return
    rows = [
        (
            key.id,
            key.name,
            key.tenant,
            f"{key.hint}…",
            ago(key.created_at),
            "revoked" if key.revoked_at else "in use",
        )
        for key in found
    ]
    print_table(("ID", "NAME", "TENANT", "KEY", "AGE", "STATE"), rows)


def revoke_key(
    id: Annotated[str, typer.Argument(help="Its id in `sandlot keys ls`, not the key itself.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Take a key back. Requests with it are refused from now on."""
    import asyncio

    from sandlot.server.keys import revoke

    key = asyncio.run(revoke(settings_of(config, {"data_dir": data_dir}), id))
    typer.echo(f"revoked {key.id} ({key.name})")


def list_templates(json: Json = False, config: Config = None, templates_dir: TemplatesDir = None) -> None:
    """List the templates that are built: the server's, or where none answers this machine's."""
    from sandlot.cli.output import ago, as_json, print_table, size
    from sandlot.sdk import AuthenticationError, Server, ServerUnavailableError

    found: list[Any]
    try:
        if config or templates_dir:
            raise ServerUnavailableError("a folder was named")
        found = [(one, one.size) for one in Server().templates()]
    except (ServerUnavailableError, AuthenticationError):
        from sandlot.server.templates import built

        local = built(settings_of(config, {"templates_dir": templates_dir}))
        found = [(one, one.size_bytes) for one in local]
    if json:
        as_json([one for one, _ in found])
        return
    rows = [
        (one.name, one.id, size(bytes_) if bytes_ is not None else None, ago(one.built_at), one.description)
        for one, bytes_ in found
    ]
    print_table(("NAME", "VERSION", "SIZE", "AGE", "DESCRIPTION"), rows)


def build_templates(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Which, such as base, code-interpreter.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Build anew what is built already.")] = False,
    config: Config = None,
    templates_dir: TemplatesDir = None,
) -> None:
    """Build templates on this machine. Needs root; takes some minutes the first time."""
    import asyncio

    from sandlot.cli.building import Shown
    from sandlot.server.templates import build

    settings = settings_of(config, {"templates_dir": templates_dir})
    for name in names:
        with Shown(name) as shown:
            template = asyncio.run(build(settings, name, progress=shown.report, force=force))
        typer.echo(f"{template.name} {template.id}")
