"""The agent's parsers under libFuzzer, AddressSanitizer and UBSan, by Debian's clang: zig ships neither."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HARNESSES: Final = Path(__file__).resolve().parent / "agent"
SOURCES: Final = HARNESSES.parents[2] / "guest" / "agent"
BUILT: Final = Path("/tmp") / "sandlot-fuzz"
FLAGS: Final = (
    "-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-pthread", "-fno-omit-frame-pointer",
    "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined",
    "-Wall", "-Wextra", "-Wno-sign-compare", "-Werror",
)  # fmt: skip

_PROBED: Final = {"conn.c", "loop.c", "job.c", "process.c", "sudo.c"}
_NEVER: Final = {"main.c", "launch.c", "proc.c", "sudo_client.c"}
_PARTS: Final = {
    "frames": (("frame.c",), ("frames.c",)),
    "ring": (("ring.c", "frame.c"), ("ring.c",)),
    "users": (("user.c", "frame.c", "premise.c", "sha256.c"), ("users.c", "box.c", "stubs.c")),
    "sudo_socket": (
        ("frame.c", "user.c", "pty.c", "premise.c", "sha256.c"),
        ("sudo_socket.c", "box.c", "stubs.c", "no_processes.c", "probe_loop.c", "probe_sudo.c"),
    ),
    "connection": (
        (),
        ("connection.c", "box.c", "no_processes.c", "probe_conn.c", "probe_job.c", "probe_loop.c",
         "probe_process.c", "probe_sudo.c"),
    ),
}  # fmt: skip
TARGETS: Final = tuple(_PARTS)


def build(target: str) -> Path:
    """The program of one target, built anew where a source is newer."""
    binary = BUILT / target
    sources = [*SOURCES.glob("*.[ch]"), *HARNESSES.glob("*.[ch]")]
    if binary.exists() and all(source.stat().st_mtime <= binary.stat().st_mtime for source in sources):
        return binary
    BUILT.mkdir(exist_ok=True, mode=0o700)
    agent, harness = _PARTS[target]
    own = [SOURCES / name for name in agent] or _whole_agent()
    # Its launch is renamed, so that the harness's can stand in for it.
    launch = BUILT / f"{target}-launch.o"
    _run(["clang", *FLAGS, "-Dlaunch=launch_really", "-c", str(SOURCES / "launch.c"), "-o", str(launch)])
    new = BUILT / f"{target}.new"
    files = [*map(str, own), *(str(HARNESSES / name) for name in harness)]
    includes = [f"-I{SOURCES}", f"-I{HARNESSES}"]
    objects = [str(launch)] if "box.c" in harness else []
    _run(["clang", *FLAGS, *includes, "-Dkill=fuzz_kill", *files, *objects, "-o", str(new)])
    new.replace(binary)
    return binary


def _whole_agent() -> list[Path]:
    return [path for path in sorted(SOURCES.glob("*.c")) if path.name not in _PROBED | _NEVER]


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
