"""Compiled programs: static, by the compiler that the ziglang wheel brings, kept by their content."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.hostile.program import Program

LIBS = Path(__file__).parent / "libs"
_TARGET = f"{platform.machine()}-linux-musl"
_C = (
    "cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-static", "-s", "-pthread", "-Wall",
    "-fno-sanitize=undefined", f"-I{LIBS}",
)  # fmt: skip
_COMPILED = {".c", ".zig"}


def compile_all(programs: Iterable[Program], folder: Path) -> dict[str, Path]:
    """Binaries by program's name. Raises RuntimeError with what the compiler said."""
    folder.mkdir(parents=True, exist_ok=True)
    compiled = [program for program in programs if program.path.suffix in _COMPILED]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        built = list(pool.map(lambda program: _compile(program.path, folder), compiled))
    return {program.name: binary for program, binary in zip(compiled, built, strict=True)}


def _compile(source: Path, folder: Path) -> Path:
    digest = hashlib.sha256(_TARGET.encode() + " ".join(_C).encode())
    for path in (source, LIBS / "verdict.h"):
        digest.update(path.read_bytes())
    binary = folder / f"{source.stem}-{digest.hexdigest()[:16]}"
    if binary.exists():
        return binary
    making = binary.with_suffix(f".{os.getpid()}")
    command = [sys.executable, "-m", "ziglang", *_compiler(source, making)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise RuntimeError(f"{source} does not compile:\n{done.stderr[-4000:]}")
    making.rename(binary)
    return binary


def _compiler(source: Path, target: Path) -> list[str]:
    if source.suffix == ".zig":
        flags = ["-O", "ReleaseSmall", "-fsingle-threaded", "-fstrip", "-target", _TARGET]
        return ["build-exe", str(source), *flags, f"-femit-bin={target}"]
    return [*_C, "-target", _TARGET, "-o", str(target), str(source)]
