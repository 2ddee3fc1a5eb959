"""Compiles the agent with zig's compiler, from the PyPI package ``ziglang``: no machine lacks it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ARCHITECTURES = ("x86_64", "aarch64")
SOURCES = Path(__file__).resolve().parent
BINARIES = SOURCES.parent.parent / "src" / "sandlot" / "node" / "agent" / "bin"
FLAGS = (
    "-std=c11", "-D_GNU_SOURCE", "-Os", "-static", "-s", "-pthread",
    "-Wall", "-Wextra", "-Wno-sign-compare", "-Werror",
    "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-fno-sanitize=undefined",
)  # fmt: skip


def build_agent(architecture: str) -> Path:
    """One binary, in the package's folder; it appears whole or not at all."""
    target = BINARIES / f"agent-{architecture}"
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        built = Path(folder) / "agent"
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-musl"]
        subprocess.run([*compiler, *FLAGS, "-o", str(built), *sources], check=True)
        built.chmod(0o755)
        os.replace(built, target)
    return target


if __name__ == "__main__":
    for name in sys.argv[1:] or ARCHITECTURES:
        binary = build_agent(name)
        print(f"{binary} {binary.stat().st_size} bytes")
