"""A server of the bench's own, and the bare runtime beside it on the same root file system."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from sandlot import Sandbox
from sandlot.network import NetworkSlot
from sandlot.network.addresses import DEFAULT_RANGE, AddressPlan, choose_block
from sandlot.network.links import Links
from sandlot.network.netns import in_own_thread, prepare
from sandlot.node import instance_of, syscalls
from sandlot.node.host import needs_sysctl_cover
from sandlot.server.local import LocalServer

TEMPLATES_DIR = Path(os.environ.get("SANDLOT_TEMPLATES_DIR", "/var/lib/sandlot/templates"))
TIERS = ("gvisor", "container")
RUN_TIMEOUT_S = 60.0


@contextmanager
def server(**settings: str) -> Iterator[LocalServer]:
    """A server that ends with the bench, however that ends, with every sandbox that it still has.

    ``settings`` by the names of their variables, such as ``SANDLOT_MAX_SANDBOXES``.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="sandlot-bench-") as folder:
        local = LocalServer(Path(folder), TEMPLATES_DIR, **settings)
        local.start()
        os.environ |= local.environment
        try:
            yield local
        finally:
            local.end()


def run_folders(local: LocalServer) -> Path:
    """Where each sandbox that stands has a folder, named by its id."""
    return Path("/run") / f"sandlot-{instance_of(local.folder / 'data')}" / "sandboxes"


