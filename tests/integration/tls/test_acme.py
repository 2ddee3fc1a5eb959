"""A wildcard certificate by ACME, from a real server of the protocol that looks into a real DNS."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import structlog

from sandlot.server.tls.acme import Acme
from sandlot.server.tls.authority import authority_path, own_identity
from sandlot.server.tls.identity import Identity
from sandlot.server.tls.keeper import Keeper
from sandlot.server.tls.sources import Own
from tests.unit.server.tls.conftest import DOMAIN, shown

NAME = f"3000-sbh4q2mzk7c5xw3nafj6td.{DOMAIN}"

HOOK = """#!{python}
import json, sys, urllib.request
action, name, value = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(f"{{action}} {{name}}\\n")
body = json.dumps({{"host": name + ".", "value": value}}).encode()
kind = {{"present": "set-txt", "cleanup": "clear-txt"}}[action]
urllib.request.urlopen(f"http://127.0.0.1:{management}/{{kind}}", body, timeout=30)
"""


class Pebble:
    """A certificate authority, and the DNS that it asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.manage, self.dns, self.dns_manage = _free_ports(4)
        self.trusted = authority_path(folder / "ca")
        self.log = folder / "hook.log"
        self.hook = folder / "hook"
        self.hook.write_text(
            HOOK.format(python=sys.executable, log=str(self.log), management=self.dns_manage)
        )
        self.hook.chmod(0o755)

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.port}/dir"

    @property
    def hooked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def start(self, stack: ExitStack) -> None:
        identity = own_identity(self.folder / "ca", "localhost")
        certificate, key = self.folder / "cert.pem", self.folder / "key.pem"
        certificate.write_bytes(identity.chain)
        key.write_bytes(identity.key)
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.manage}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": 1,
            "tlsPort": 1,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        servers = [
            ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", "-http01", "", "-https01", "",
             "-tlsalpn01", "", "-management", f"127.0.0.1:{self.dns_manage}"],
            ["pebble", "-config", str(self.folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{self.dns}"],
        ]  # fmt: skip
        for command in servers:
            environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1"}
            with (self.folder / f"{command[0]}.log").open("wb") as log:
                stack.callback(_end, subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        for port in (self.port, self.dns_manage):
            _await_port(port)

    def issued_by(self) -> ssl.SSLContext:
        """What trusts its certificates, and no other."""
        root = httpx.get(f"https://127.0.0.1:{self.manage}/roots/0", verify=False).text
        return ssl.create_default_context(cadata=root)


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    pebble = Pebble(tmp_path_factory.mktemp("pebble"))
    with ExitStack() as stack:
        pebble.start(stack)
        yield pebble


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tls" / DOMAIN


@pytest.fixture
def acme(pebble: Pebble, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Acme:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pebble.trusted))
    pebble.log.unlink(missing_ok=True)
    return Acme.checked(Own(folder, DOMAIN), pebble.directory, "me@box.test", pebble.hook)


@pytest.fixture
async def port(acme: Acme) -> AsyncIterator[int]:
    """A TLS server that begins with the stand-in."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    keeper = Keeper(acme, look_every_s=0.05)
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=keeper.context)
    keeping = asyncio.create_task(keeper.keep())
    async with server:
        yield server.sockets[0].getsockname()[1]
    keeping.cancel()
    await asyncio.wait({keeping})


async def test_it_is_ordered_under_way_and_taken(pebble: Pebble, acme: Acme, folder: Path, port: int) -> None:
    own = ssl.create_default_context(cafile=authority_path(folder))
    await asyncio.to_thread(shown, port, NAME, own)  # there from the first moment
    trusting = await asyncio.to_thread(pebble.issued_by)
    async with asyncio.timeout(120):
        while not await asyncio.to_thread(_is_shown, port, trusting):
            await asyncio.sleep(0.1)
    record = f"_acme-challenge.{DOMAIN}"
    assert sorted(pebble.hooked) == [f"cleanup {record}"] * 2 + [f"present {record}"] * 2
    assert (folder / "acme.pem").stat().st_mode & 0o777 == 0o600
    # The next start has it already, with the same account.
    assert acme.latest() == Identity.of_file((folder / "acme.pem").read_bytes())
    await acme.tend()
    assert len(pebble.hooked) == 4


async def test_the_account_is_kept_for_the_next_order(pebble: Pebble, acme: Acme, folder: Path) -> None:
    await acme.tend()
    first, account = acme.latest(), (folder / "acme-account.pem").read_bytes()
    (folder / "acme.pem").unlink()
    again = Acme.checked(Own(folder, DOMAIN), pebble.directory, "me@box.test", pebble.hook)
    await again.tend()
    assert again.latest() != first
    assert (folder / "acme-account.pem").read_bytes() == account


async def test_a_hook_that_fails_says_so_and_is_not_called_again_at_once(
    acme: Acme, pebble: Pebble, tmp_path: Path, folder: Path
) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\necho $1 >> {tmp_path}/called\necho 'no such zone' >&2\nexit 3\n")
    hook.chmod(0o755)
    broken = Acme.checked(Own(folder, DOMAIN), pebble.directory, None, hook)
    with structlog.testing.capture_logs() as logs:
        await broken.tend()
        await broken.tend()
    reasons = [line["reason"] for line in logs if line["log_level"] == "error"]
    assert reasons == [f"{hook} present ended with 3 and said: no such zone"]
    assert broken.latest() == own_identity(folder, DOMAIN)
    assert (tmp_path / "called").read_text().split() == ["present", "cleanup"]


async def test_a_record_that_is_not_there(acme: Acme, pebble: Pebble, tmp_path: Path, folder: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    lazy = Acme.checked(Own(folder, DOMAIN), pebble.directory, None, hook)
    with structlog.testing.capture_logs() as logs:
        await lazy.tend()
    assert "the proof was not accepted" in logs[-1]["reason"]


async def test_nobody_answers(folder: Path, pebble: Pebble) -> None:
    nobody = Acme.checked(
        Own(folder, DOMAIN), f"https://127.0.0.1:{_free_ports(1)[0]}/dir", None, pebble.hook
    )
    with structlog.testing.capture_logs() as logs:
        await nobody.tend()
    assert "refused" in logs[-1]["reason"]


def _is_shown(port: int, trusting: ssl.SSLContext) -> bool:
    try:
        shown(port, NAME, trusting)
    except ssl.SSLCertVerificationError:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
