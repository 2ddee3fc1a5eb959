"""The programs that our users fear, each in a sandbox of its own while the host is watched."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandlot import AsyncSandbox, CommandResult, SandboxError

from .checks import Check, Ledger, Verdict
from .clock import Clock
from .report import Report
from .watch import Limits, Watch

PROGRAMS = Path(__file__).parent / "attacks"
METADATA = [("169.254.169.254", 80), ("169.254.170.2", 80), ("fd00:ec2::254", 80)]
CANARY_FILE = "credentials"


@dataclass(frozen=True)
class Attack:
    """``shows`` names the host's measurements that the table shows; all of them count."""

    name: str
    fear: str
    program: str
    run: Callable[[Scene], Awaitable[None]]
    shows: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)


@dataclass
class Scene:
    """An attacker's sandbox, and what the attack found out there."""

    sandbox: AsyncSandbox
    program: str
    limits: Limits
    host: Host
    watch: Watch
    started: float
    sandbox_checks: list[Check] = field(default_factory=list)
    host_checks: list[Check] = field(default_factory=list)

    def inside(self, claim: str, passed: bool, detail: str) -> None:
        self.sandbox_checks.append(Check(claim, passed, detail))

    def outside(self, claim: str, passed: bool, detail: str) -> None:
        self.host_checks.append(Check(claim, passed, detail))