class BareRuntime:
    """The runtime alone: `run` of /bin/true in the bundle of a sandbox that stands beside it.

    The bundle is the sandbox's own but for the program, a network namespace without a way out, and no control
    group: all of them make the bare run quicker, so the comparison is never in our favour.
    """

    def __init__(self, local: LocalServer, sandbox: Sandbox, runtime: Path) -> None:
        self._runtime = runtime
        run = run_folders(local) / sandbox.id
        self._folder = local.folder / f"bare-{runtime.name}"
        self._folder.mkdir()
        content = json.loads((run / "config.json").read_text())
        (self._folder / "config.json").write_text(json.dumps(_bare(content, run)))

    def run_true(self) -> None:
        """Raises CalledProcessError with the runtime's own words."""
        command = [str(self._runtime), "--root", str(self._folder / "state"), *self._flags(), "run"]
        bundle = ["--bundle", str(self._folder), f"bare-{uuid.uuid4().hex[:12]}"]
        subprocess.run(command + bundle, check=True, capture_output=True, timeout=RUN_TIMEOUT_S)

    @contextmanager
    def sleeping(self) -> Iterator[list[int]]:
        """One that does nothing but stand; the pids of what it consists of, without the waiting `run`."""
        with self._standing("sleep", ["/bin/sh", "-c", "echo up; exec /bin/sleep infinity"]) as process:
            yield descendants(process.pid)

    @contextmanager
    def checkpoints(self, args: list[str]) -> Iterator[Callable[[], Path]]:
        """Makes a checkpoint of what ``args`` had become when it said "up", which runs on, in a new folder.

        Its memory alone: its disk, and that anything reaches the disk, is left out, which makes it quicker.
        """
        with self._standing("standing", args):
            [folder] = self._folder.glob("standing-*")

            def checkpoint() -> Path:
                image = folder / uuid.uuid4().hex
                image.mkdir()
                what = ["checkpoint", "--leave-running", "--compression", "none", "--image-path", str(image)]
                subprocess.run(
                    [*self._command(), *what, folder.name],
                    check=True,
                    capture_output=True,
                    timeout=RUN_TIMEOUT_S,
                )
                return image

            try:
                yield checkpoint
            finally:
                shutil.rmtree(folder)

    @contextmanager
    def _standing(self, name: str, args: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        with self._start(name, args) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline() != b"up\n":
                    raise RuntimeError(f"the bare {self._runtime.name} did not start")
                yield process
            finally:
                for pid in descendants(process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.kill()

    @contextmanager
    def saved(self, args: list[str]) -> Iterator[Saved]:
        """What ``args`` had become when it first said a line, to be restored as often as one likes.

        It has no network, which makes it quicker.
        """
        with self._start("saved", args) as process:
            assert process.stdout is not None
            process.stdout.readline()
            [folder] = self._folder.glob("saved-*")
            command = self._command()
            image = folder / "image"
            image.mkdir()
            checkpoint = ["checkpoint", "--compression", "none", "--image-path", str(image), folder.name]
            subprocess.run([*command, *checkpoint], check=True, capture_output=True, timeout=RUN_TIMEOUT_S)
            process.wait(RUN_TIMEOUT_S)
            process.stdout.close()
        try:
            yield Saved(command, folder)
        finally:
            shutil.rmtree(folder)

    def _start(self, name: str, args: list[str]) -> subprocess.Popen[bytes]:
        folder = self._folder / f"{name}-{uuid.uuid4().hex[:12]}"
        folder.mkdir()
        content = json.loads((self._folder / "config.json").read_text())
        content["process"]["args"] = args
        (folder / "config.json").write_text(json.dumps(content))
        command = [*self._command(), "run", "--bundle", str(folder), folder.name]
        null = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=null, stdout=subprocess.PIPE, stderr=null)

    @contextmanager
    def networked(self, namespaces: int) -> Iterator[Callable[[], None]]:
        """``run_true`` of gVisor as one runs it whose guest has a network: in a namespace with a cable.

        So many namespaces stand ready, for as many runs at once. Before each run the address is put back that
        runsc takes off the cable; no route leads anywhere.
        """
        links, instance = Links(), instance_of(self._folder)
        prepare()
        plan = AddressPlan(instance, choose_block(instance, DEFAULT_RANGE, links.taken_networks()))
        slots = [plan.slot(number) for number in range(namespaces)]
        free: SimpleQueue[NetworkSlot] = SimpleQueue()
        try:
            for slot in slots:
                links.make(slot)
                self._bundle(slot)
                free.put(slot)

            def run_true() -> None:
                slot = free.get()
                try:
                    links.readdress(slot)
                    in_own_thread(lambda: self._run_networked(slot))
                finally:
                    free.put(slot)

            yield run_true
        finally:
            for slot in slots:
                links.remove(slot)
            links.close()

    def _bundle(self, slot: NetworkSlot) -> None:
        content = json.loads((self._folder / "config.json").read_text())
        [network] = [each for each in content["linux"]["namespaces"] if each["type"] == "network"]
        network["path"] = str(slot.netns)
        (self._folder / slot.name).mkdir(exist_ok=True)
        (self._folder / slot.name / "config.json").write_text(json.dumps(content))

    def _run_networked(self, slot: NetworkSlot) -> None:
        if needs_sysctl_cover():
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
            syscalls.mount("none", "/proc/sys/net", "tmpfs", syscalls.MS_RDONLY)
        command = [str(self._runtime), "--root", str(self._folder / "state"), *self._flags("sandbox"), "run"]
        bundle = ["--bundle", str(self._folder / slot.name), f"bare-{uuid.uuid4().hex[:12]}"]
        subprocess.run(command + bundle, check=True, capture_output=True, timeout=RUN_TIMEOUT_S)

    def _command(self) -> list[str]:
        return [str(self._runtime), "--root", str(self._folder / "state"), *self._flags()]

    def _flags(self, network: str = "none") -> list[str]:
        if self._runtime.name != "runsc":
            return []
        flags = ["--network", network, "--ignore-cgroups", "--overlay2", "none"]
        return [*flags, "--file-access", "shared", "--platform", "systrap"]


class Saved:
    """A checkpoint in a bundle, and the runtime's command to which only what it is to do is added."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self._folder = folder

    def restore(self) -> str:
        """Its name, once it runs. Raises CalledProcessError."""
        name = f"restored-{uuid.uuid4().hex[:12]}"
        where = ["--detach", "--bundle", str(self._folder), "--image-path", str(self._folder / "image")]
        subprocess.run(
            [*self._command, "restore", *where, name],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=RUN_TIMEOUT_S,
        )
        return name

    def end(self, name: str) -> None:
        subprocess.run(
            [*self._command, "delete", "--force", name],
            check=True,
            capture_output=True,
            timeout=RUN_TIMEOUT_S,
        )


def descendants(pid: int) -> list[int]:
    """Of this process, itself left out."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _bare(content: dict[str, Any], run: Path) -> dict[str, Any]:
    content["process"] |= {"args": ["/bin/true"], "terminal": False}
    content["root"]["path"] = str((run / content["root"]["path"]).resolve())
    content["linux"].pop("cgroupsPath", None)
    content["linux"].pop("resources", None)
    for namespace in content["linux"]["namespaces"]:
        if namespace["type"] == "network":
            namespace.pop("path", None)
    return content
