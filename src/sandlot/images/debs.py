"""Fetches Debian packages for a guest with the host's own apt: its mirrors, its proxy, its keys."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from sandlot.images.apt import Archive, render_deb822
from sandlot.images.runner import Runner

STATUS = "var/lib/dpkg/status"
_DEADLINE_S = 3600


async def download(
    packages: list[str],
    target: Path,
    lower: Path,
    archive: Archive,
    runner: Runner,
    report: Callable[[str, float | None], None],
) -> None:
    """Puts ``packages`` and what they need beyond the file system ``lower`` into ``target``, empty before.

    "a | b" is the first of them that there is.
    """
    folder = target.parent / "apt"
    await asyncio.to_thread(_configure, folder, target, lower, archive)
    env = {"APT_CONFIG": str(folder / "apt.conf")}

    async def apt_get(*command: str, on_line: Callable[[str], None] = lambda line: None) -> None:
        await runner.run(
            ["apt-get", "--quiet", *command],
            deadline_s=_DEADLINE_S,
            isolated=False,
            env=env,
            on_line=on_line,
        )

    def on_line(line: str) -> None:
        words = line.split()
        if line.startswith("Get:") and len(words) > 6:  # number, mirror, suite, architecture, name, …
            report(f"fetching {words[4]}", None)

    report("reading package lists", None)
    await apt_get("update")
    known = await asyncio.to_thread(_known, env)
    chosen = [choose(words, known) for words in packages]
    options = ["--yes", "--download-only", "--no-install-recommends"]
    await apt_get("install", *options, *chosen, on_line=on_line)


def choose(alternatives: str, known: Collection[str]) -> str:
    """The first of "a | b" that is known; the last where none is, so that apt says so."""
    names = [name.strip() for name in alternatives.split("|")]
    return next((name for name in names if name in known), names[-1])


def host_options() -> str:
    """How this host's apt reaches its mirrors (proxy, CA, clock tolerance): for the build, not the guest."""
    dump = subprocess.run(
        ["apt-config", "dump", "--no-empty", "--format", '%F "%v";%n', "Acquire"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    kept = ("Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::Check-", "Acquire::Retries")
    return "\n".join(line for line in dump.splitlines() if line.startswith(kept)) + "\n"


def _configure(folder: Path, target: Path, lower: Path, archive: Archive) -> None:
    """An apt of its own, that takes the guest's packages for what is installed."""
    for name in ("etc/preferences.d", "etc/apt.conf.d", "lists/partial", "cache"):
        (folder / name).mkdir(parents=True)
    (target / "partial").mkdir(parents=True)
    (folder / "etc/archive.sources").write_text(render_deb822(archive.sources))
    options = {
        "Dir::Etc": folder / "etc",
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": folder / "etc",
        "Dir::Etc::Trusted": "/etc/apt/trusted.gpg",
        "Dir::Etc::TrustedParts": "/etc/apt/trusted.gpg.d",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": lower / STATUS,
        "Dir::Cache": folder / "cache",
        "Dir::Cache::archives": target,
        "APT::Architecture": archive.architecture,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    lines = [f'{name} "{value}";\n' for name, value in options.items()]
    (folder / "apt.conf").write_text(host_options() + "".join(lines))


def _known(env: Mapping[str, str]) -> set[str]:
    names = subprocess.run(
        ["apt-cache", "pkgnames"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
    )
    return set(names.stdout.split())
