"""What a sandbox must not reach: the host, its neighbours, the networks beside it."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandlot import Sandbox
from sandlot.server.local import LocalServer

from .conftest import Make

PROBE = """
import json, socket, sys, threading
reached = []
def probe(host, port):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        with socket.socket(family) as one:
            one.settimeout(1.5)
            one.connect((host, port))
            reached.append([host, port])
    except OSError:
        pass
targets = json.loads(sys.argv[1])
while targets:
    probes = [threading.Thread(target=probe, args=target) for target in targets[:100]]
    targets = targets[100:]
    for each in probes:
        each.start()
    for each in probes:
        each.join()
print(json.dumps(reached))
"""


ITS_OWN = ("127.0.0.1", 1023)


def reached(sandbox: Sandbox, targets: list[tuple[str, int]]) -> list[list[object]]:
    words = json.dumps([ITS_OWN, *targets])
    result = sandbox.commands.run(["python3", "-c", PROBE, words], timeout=120, check=True)
    found: list[list[object]] = json.loads(result.stdout)
    assert list(ITS_OWN) in found, "the probe finds nothing at all"
    return [each for each in found if each != list(ITS_OWN)]


@pytest.fixture
def listener() -> Iterator[int]:
    """A service of the host, on all its addresses."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        thread = threading.Thread(target=accept_all, args=(server,), daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def accept_all(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def host_addresses() -> list[str]:
    links = json.loads(subprocess.run(["ip", "-json", "addr"], check=True, capture_output=True).stdout)
    return [
        a["local"] for link in links for a in link["addr_info"] if not a["local"].startswith(("127.", "::1"))
    ]


@pytest.mark.parametrize("internet", [True, False])
def test_the_host_is_out_of_reach(
    make: Make, isolation: str, internet: bool, listener: int, server: LocalServer
) -> None:
    sandbox = make(isolation=isolation, internet=internet)
    gateway = sandbox.commands.run("ip route | awk '/default/ {print $3}'").stdout.strip()
    addresses = [*host_addresses(), gateway] if gateway else host_addresses()
    assert addresses
    targets = [(host, port) for host in addresses for port in (listener, server.port, 22)]
    assert reached(sandbox, targets) == []


def test_metadata_and_neighbours_are_out_of_reach(make: Make, isolation: str) -> None:
    neighbour = make(isolation=isolation)
    address = neighbour.commands.run("hostname -I 2>/dev/null || ip -o -4 addr show eth0").stdout.split()
    [ip] = [word.split("/")[0] for word in address if word.count(".") == 3][:1]
    service = neighbour.commands.start(["python3", "-m", "http.server", "8000", "--bind", "0.0.0.0"])
    waiting = "until curl -s 127.0.0.1:8000 >/dev/null; do sleep 0.1; done"
    assert neighbour.commands.run(waiting, timeout=30).exit_code == 0
    sandbox = make(isolation=isolation)
    metadata = [("169.254.169.254", 80), ("fd00:ec2::254", 80), ("100.100.100.200", 80)]
    assert reached(sandbox, [(ip, 8000), (ip, 1023), *metadata]) == []
    service.kill()


TALK = """
import socket
with socket.create_connection(('127.0.0.1', 1023), 5) as talk:
    talk.settimeout(10)
    talk.sendall(bytes(64))
    said = b''
    while data := talk.recv(1000):
        said += data
    print(said)
"""


def test_the_agent_asks_for_its_secret(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation)
    result = sandbox.commands.run(["python3", "-c", TALK])
    assert "this sandbox's secret" in result.stdout, result
    search = "cat /proc/1/environ | tr '\\0' '\\n' | grep 'SECRET=.'; env | grep SANDLOT"
    assert sandbox.commands.run(search).stdout == ""


def test_root_inside_is_not_root_outside(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation)
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    attempts = {
        "raw disk": "mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk",
        "kernel memory": "head -c 1 /dev/mem || head -c 1 /proc/kcore",
        "kernel module": "insmod /dev/null",
        "sysrq": "echo h > /proc/sysrq-trigger",
        "the host's processes": "kill -0 $(seq 300 2000)",
    }
    for name, attempt in attempts.items():
        assert sandbox.commands.run(attempt, user="root").exit_code != 0, name
    sandbox.commands.run("echo '|/tmp/x' > /proc/sys/kernel/core_pattern", user="root")
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern
    assert sandbox.commands.run("echo intact").stdout == "intact\n"
