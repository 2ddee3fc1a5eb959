"""The server's own certificate authority, which may vouch for one domain and nothing else."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandlot.errors import InvalidArgument
from sandlot.server.files import read, replace
from sandlot.server.tls.identity import RENEW_BEFORE, Identity

AUTHORITY_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=397)
"""The longest that browsers take."""
_SKEW: Final = timedelta(hours=1)
"""Clients' clocks may be behind."""


def authority_path(folder: Path) -> Path:
    """Where the authority's certificate is, for clients to trust."""
    return folder / "ca.pem"


def bundle_path(folder: Path) -> Path:
    """It, and all that this machine trusts: for clients that would trust nothing else."""
    return folder / "bundle.pem"


@dataclass(frozen=True, slots=True)
class Authority:
    domain: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, folder: Path, domain: str) -> Authority:
        """The one kept in ``folder``, made where there is none or its time is up. Raises OSError."""
        kept = folder / "authority.pem"
        authority = _loaded(domain, read(kept))
        if authority is None or authority.is_due():
            authority = _made(domain)
            replace(kept, authority.pem() + _pem(authority.key), mode=0o600)
        if read(authority_path(folder)) != authority.pem():
            replace(authority_path(folder), authority.pem(), mode=0o644)
        replace(bundle_path(folder), _trusted_here() + authority.pem(), mode=0o644)
        return authority

    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def is_due(self) -> bool:
        return datetime.now(UTC) >= self.certificate.not_valid_after_utc - RENEW_BEFORE

    def issued(self, identity: Identity) -> bool:
        """Whether this authority stands behind it."""
        try:
            x509.load_pem_x509_certificates(identity.chain)[0].verify_directly_issued_by(self.certificate)
        except Exception:  # however it fails, it is not ours
            return False
        return True

    def issue(self) -> Identity:
        """A certificate for the domain and every name in it."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(self.domain), x509.DNSName(f"*.{self.domain}")]
        certificate = (
            _builder(self.domain, self.certificate.subject, key.public_key(), LEAF_LIFE)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return Identity(certificate.public_bytes(Encoding.PEM) + self.pem(), _pem(key))


def _loaded(domain: str, data: bytes | None) -> Authority | None:
    try:
        certificate = x509.load_pem_x509_certificate(data or b"")
        key = load_pem_private_key(data or b"", password=None)
    except (ValueError, TypeError):
        return None
    whole = isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == certificate.public_key()
    return Authority(domain, certificate, key) if whole else None  # type: ignore[arg-type]


def _made(domain: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = f"Sandlot CA for {domain}"[:64]
    everywhere = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(domain)],
        excluded_subtrees=[x509.IPAddress(network) for network in everywhere],
    )
    certificate = (
        _builder(name, _named(name), key.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(domain, certificate, key)


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now - _SKEW + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _trusted_here() -> bytes:
    file = ssl.get_default_verify_paths().cafile
    trusted = read(Path(file)) if file else None
    return trusted or read(Path("/etc/ssl/certs/ca-certificates.crt")) or b""


def own_identity(folder: Path, domain: str) -> Identity:
    """The certificate kept in ``folder``, issued anew where it is missing, wrong or soon over."""
    authority = Authority.of(folder, domain)
    kept = folder / "server.pem"
    identity = Identity.of_file(read(kept) or b"")
    try:
        identity.check(domain)
        good = authority.issued(identity) and not identity.is_due()
    except InvalidArgument:
        good = False
    if not good:
        identity = authority.issue()
        replace(kept, identity.file, mode=0o600)
    return identity
