"""Clients that know nothing but the domain and whom to trust: names come from a DNS, as on a real network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandlot import Sandbox
from tests.compat.e2b.clients import node

from .conftest import DOMAIN, SecureServer

NAMESERVER = "127.77.0.53"
Run = Callable[..., str]

E2B = """
from e2b import Sandbox

with Sandbox.create("base", timeout=120) as sandbox:
    print(sandbox.commands.run("echo hello").stdout, end="")
    sandbox.files.write("/tmp/there", "kept")
    print(sandbox.files.read("/tmp/there"))
    print(sandbox.get_host(80).removeprefix(f"80-{sandbox.sandbox_id}."))
    print(sandbox.is_running())
print(sandbox.is_running())
"""

NODE = """
const answer = await fetch(process.argv[1] + "/there");
console.log(answer.status, (await answer.json()).target);
"""


@pytest.fixture(scope="module")
def by_name(secure: SecureServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a program in a mount namespace whose resolv.conf names a DNS of ours."""
    folder = tmp_path_factory.mktemp("names")
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {NAMESERVER}\n")
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    dns = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("wildcard_dns.py"), NAMESERVER],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert dns.stdout is not None
    assert dns.stdout.readline() == "ready\n"
    trusting = {
        "SSL_CERT_FILE": secure.cli("ca", "--bundle"),
        "NODE_EXTRA_CA_CERTS": secure.cli("ca"),
        "E2B_DOMAIN": f"{DOMAIN}:{secure.tls_port}",
        "E2B_API_KEY": "e2b_" + secure.key.removeprefix("sl_"),
    }

    def run(*command: str) -> str:
        inside = ["unshare", "--mount", "sh", "-c", script, str(resolver), *command]
        done = subprocess.run(
            inside, env=os.environ | trusting, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    dns.kill()
    dns.wait()
    dns.stdout.close()


def test_the_e2b_client(by_name: Run, secure: SecureServer) -> None:
    domain = f"{DOMAIN}:{secure.tls_port}"
    assert by_name(sys.executable, "-c", E2B).split("\n")[:-1] == ["hello", "kept", domain, "True", "False"]


def test_node(by_name: Run, sandbox: Sandbox) -> None:
    assert by_name(str(node()), "--input-type=module", "-e", NODE, sandbox.get_url(3000)) == "200 /there\n"


def test_curl(by_name: Run, sandbox: Sandbox, secure: SecureServer) -> None:
    shown = by_name("curl", "--silent", "--show-error", "--cacert", secure.cli("ca"), sandbox.get_url(3000))
    assert '"x-forwarded-proto", "https"' in shown
