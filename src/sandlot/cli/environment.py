"""Environment variables by which others' clients find the server."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Annotated

import typer

from sandlot.cli.failures import fail


class Clients(StrEnum):
    """Whose clients."""

    E2B = "e2b"


def add_to(app: typer.Typer) -> None:
    app.command("env", rich_help_panel="Other clients")(print_environment)


def print_environment(
    clients: Annotated[Clients, typer.Argument(metavar="CLIENTS", help="Whose clients: e2b.")],
) -> None:
    """Print what leads others' clients here: eval "$(sandlot env e2b)"."""
    from sandlot.sdk._config import resolve

    endpoint = resolve()
    if endpoint.api_key is None:
        fail(f"there is no key for {endpoint.url}; set SANDLOT_API_KEY")
    for name, value in {Clients.E2B: _e2b}[clients](endpoint.url, endpoint.api_key).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _e2b(url: str, key: str) -> dict[str, str]:
    """Its older clients insist on keys that begin with e2b_; the server takes either beginning."""
    return {
        "E2B_API_URL": url,
        "E2B_SANDBOX_URL": url,
        "E2B_API_KEY": "e2b_" + key.removeprefix("sl_"),
    }
