"""HTTPS for the server's domain: its own certificate authority, a given certificate, or ACME."""

from __future__ import annotations

from pathlib import Path

from sandlot.errors import InvalidArgument, PermissionDenied
from sandlot.server.settings import BEFORE_THE_SERVER, Settings
from sandlot.server.tls.acme import Acme
from sandlot.server.tls.authority import authority_path, bundle_path
from sandlot.server.tls.keeper import Keeper
from sandlot.server.tls.sources import Given, Own, Source

__all__ = ["Keeper", "authority_path", "bundle_path", "keeper_of", "own_folder"]


def own_folder(settings: Settings) -> Path:
    """Where the server keeps what it makes for its domain. Raises InvalidArgument where it makes nothing."""
    if settings.domain is None:
        raise InvalidArgument("there is no domain; `sandlot serve --domain box.example.com` serves HTTPS")
    return settings.data_dir / "tls" / settings.domain


def keeper_of(settings: Settings) -> Keeper | None:
    """None where this server does no TLS. Raises InvalidArgument, PermissionDenied."""
    source = _source(settings)
    if source is None:
        return None
    try:
        return Keeper(source)
    except OSError as error:
        raise PermissionDenied(f"{error.filename} cannot be used: {error.strerror}") from None


def _source(settings: Settings) -> Source | None:
    certificate, key = settings.tls_certificate, settings.tls_key
    if (certificate is None) != (key is None):
        raise InvalidArgument("tls_certificate and tls_key go together: give both or neither")
    by_acme = settings.acme_dns_hook is not None or settings.acme_email is not None
    if settings.domain is None or settings.tls_port == BEFORE_THE_SERVER:
        if certificate is not None or by_acme:
            raise InvalidArgument(
                "a certificate needs a domain and a port: give --domain, and no --tls-port 0"
            )
        return None
    if certificate is not None and key is not None:
        if by_acme:
            raise InvalidArgument("give tls_certificate or ACME's settings, not both")
        return Given(certificate, key, settings.domain)
    own = Own(own_folder(settings), settings.domain)
    if not by_acme:
        return own
    if settings.acme_dns_hook is None:
        raise InvalidArgument(
            "a certificate for all names of a domain needs the DNS: give --acme-dns-hook, the program that"
            " sets a TXT record (docs/tls.md)"
        )
    return Acme.checked(own, settings.acme_directory, settings.acme_email, settings.acme_dns_hook)
