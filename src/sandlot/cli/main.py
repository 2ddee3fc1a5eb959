"""The `sandlot` command. What a command needs is imported when it runs, so that starting stays quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sandlot.cli import copying, creating, environment, hosting, pausing, pools, running, sandboxes, snapshots
from sandlot.cli.failures import PlainErrors

app = typer.Typer(
    name="sandlot",
    help="Sandboxes for AI agents, on your own machine.",
    epilog="The server is found by SANDLOT_URL and SANDLOT_API_KEY, else by this machine's credentials file.",
    cls=PlainErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from sandlot import __version__

        typer.echo(f"sandlot {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


# httpx loads its own command line, and Rich with it, where it can; without, this one starts a fifth sooner.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

for room in (creating, sandboxes, pausing, snapshots, running, copying, environment, hosting, pools):
    room.add_to(app)

if __name__ == "__main__":
    app(prog_name="sandlot")
