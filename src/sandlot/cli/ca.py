"""The certificate authority of the server on this machine, for clients to trust."""

from __future__ import annotations

from typing import Annotated

import typer

from sandlot.cli.failures import fail
from sandlot.cli.places import Config, DataDir, settings_of


def add_to(app: typer.Typer, panel: str) -> None:
    app.command("ca", rich_help_panel=panel)(ca)


def ca(
    bundle: Annotated[
        bool,
        typer.Option("--bundle", help="Together with all that this machine trusts, for SSL_CERT_FILE."),
    ] = False,
    domain: Annotated[
        str | None, typer.Option(help="The domain it is for.", show_default="the settings'")
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Print the path of the authority's certificate, for NODE_EXTRA_CA_CERTS and the like.

    It is made by the first `sandlot serve --domain`.
    """
    from sandlot.server.tls import authority_path, bundle_path, own_folder

    settings = settings_of(config, {"data_dir": data_dir, "domain": domain})
    folder = own_folder(settings)
    path = bundle_path(folder) if bundle else authority_path(folder)
    if not path.exists():
        fail(f"there is no {path} yet; `sandlot serve --domain {settings.domain}` makes it")
    typer.echo(path)
