"""What cannot be served is one clear line at the start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sandlot.errors import InvalidArgument, SandlotError
from sandlot.server.settings import load
from sandlot.server.tls import authority as module
from sandlot.server.tls import keeper_of
from sandlot.server.tls.identity import Identity

from .conftest import DOMAIN

Another = Callable[..., Identity]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)

    def reason(**flags: Any) -> str:
        settings = load({"data_dir": tmp_path / "data", **flags}, environment={})
        with pytest.raises(SandlotError) as caught:
            keeper_of(settings)
        return caught.value.message

    return reason


@pytest.fixture
def files(tmp_path: Path, another: Another) -> dict[str, Any]:
    identity = another()
    (tmp_path / "cert.pem").write_bytes(identity.chain)
    (tmp_path / "key.pem").write_bytes(identity.key)
    return {
        "domain": DOMAIN, "tls_certificate": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem",
    }  # fmt: skip


def test_with_a_proxy_in_front_there_is_nothing(tmp_path: Path) -> None:
    settings = load({"data_dir": tmp_path, "domain": DOMAIN, "tls_port": 0}, environment={})
    assert keeper_of(settings) is None


def test_without_a_domain_there_is_nothing(tmp_path: Path) -> None:
    assert keeper_of(load({"data_dir": tmp_path}, environment={})) is None


def test_a_given_certificate(files: dict[str, Any], tmp_path: Path) -> None:
    keeper = keeper_of(load({"data_dir": tmp_path, **files}, environment={}))
    assert keeper is not None
    assert not (tmp_path / "tls").exists()


def test_one_without_the_other(refused: Callable[..., str], files: dict[str, Any]) -> None:
    for name in ("tls_certificate", "tls_key"):
        assert "go together" in refused(**{key: value for key, value in files.items() if key != name})


def test_no_domain(refused: Callable[..., str], files: dict[str, Any]) -> None:
    del files["domain"]
    assert "needs a domain" in refused(**files)
    assert "needs a domain" in refused(acme_email="me@box.test")
    assert "no --tls-port 0" in refused(**files, domain=DOMAIN, tls_port=0)


def test_no_such_file(refused: Callable[..., str], files: dict[str, Any], tmp_path: Path) -> None:
    files["tls_key"] = tmp_path / "nowhere.pem"
    assert refused(**files) == f"tls_key: {tmp_path}/nowhere.pem cannot be read: No such file or directory"


def test_another_key(refused: Callable[..., str], files: dict[str, Any], another: Another) -> None:
    files["tls_key"].write_bytes(another().key)
    assert "the key is not that of the certificate" in refused(**files)


def test_another_domain(refused: Callable[..., str], files: dict[str, Any]) -> None:
    assert "is for *.box.test, box.test, and must be for *.else.test" in refused(
        **{**files, "domain": "else.test"}
    )


def test_nonsense(refused: Callable[..., str], files: dict[str, Any]) -> None:
    certificate = files["tls_certificate"].read_bytes()
    files["tls_certificate"].write_text("hello")
    assert "not one in PEM" in refused(**files)
    files["tls_certificate"].write_bytes(certificate)
    files["tls_key"].write_text("hello")
    assert "not a private key in PEM" in refused(**files)


def test_a_key_with_a_password(refused: Callable[..., str], files: dict[str, Any]) -> None:
    key = load_pem_private_key(files["tls_key"].read_bytes(), password=None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    files["tls_key"].write_bytes(locked)
    assert "has a password" in refused(**files)


def test_one_that_is_over(
    refused: Callable[..., str], files: dict[str, Any], another: Another, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAF_LIFE", timedelta(minutes=30))  # it begins an hour ago
    over = another()
    files["tls_certificate"].write_bytes(over.chain)
    files["tls_key"].write_bytes(over.key)
    assert "and not today" in refused(**files)


def test_acme_needs_a_hook_that_can_run(refused: Callable[..., str], tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    assert "--acme-dns-hook" in refused(domain=DOMAIN, acme_email="me@box.test")
    assert f"{hook} is no program" in refused(domain=DOMAIN, acme_dns_hook=hook)
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    plain = {"domain": DOMAIN, "acme_dns_hook": hook, "acme_directory": "http://x"}
    assert "https:// address is needed" in refused(**plain)


def test_two_sources(refused: Callable[..., str], files: dict[str, Any]) -> None:
    assert "not both" in refused(**files, acme_email="me@box.test")


@pytest.mark.parametrize(
    "domain", ["localhost", "box", "10.0.0.1", "box.test:443", "*.box.test", "http://box.test", "b_x.test",
               "a..b", "-a.test", "é.test", "x" * 64 + ".test", ".".join(["abcdefghi"] * 23)]
)  # fmt: skip
def test_a_domain_that_is_none(domain: str) -> None:
    with pytest.raises(InvalidArgument, match=r"--domain: .*a domain is needed"):
        load({"domain": domain}, environment={})


def test_domains_that_are_handed_out() -> None:
    assert load({}, environment={}).domains == ("localhost:7263",)
    assert load({"domain": "Box.Test."}, environment={}).domains == ("box.test", "localhost:7263")
    assert load({"domain": "box.test", "tls_port": 0}, environment={}).domains[0] == "box.test"
    assert load({"domain": "box.test", "tls_port": 8443}, environment={}).domains[0] == "box.test:8443"
