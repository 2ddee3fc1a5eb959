"""A small internet of network namespaces. Nothing here, or in a test above it, has a way to a real network.

The "host" is a fresh namespace that the test process itself enters, so that whatever the pool does to its
host is gone with it. Addresses of the far side that look public belong to ranges that nobody announces.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"

HOST_PUBLIC = "22.0.0.2"
ROUTER = "22.0.0.1"
FAR = "23.0.0.1"
HOST_LAN = "192.168.50.1"
LAN_PEER = "192.168.50.2"
METADATA = "169.254.169.254"
MIRROR = "10.1.2.3"
NOT_PUBLIC = [
    MIRROR,
    "10.200.0.1",
    "172.16.5.5",
    "192.168.7.7",
    LAN_PEER,
    METADATA,
    "100.64.0.10",
    "192.0.0.192",
    "198.18.0.1",
    "203.0.113.5",
]
PORT = 8080

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def ip(*arguments: str, namespace: str | None = None) -> str:
    inside = ["-n", namespace] if namespace else []
    return subprocess.run(
        ["ip", *inside, *arguments], check=True, capture_output=True, text=True, timeout=10
    ).stdout


@contextlib.contextmanager
def fresh_host() -> Iterator[None]:
    """Enter an empty network namespace, this thread and all threads and processes it starts."""
    descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        assert _libc.unshare(_CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert _libc.setns(descriptor, _CLONE_NEWNET) == 0
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def internet() -> Iterator[str]:
    """Another namespace, our default route leads there; it has every address that a guest must not reach."""
    name = f"sandlot-test-{os.getpid()}-{secrets.token_hex(2)}"
    ip("netns", "add", name)
    try:
        ip("link", "set", "lo", "up")
        for host_if, host, far_if, far in (
            ("up0", HOST_PUBLIC, "eth0", ROUTER),
            ("lan0", HOST_LAN, "eth1", LAN_PEER),
        ):
            ip("link", "add", host_if, "type", "veth", "peer", "name", far_if, "netns", name)
            ip("address", "add", f"{host}/24", "dev", host_if)
            ip("link", "set", host_if, "up")
            ip("address", "add", f"{far}/24", "dev", far_if, namespace=name)
            ip("link", "set", far_if, "up", namespace=name)
        ip("route", "add", "default", "via", ROUTER)
        ip("link", "set", "lo", "up", namespace=name)
        for address in (FAR, *NOT_PUBLIC):
            if address != LAN_PEER:
                ip("address", "add", f"{address}/32", "dev", "lo", namespace=name)
        yield name
    finally:
        ip("netns", "delete", name)


async def nft(*arguments: str, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        "nft",
        *arguments,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(stdin.encode() or None)
    assert process.returncode == 0
    return output.decode()


@dataclass
class Program:
    process: asyncio.subprocess.Process

    async def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def line(self, timeout: float = 10.0) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout):
            return (await self.process.stdout.readline()).decode().strip()


@contextlib.asynccontextmanager
async def running(program: str, *arguments: str, netns: str | None = None) -> AsyncIterator[Program]:
    """One of ``programs/``, in a slot or in a namespace of the test's; None is the host."""
    enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
    process = await asyncio.create_subprocess_exec(
        *enter,
        sys.executable,
        "-I",
        str(PROGRAMS / f"{program}.py"),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@dataclass(frozen=True)
class Target:
    protocol: str
    host: str
    port: int = PORT


def everything_of(*hosts: str) -> list[Target]:
    return [Target(protocol, host) for host in hosts for protocol in ("tcp", "udp", "icmp")]


async def probe(netns: str | None, targets: list[Target]) -> dict[Target, str | None]:
    """What answered, from inside a namespace: the address that the server saw, "icmp", or None."""
    asked = json.dumps([[target.protocol, target.host, target.port] for target in targets])
    async with running("probe", asked, netns=netns) as program:
        answers = json.loads(await program.line(timeout=20))
    return dict(zip(targets, answers, strict=True))


async def reached(netns: str | None, targets: list[Target]) -> set[Target]:
    return {target for target, answer in (await probe(netns, targets)).items() if answer is not None}
