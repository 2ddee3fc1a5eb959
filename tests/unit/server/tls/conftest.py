from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from sandlot.server.tls.authority import Authority, authority_path
from sandlot.server.tls.identity import Identity

DOMAIN = "box.test"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tls" / DOMAIN


@pytest.fixture
def trusting(folder: Path) -> Callable[[], ssl.SSLContext]:
    """What a client uses that trusts the authority in ``folder``, as strictly as newer Pythons do."""

    def context() -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=authority_path(folder))
        made.verify_flags |= ssl.VERIFY_X509_STRICT
        return made

    return context


@pytest.fixture
def another(tmp_path: Path) -> Callable[..., Identity]:
    """A certificate of somebody else's making."""

    def made(domain: str = DOMAIN) -> Identity:
        return Authority.of(tmp_path / "another" / domain, domain).issue()

    return made


def shown(port: int, name: str, context: ssl.SSLContext) -> x509.Certificate:
    """The certificate that a client of ``name`` is shown, and has found good."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
        assert certificate is not None
        return x509.load_der_x509_certificate(certificate)
