"""Environment variables by which others' clients find the server."""

from __future__ import annotations

import re
import shlex
from enum import StrEnum
from typing import Annotated

import typer

from sandlot.cli.failures import fail

_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?")


class Clients(StrEnum):
    """Whose clients."""

    E2B = "e2b"


def add_to(app: typer.Typer) -> None:
    app.command("env", rich_help_panel="Other clients")(print_environment)


def print_environment(
    clients: Annotated[Clients, typer.Argument(metavar="CLIENTS", help="Whose clients: e2b.")],
    domain: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN", help="By the server's own domain and HTTPS, with :PORT where it is not 443."
        ),
    ] = None,
) -> None:
    """Print what leads others' clients here: eval "$(sandlot env e2b)"."""
    from sandlot.sdk._config import resolve

    endpoint = resolve()
    if endpoint.api_key is None:
        fail(f"there is no key for {endpoint.url}; set SANDLOT_API_KEY")
    if domain is not None and not _DOMAIN.fullmatch(domain):
        raise typer.BadParameter(
            f"{domain!r} is no domain; give one such as box.example.com, without https://"
        )
    for name, value in {Clients.E2B: _e2b}[clients](endpoint.url, endpoint.api_key, domain).items():
        typer.echo(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")


def _e2b(url: str, key: str, domain: str | None) -> dict[str, str | None]:
    """Its older clients insist on keys that begin with e2b_; the server takes either beginning.

    With an address of the API they would not ask the domain.
    """
    address = None if domain else url
    return {
        "E2B_API_URL": address,
        "E2B_SANDBOX_URL": address,
        **({"E2B_DOMAIN": domain} if domain else {}),
        "E2B_API_KEY": "e2b_" + key.removeprefix("sl_"),
    }
