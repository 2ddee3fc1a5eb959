"""The host's side: what no program may change, reach or learn, looked at from where it cannot lie."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from sandlot import AsyncSandbox
from sandlot.node.cgroups import CgroupLayout, CgroupTree
from sandlot.node.model import instance_of
from sandlot.server.local import LocalServer

_SYSCTLS = (
    "kernel/core_pattern",
    "kernel/core_uses_pid",
    "kernel/dmesg_restrict",
    "kernel/domainname",
    "kernel/hostname",
    "kernel/hotplug",
    "kernel/kptr_restrict",
    "kernel/modprobe",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/perf_event_paranoid",
    "kernel/pid_max",
    "kernel/poweroff_cmd",
    "kernel/printk",
    "kernel/randomize_va_space",
    "kernel/shmmax",
    "kernel/sysrq",
    "kernel/threads-max",
    "kernel/unprivileged_bpf_disabled",
    "fs/file-max",
    "fs/suid_dumpable",
    "fs/inotify/max_user_watches",
    "net/core/somaxconn",
    "net/ipv4/ip_forward",
    "user/max_user_namespaces",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "vm/swappiness",
)
_FIRST_ID = 0x70000000
"""Of the users that sandboxes are on the host; no other process has one that high."""
_GRACE_S = 1.0
_CLOCK_SLACK_S = 2.0


@dataclass(frozen=True)
class Standing:
    """What must be the same after every program."""

    boot: str
    kernel: tuple[str, ...]
    modules: str
    swaps: str
    devices: frozenset[str]
    mounts: frozenset[str]
    canaries: tuple[str, ...]
    system: tuple[str, ...]

    @classmethod
    def take(cls, canaries: Path) -> Self:
        return cls(
            boot=_text("/proc/sys/kernel/random/boot_id"),
            kernel=tuple(f"{name} = {_text(f'/proc/sys/{name}')}" for name in _SYSCTLS),
            modules=_text("/proc/modules"),
            swaps=_text("/proc/swaps"),
            devices=frozenset(name for name in os.listdir("/dev") if not name.startswith("loop")),
            mounts=frozenset(_mounts()),
            canaries=tuple(_print_of(path) for path in sorted(canaries.rglob("*"))),
            system=tuple(_print_of(Path(path)) for path in ("/etc/passwd", "/etc/shadow", "/etc/hosts")),
        )

    def changes(self, now: Standing) -> list[str]:
        return [
            f"the host's {each.name} changed: {_difference(before, after)}"
            for each in fields(self)
            if (before := getattr(self, each.name)) != (after := getattr(now, each.name))
        ]


@dataclass(frozen=True)
class Group:
    """The limits of one sandbox, as its control group on the host has them, and what it used at most."""

    limits: dict[str, int]
    memory_peak: int


class Neighbour:
    """A quiet sandbox with a file and a web page, which must go on answering."""

    def __init__(self, sandbox: AsyncSandbox, address: str, note: str) -> None:
        self.sandbox = sandbox
        self.address = address
        self._note = note
        self._answers: list[tuple[float, str]] = []

    @classmethod
    async def make(cls, tier: str, note: str) -> Self:
        sandbox = await AsyncSandbox.create("base", isolation=tier, memory_mib=128, disk_mib=96, timeout=3600)
        await sandbox.files.write("www/note", note)
        await sandbox.commands.start(["python3", "-m", "http.server", "-d", "www", "8000"])
        found = await sandbox.commands.run("ip -json -4 addr show scope global", check=True)
        addresses = [one["local"] for link in json.loads(found.stdout) for one in link["addr_info"]]
        [address] = [one for one in addresses if not one.startswith("127.")]
        await sandbox.commands.run("until curl -sf 127.0.0.1:8000/note; do :; done", timeout=30, check=True)
        return cls(sandbox, address, note)

    async def answered(self, since: float) -> str | None:
        """What is wrong with it, if anything; asked at most once for programs that end together."""
        if not self._answers or self._answers[-1][0] < since:
            asked = time.monotonic()
            self._answers.append((asked, await self._ask()))
        return next((answer for at, answer in reversed(self._answers) if at >= since and answer), None)

    async def _ask(self) -> str:
        try:
            result = await self.sandbox.commands.run("cat www/note", timeout=20)
        except Exception as error:
            return f"the neighbour did not answer: {error!r}"
        return "" if result.stdout == self._note else f"the neighbour's file changed: {result!r}"


class Witness:
    """Plants what must not be found, watches what must not change; from entry to exit."""

    def __init__(self, server: LocalServer, tiers: tuple[str, ...]) -> None:
        self._server = server
        self._tiers = tiers
        self._tree = CgroupTree(instance_of(server.folder / "data"), CgroupLayout.detect())
        self._connections: list[str] = []
        self._clock = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        self.secret = f"host-secret-{secrets.token_hex(16)}"
        self.note = f"neighbours-note-{secrets.token_hex(16)}"
        self.neighbours: dict[str, Neighbour] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._canaries = Path(tempfile.mkdtemp(prefix="sandlot-canary-"))
            stack.callback(shutil.rmtree, self._canaries)
            self._canaries.chmod(0o777)  # only the sandbox stands before it, no permission
            (self._canaries / "secret").write_text(self.secret)
            (self._canaries / "secret").chmod(0o666)
            self._victim = await asyncio.create_subprocess_exec(
                "sleep", "infinity", env={"SECRET": self.secret}, stdout=subprocess.DEVNULL
            )
            stack.push_async_callback(self._victim.wait)
            stack.callback(self._victim.kill)
            listening = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
            self._listener = await asyncio.start_server(self._reached, sock=listening)
            stack.callback(self._listener.close)
            for tier in self._tiers:
                self.neighbours[tier] = await Neighbour.make(tier, self.note)
                stack.push_async_callback(self.neighbours[tier].sandbox.kill)
            self._standing = Standing.take(self._canaries)
            self._api = await stack.enter_async_context(
                httpx.AsyncClient(base_url=self._server.url, timeout=30)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def told(self) -> dict[str, str]:
        """What every program is told, so that it need not guess: where the host's things are."""
        return {
            "CANARY": str(self._canaries),
            "CANARY_PORT": str(self._listener.sockets[0].getsockname()[1]),
            "HOST_ADDRESSES": " ".join(_addresses()),
            "HOST_PID": str(self._victim.pid),
            "SERVER_PORT": str(self._server.port),
            "NEIGHBOURS": " ".join(neighbour.address for neighbour in self.neighbours.values()),
            "NEIGHBOUR_IDS": " ".join(neighbour.sandbox.id for neighbour in self.neighbours.values()),
        }

    def secrets(self, sandbox: str, *, agents: bool) -> list[bytes]:
        """What must not be in any output: of the host, the neighbour, the server and, if asked, the agent."""
        found = [self.secret, self.note, self._server.key]
        if agents:
            record = self._server.folder / "data" / "node" / "sandboxes" / sandbox / "record.json"
            found.append(str(json.loads(record.read_text())["secret"]))
        return [secret.encode() for secret in found]

    def group(self, sandbox: str) -> Group:
        """Raises OSError when the sandbox has ended."""
        group = self._tree.group(sandbox)
        if self._tree.layout.is_v2:
            files = {"memory": "memory.max", "pids": "pids.max"}
            peak = "memory.peak"
        else:
            files = {"memory": "memory.limit_in_bytes", "pids": "pids.max", "cpu": "cpu.cfs_quota_us"}
            peak = "memory.max_usage_in_bytes"
        limits = {name: int((group.folder(name) / file).read_text()) for name, file in files.items()}
        return Group(limits, int((group.folder("memory") / peak).read_text()))

    async def harm(self, tier: str, since: float) -> list[str]:
        """Everything that is not as it was; programs that ran at the same time share the suspicion."""
        found = self._standing.changes(await asyncio.to_thread(Standing.take, self._canaries))
        found += await self._strays()
        found += self._connections
        if abs(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - self._clock) > _CLOCK_SLACK_S:
            found.append("the host's clock was set")
        if self._victim.returncode is not None:
            found.append("a process of the host was killed")
        if problem := await self.neighbours[tier].answered(since):
            found.append(problem)
        if not await self._ready():
            found.append("the server is not ready")
        return found

    async def _ready(self) -> bool:
        try:
            return (await self._api.get("/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def _strays(self) -> list[str]:
        """Processes of sandboxes outside of every sandbox's group, seen twice."""
        found = await asyncio.to_thread(_outside)
        if found:
            await asyncio.sleep(_GRACE_S)
            found &= await asyncio.to_thread(_outside)
        return [f"a process left its control group: {stray}" for stray in sorted(found)]

    async def _reached(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(f"a connection to the host came from {writer.get_extra_info('peername')}")
        writer.write(self.secret.encode())
        writer.close()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError as error:
        return str(error.strerror)


def _mounts() -> list[str]:
    """Without those that sandboxes are made of, here or by other servers on this host."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    others = ("/run/netns", tempfile.gettempdir())
    return [
        line.split()[4] for line in lines if "sandlot" not in line and not line.split()[4].startswith(others)
    ]


def _print_of(path: Path) -> str:
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        return f"{path} {path.stat().st_mode:o} {path.stat().st_uid} {content}"
    except OSError as error:
        return f"{path} {error.strerror}"


def _difference(before: object, after: object) -> str:
    if isinstance(before, str) or not isinstance(before, tuple | frozenset):
        return f"{before!r} to {after!r}"
    was, now = set(before), set(after) if isinstance(after, tuple | frozenset) else set()
    return f"gone {sorted(was - now)[:5]}, new {sorted(now - was)[:5]}"


def _addresses() -> list[str]:
    links = json.loads(subprocess.run(["ip", "-json", "addr"], check=True, capture_output=True).stdout)
    names = [link for link in links if not link["ifname"].startswith("sl")]
    return [address["local"] for link in names for address in link["addr_info"]]


def _outside() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid < _FIRST_ID or "/sandlot-" in (process / "cgroup").read_text():
                continue
            name, _, rest = (process / "stat").read_text().rpartition(")")
            if rest.split()[0] not in "ZX":  # the dead are in no group while they wait to be reaped
                found.add(f"{name})")
    return found