class Host:
    """What there is to reach and to take on this host: addresses, a listener that counts visits, secrets."""

    def __init__(self, canaries: Path, server_port: int, server_pid: int, secrets: Iterable[str]) -> None:
        self.canaries = canaries
        self.server_port = server_port
        self.server_pid = server_pid
        self.secrets = tuple(secrets)
        self.addresses = _addresses()
        self.visits = 0
        self._spy: asyncio.Server

    @property
    def spy_port(self) -> int:
        return int(self._spy.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        everywhere = socket.create_server(("0.0.0.0", 0))  # noqa: S104 - it is there to be found
        self._spy = await asyncio.start_server(self._visited, sock=everywhere)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._spy.close()

    async def open_to_itself(self) -> int:
        """On how many of its addresses the host finds the listener, as a sandbox without walls would."""
        found = 0
        for address in self.addresses:
            with suppress(OSError, TimeoutError):
                reader, writer = await asyncio.wait_for(asyncio.open_connection(address, self.spy_port), 2)
                await asyncio.wait_for(reader.read(), 2)
                writer.close()
                found += 1
        self.visits -= found
        return found

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


class Attacks:
    """Runs attacks one after the other, each in a fresh sandbox, and collects the verdicts."""

    def __init__(self, report: Report, ledger: Ledger, clock: Clock, watch: Watch, host: Host) -> None:
        self._report = report
        self._ledger = ledger
        self._clock = clock
        self._watch = watch
        self._host = host

    async def run(self, attack: Attack, isolation: str, *, show: bool) -> Verdict:
        """Raises SandboxError when no sandbox can be made. What goes wrong in it is a failed check."""
        if show:
            self._report.attack(attack.name, attack.fear, PROGRAMS / attack.program)
        with self._clock.time(f"create, {isolation}"):
            sandbox = await AsyncSandbox.create(
                "base",
                isolation=isolation,
                memory_mib=attack.limits.memory_mib,
                disk_mib=attack.limits.disk_mib,
                pids=attack.limits.pids,
                timeout=120,
            )
        async with sandbox:
            with self._clock.time(f"first command after create, {isolation}"):
                await sandbox.commands.run("true", check=True)
            program = (PROGRAMS / attack.program).read_text()
            await sandbox.files.write(attack.program, program)
            started = time.monotonic()
            scene = Scene(sandbox, attack.program, attack.limits, self._host, self._watch, started)
            try:
                await attack.run(scene)
            except SandboxError as error:
                scene.inside("the sandbox can be asked", False, f"{type(error).__name__}: {error.message}")
            seconds = time.monotonic() - started
            measured = await self._watch.since(started, sandbox.id, attack.limits)
        shown = [measured[name] for name in attack.shows]
        hidden = [check for name, check in measured.items() if name not in attack.shows and not check.passed]
        self._ledger.add(
            f"{attack.name} ({isolation})", *scene.sandbox_checks, *scene.host_checks, *measured.values()
        )
        verdict = Verdict(
            attack.name, isolation, tuple(scene.sandbox_checks), (*scene.host_checks, *shown, *hidden)
        )
        self._report.attacked(verdict, seconds)
        return verdict


async def _pickle(scene: Scene) -> None:
    host = scene.host
    target = host.canaries / "owned-by-a-pickle"
    secret = host.canaries / CANARY_FILE
    spies = [(address, host.spy_port) for address in host.addresses]
    inside = {"file_on_host": str(target), "secret_file": str(secret), "spies": spies}
    await scene.sandbox.files.write("target.json", json.dumps(inside))
    await scene.sandbox.files.make_dir(str(host.canaries), mode=0o777, user="root")
    await scene.sandbox.commands.run(["python3", scene.program], check=True)
    load = "import pickle; pickle.load(open('model.pkl', 'rb'))"
    result = await scene.sandbox.commands.run(["python3", "-c", load], timeout=60)
    loot = _json(result.stdout)
    wrote = bool(loot.get("wrote")) and await scene.sandbox.files.exists(str(target))
    scene.inside(
        "the payload ran", wrote, f"payload ran, saw {loot.get('variables', 0)} variables, wrote its file"
    )
    stolen = [secret for secret in host.secrets if secret in result.stdout]
    scene.inside(
        "it found no secret of the host",
        bool(host.secrets) and not stolen,
        f"found {len(stolen)} of {len(host.secrets)} secrets",
    )
    scene.outside(
        "its file is not on the host",
        not target.exists(),
        "file on host: " + ("YES" if target.exists() else "none"),
    )
    scene.outside(
        "nothing was sent to the host", host.visits == 0, f"{host.visits} of {len(spies)} sends arrived"
    )


async def _wipe(scene: Scene) -> None:
    result = await scene.sandbox.commands.run(["bash", scene.program], timeout=90)
    said = _json(result.stdout)
    gone = bool(said) and said.get("left") == 0
    scene.inside(
        "it wiped its own files",
        gone,
        f"of {_number(said.get('before')):,} files, {said.get('left')} of 3 looked for are left",
    )
    fresh = await AsyncSandbox.create("base", timeout=60)
    async with fresh:
        python = await fresh.commands.run("ls /usr/bin | wc -l; python3 -c 'print(6 * 7)'")
        scene.outside(
            "the next sandbox is whole", python.stdout.endswith("\n42\n"), "a fresh sandbox is whole"
        )


async def _fork_bomb(scene: Scene) -> None:
    result = await scene.sandbox.commands.run(["python3", scene.program], timeout=3, max_output=65536)
    most = scene.watch.most_processes(scene.started, scene.sandbox.id)
    limit = scene.limits.pids
    # In gVisor a process inside is one or two of the host.
    grew = most >= limit
    scene.inside(
        "it grew to its limit", grew, f"grew to {f'its limit of {limit}' if grew else most} processes"
    )
    scene.inside("it was killed", result.exit_code != 0, _killed(result))
    await _answers(scene)


async def _memory_hog(scene: Scene) -> None:
    result = await scene.sandbox.commands.run(["python3", scene.program], timeout=60)
    got = [int(word) for word in result.stdout.split() if word.isdigit()]
    most = max(got, default=0)
    scene.inside(
        "it met its limit",
        0 < most <= scene.limits.memory_mib,
        f"got {most} MiB, limit {scene.limits.memory_mib}",
    )
    killed = result.exit_code != 0 and not result.timed_out
    scene.inside("it was killed", killed, _killed(result))
    await _answers(scene)


async def _disk_filler(scene: Scene) -> None:
    result = await scene.sandbox.commands.run(["python3", scene.program], timeout=90)
    said = _json(result.stdout)
    mib = _number(said.get("mib"))
    scene.inside(
        "it met its limit",
        0 < mib <= scene.limits.disk_mib + 16,
        f"wrote {mib} MiB, limit {scene.limits.disk_mib}",
    )
    scene.inside("it was told so", "space" in str(said.get("error")), f"“{said.get('error')}”")
    await scene.sandbox.files.remove("junk")
    await _answers(scene)


async def _scan(scene: Scene) -> None:
    host = scene.host
    neighbour = await AsyncSandbox.create("base", timeout=120)
    async with neighbour:
        addresses = (await neighbour.commands.run("hostname -I", check=True)).stdout.split()
        await neighbour.commands.start(["python3", "-m", "http.server", "8000", "--bind", "::"])
        ready = await neighbour.commands.run(
            "until curl -s localhost:8000 >/dev/null; do sleep 0.1; done", timeout=20
        )
        gateway = (await scene.sandbox.commands.run("ip route | awk '/default/ {print $3}'")).stdout.split()
        hosts = [*host.addresses, "127.0.0.1", *gateway]
        targets = [(address, port) for address in hosts for port in (host.spy_port, host.server_port, 22)]
        targets += [(address, port) for address in addresses for port in (8000, 1023)]
        targets += METADATA
        await scene.sandbox.files.write("targets.json", json.dumps(targets))
        open_doors = await host.open_to_itself()
        result = await scene.sandbox.commands.run(["python3", scene.program], timeout=90)
    said = _json(result.stdout)
    reached = said.get("reached", ["no answer"])
    scene.inside("the scanner works", said.get("works") is True and ready.ok, "finds an open port of its own")
    scene.inside("it reached nothing", reached == [], f"reached {len(reached)} of {len(targets)} others")
    scene.outside(
        "the host's open port was never touched",
        open_doors > 0 and host.visits == 0,
        f"its open port on {open_doors} addresses: {host.visits} visits",
    )


async def _break_out(scene: Scene) -> None:
    env = {"DISK": _root_disk(), "SERVER_PID": str(scene.host.server_pid)}
    result = await scene.sandbox.commands.run(
        ["sh", scene.program], user="root", cwd="/home/user", env=env, timeout=30
    )
    *found, last = result.stdout.splitlines() or [""]
    scene.inside("it ran as root, to its end", last == "tried 7", f"{last} ways, as root")
    scene.inside("none of them led out", not found, f"worked: {', '.join(found) or 'none'}")


async def _answers(scene: Scene) -> None:
    result = await scene.sandbox.commands.run("echo alive", timeout=20)
    scene.inside(
        "the sandbox goes on", result.stdout == "alive\n", "goes on" if result.ok else "does not answer"
    )


ATTACKS = (
    Attack(
        "hostile pickle",
        "A model file from the internet. Loading it runs its author's code.",
        "hostile_pickle.py",
        _pickle,
        ("canaries",),
    ),
    Attack(
        "break out as root",
        "Root inside tries the host's disk, kernel memory, modules, sockets and settings.",
        "break_out.sh",
        _break_out,
        ("kernel", "mounts"),
    ),
    Attack(
        "network scan",
        "Looks for the host, this server, its gateway, a neighbour, and the cloud's credentials.",
        "scan.py",
        _scan,
        ("listeners",),
    ),
    Attack(
        "memory hog",
        "Takes memory until something gives.",
        "memory_hog.py",
        _memory_hog,
        ("memory", "neighbour"),
    ),
    Attack(
        "disk filler",
        "Writes zeros until the disk is full.",
        "disk_filler.py",
        _disk_filler,
        ("disk", "neighbour"),
    ),
    Attack(
        "fork bomb",
        "Doubles until no process can be started any more.",
        "fork_bomb.py",
        _fork_bomb,
        ("processes", "neighbour"),
        Limits(memory_mib=1024),
    ),
    Attack(
        "rm -rf /",
        "Removes every file there is, as root.",
        "wipe.sh",
        _wipe,
        ("system", "templates"),
    ),
)


def _killed(result: CommandResult) -> str:
    reason = "out of memory" if result.oom else "its time was up" if result.timed_out else ""
    return f"killed: {reason}" if reason else f"ended with exit code {result.exit_code}"


def _json(text: str) -> dict[str, Any]:
    """The last line of a hostile program's output, if it is a JSON object; else nothing."""
    try:
        value = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _addresses() -> list[str]:
    command = ["ip", "-json", "-4", "address", "show", "scope", "global"]
    links = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    # ip leaves empty objects for what it filters out. The host's ends of the sandboxes' cables are many; the
    # attacker's own is tried as its gateway.
    shown = [link for link in links if link and not link["ifname"].startswith("sl")]
    return [address["local"] for link in shown for address in link["addr_info"] if address]


def _root_disk() -> str:
    device = os.stat("/").st_dev
    return f"{os.major(device)} {os.minor(device)}"
