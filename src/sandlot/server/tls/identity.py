"""A certificate with its key: checked, and made into what a listener uses."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandlot.errors import InvalidArgument

RENEW_BEFORE: Final = timedelta(days=30)
"""A certificate of our own making is renewed so long before its end."""
_KEY_BEGINS: Final = b"-----BEGIN PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM of both; the chain begins with the certificate itself."""

    chain: bytes
    key: bytes = field(repr=False)

    @classmethod
    def of_file(cls, data: bytes) -> Identity:
        """As ``file`` wrote it; of anything else, one that ``check`` refuses."""
        chain, begin, key = data.partition(_KEY_BEGINS)
        return cls(chain, begin + key)

    @property
    def file(self) -> bytes:
        """Both in one, so that they can be replaced together."""
        return self.chain + self.key

    def check(self, domain: str) -> None:
        """Raises InvalidArgument where it is no identity, not now, or not of every name in ``domain``."""
        certificate = self._certificate()
        try:
            key = load_pem_private_key(self.key, password=None)
        except TypeError:
            raise InvalidArgument("the key has a password; the server needs it without one") from None
        except ValueError as error:
            raise InvalidArgument(f"the key is not a private key in PEM: {error}") from None
        if key.public_key() != certificate.public_key():
            raise InvalidArgument("the key is not that of the certificate")
        now = datetime.now(UTC)
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise InvalidArgument(
                f"the certificate is valid from {certificate.not_valid_before_utc:%Y-%m-%d}"
                f" to {certificate.not_valid_after_utc:%Y-%m-%d}, and not today"
            )
        names = _names(certificate)
        if f"*.{domain}" not in names:
            raise InvalidArgument(
                f"the certificate is for {', '.join(sorted(names)) or 'no name'}, and must be for *.{domain}"
            )

    def is_due(self) -> bool:
        """Whether it should be renewed."""
        return datetime.now(UTC) >= self._certificate().not_valid_after_utc - RENEW_BEFORE

    def context(self) -> ssl.SSLContext:
        """For a server. Raises InvalidArgument where OpenSSL does not take it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # OpenSSL reads files alone, and this must be what was checked.
            with _in_memory(self.chain + b"\n" + self.key) as path:
                context.load_cert_chain(path)
        except ssl.SSLError as error:
            raise InvalidArgument(f"the certificate cannot be used: {error.reason or error}") from None
        return context

    def _certificate(self) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificates(self.chain)[0]
        except ValueError as error:
            raise InvalidArgument(f"the certificate is not one in PEM: {error}") from None


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {name.lower() for name in names.get_values_for_type(x509.DNSName)}


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
