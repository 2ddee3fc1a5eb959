"""The agent as an ordinary process of this host: PID 1 of its own namespace, with users of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandlot.node.agent import Exit, GuestAgent, Output, SpawnSpec

ROOT = Path(__file__).resolve().parents[3]
BINARY = ROOT / "src" / "sandlot" / "node" / "agent" / "bin" / f"agent-{os.uname().machine}"

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
alice:x:1500:1500:Alice:{home}/alice:/bin/bash
bob:x:1501:1501:Bob:{home}/bob:/bin/sh
"""
GROUP = """\
root:x:0:
sudo:x:27:alice
alice:x:1500:
bob:x:1501:
crew:x:1600:bob,alice
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@dataclass
class Guest:
    """A running agent and the folder that it and the tests share."""

    port: int
    secret: str
    folder: Path
    process: subprocess.Popen[bytes]

    async def connect(self) -> GuestAgent:
        return await GuestAgent.connect("127.0.0.1", self.port, self.secret)

    @property
    def agent_pid(self) -> int:
        """Of the agent itself, which `unshare` started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def resident(self) -> int:
        for line in Path(f"/proc/{self.agent_pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the agent is gone")


@pytest.fixture(scope="session")
def binary() -> Path:
    if not BINARY.exists():
        subprocess.run([ROOT / "script" / "build-agent", os.uname().machine], check=True)
    return BINARY


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def guest(binary: Path, tmp_path: Path) -> Iterator[Guest]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    # pytest's own folder is closed to other users.
    folder = Path("/tmp") / f"sandlot-agent-test-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o755)
    for user, uid in (("alice", 1500), ("bob", 1501)):
        (folder / user).mkdir()
        os.chown(folder / user, uid, uid)
    (tmp_path / "passwd").write_text(PASSWD.format(home=folder))
    (tmp_path / "group").write_text(GROUP)
    # A copy: the checkout may be closed to them as well.
    shutil.copy(binary, folder / "sudo")
    (folder / "su").symlink_to("sudo")
    secret, port = secrets.token_hex(16), _free_port()
    setup = (
        'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && mount -t tmpfs none /run'
        ' && shift 2 && exec "$@"'
    )
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--uts", "--mount", "--mount-proc", "--kill-child",
         "sh", "-c", setup, "sh",
         tmp_path / "passwd", tmp_path / "group", binary, "--port", str(port), "--address", "127.0.0.1"],
        env={"SANDLOT_SECRET": secret, "PATH": os.environ["PATH"]},
        stdout=write_end,
    )  # fmt: skip
    os.close(write_end)
    try:
        assert os.read(read_end, 6) == b"ready\n"
        yield Guest(port, secret, folder, process)
    finally:
        process.kill()
        process.wait()
        os.close(read_end)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def agent(guest: Guest) -> AsyncIterator[GuestAgent]:
    connection = await guest.connect()
    try:
        yield connection
    finally:
        await connection.close()


@dataclass
class Result:
    stdout: bytes
    stderr: bytes
    exit: Exit


async def run(agent: GuestAgent, spec: SpawnSpec | str, **options: object) -> Result:
    """Run to the end; a text is a shell's."""
    if isinstance(spec, str):
        spec = SpawnSpec(["sh", "-c", spec], **options)  # type: ignore[arg-type]
    process = await agent.spawn(spec)
    streams = {"stdout": bytearray(), "stderr": bytearray()}
    async with asyncio.timeout(120):
        async for event in process:
            if isinstance(event, Output):
                assert event.offset == len(streams[event.stream])
                streams[event.stream] += event.data
            else:
                return Result(bytes(streams["stdout"]), bytes(streams["stderr"]), event)
    raise AssertionError("no exit")


@contextlib.asynccontextmanager
async def second_connection(guest: Guest) -> AsyncIterator[GuestAgent]:
    connection = await guest.connect()
    try:
        yield connection
    finally:
        await connection.close()
