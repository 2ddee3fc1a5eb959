"""One day's work through each client that knows nothing but a domain, whom to trust, and its key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tls
from tests.integration.tls.conftest import DOMAIN, SecureServer
from tests.leftovers import Footprint

from .clients import Client, of_kind
from .day import work
from .environment import key_of

NAMESERVER = "127.77.0.54"
PARTS = ("sandboxes", "commands", "files")
ELSEWHERE = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
Work = Callable[[Client], dict[str, Any]]


def parts_of(client: Client) -> tuple[str, ...]:
    """Code of those that can run it by a name only; the others have done so by the server's address."""
    return PARTS if client.code_by_url else (*PARTS, "code")


@pytest.fixture(scope="module")
def nameserver() -> Iterator[str]:
    """A DNS in which every name of the domain leads here."""
    program = [sys.executable, str(Path(tls.__file__).with_name("wildcard_dns.py")), NAMESERVER]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as dns:
        assert dns.stdout is not None
        assert dns.stdout.readline() == "ready\n"
        yield NAMESERVER
        dns.kill()


@pytest.fixture(scope="module")
def by_name(
    footprint: Footprint, nameserver: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Work]:
    secure = SecureServer(tmp_path_factory.mktemp("secure"))
    resolver = tmp_path_factory.mktemp("names") / "resolv.conf"
    resolver.write_text(f"nameserver {nameserver}\n")
    secure.start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("E2B_")} | {
        "SSL_CERT_FILE": secure.cli("ca", "--bundle"),
        "NODE_EXTRA_CA_CERTS": secure.cli("ca"),
        "E2B_DOMAIN": f"{DOMAIN}:{secure.tls_port}",
        "E2B_API_KEY": key_of(secure),
    }
    try:
        yield lambda client: work(
            client, parts_of(client), environment, ["unshare", "--mount", "sh", "-c", ELSEWHERE, resolver]
        )
    finally:
        secure.end()


@pytest.mark.parametrize("client", [*of_kind("python"), *of_kind("javascript")], ids=str)
def test_a_day_by_name(by_name: Work, client: Client) -> None:
    outcome = by_name(client)
    assert [part for part, facts in outcome.items() if not isinstance(facts, dict)] == [], outcome
    assert outcome["sandboxes"]["given"] == "1\n"
    assert outcome["commands"]["done"][:3] == [0, "out\nä\n/tmp\n", "err\n"]
    assert outcome["files"]["streamed"]
    if not client.code_by_url:
        assert outcome["code"]["text"] == "42"
        assert outcome["code"]["elsewhere"] == "('/tmp', False)"
