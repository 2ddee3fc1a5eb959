"""The server's own authority vouches for its domain and no other."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sandlot.server.tls import authority as module
from sandlot.server.tls.authority import Authority, authority_path, bundle_path, own_identity
from sandlot.server.tls.identity import Identity

from .conftest import DOMAIN


def test_openssl_agrees(folder: Path, tmp_path: Path) -> None:
    identity = own_identity(folder, DOMAIN)
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(identity.chain)
    for host in (f"api.{DOMAIN}", f"3000-sbh4q2mzk7c5xw3nafj6td.{DOMAIN}", DOMAIN):
        assert verified(authority_path(folder), leaf, host)
    assert not verified(authority_path(folder), leaf, "example.org")


def test_it_cannot_vouch_for_another_domain_or_an_address(folder: Path, tmp_path: Path) -> None:
    """Who steals its key can pretend to be its own domain and nothing else."""
    authority = Authority.of(folder, DOMAIN)
    for name in ("example.org", "xbox.test"):
        stolen = Authority(name, authority.certificate, authority.key)
        leaf = tmp_path / "leaf.pem"
        leaf.write_bytes(stolen.issue().chain)
        assert not verified(authority_path(folder), leaf, name)


def test_times_and_modes(folder: Path) -> None:
    identity = own_identity(folder, DOMAIN)
    leaf, authority = x509.load_pem_x509_certificates(identity.chain)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=397)
    assert authority.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3600)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"authority.pem": 0o600, "server.pem": 0o600, "ca.pem": 0o644, "bundle.pem": 0o644}


def test_the_bundle_has_the_machines_own_too(folder: Path) -> None:
    Authority.of(folder, DOMAIN)
    bundle = bundle_path(folder).read_bytes()
    assert bundle.endswith(authority_path(folder).read_bytes())
    assert bundle.count(b"BEGIN CERTIFICATE") > 50


def test_all_stays_as_it_is(folder: Path) -> None:
    assert own_identity(folder, DOMAIN) == own_identity(folder, DOMAIN)


def test_it_is_renewed_before_its_end_and_the_authority_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAF_LIFE", timedelta(days=20))
    old = own_identity(folder, DOMAIN)
    trusted = authority_path(folder).read_bytes()
    monkeypatch.undo()
    new = own_identity(folder, DOMAIN)
    assert new != old
    assert new == own_identity(folder, DOMAIN)
    assert authority_path(folder).read_bytes() == trusted


@pytest.mark.parametrize("broken", ["server.pem", "authority.pem", "ca.pem"])
def test_a_broken_file_is_made_anew(
    folder: Path, broken: str, trusting: Callable[[], ssl.SSLContext], tmp_path: Path
) -> None:
    own_identity(folder, DOMAIN)
    (folder / broken).write_text("-----BEGIN CERTIFICATE-----\nnothing\n")
    identity = own_identity(folder, DOMAIN)
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(identity.chain)
    assert verified(authority_path(folder), leaf, f"api.{DOMAIN}")


def test_its_key_is_not_shown_by_accident(folder: Path) -> None:
    assert "PRIVATE" not in repr(Identity(b"c", own_identity(folder, DOMAIN).key))


def verified(authority: Path, leaf: Path, host: str) -> bool:
    command = ["openssl", "verify", "-x509_strict", "-verify_hostname", host, "-no-CApath", "-no-CAstore"]
    done = subprocess.run([*command, "-CAfile", authority, leaf], capture_output=True, check=False)
    return done.returncode == 0
