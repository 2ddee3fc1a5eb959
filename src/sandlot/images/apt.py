"""Where this host gets its packages from, so that a template is built from the same mirrors and suite.

Formats: sources.list(5), both the one-line style and deb822. Third-party repositories on the host are left
out: a template holds the operating system's own packages only.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from sandlot.errors import Unavailable

_POCKETS = ("", "-updates", "-security")
_ONE_LINE = re.compile(r"^(?P<type>deb|deb-src)\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>\S.*)$")
_ARCHIVE_PATHS = ("debian", "debian-security", "ubuntu", "ubuntu-ports")


@dataclass(frozen=True)
class AptSource:
    """One stanza of binary packages. ``signed_by`` is a keyring path, fingerprints, or an embedded key."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Archive:
    """The operating system's own package archive: ``os`` is "debian" or "ubuntu", ``suite`` its code name."""

    os: str
    suite: str
    architecture: str
    sources: tuple[AptSource, ...]


def parse_one_line(text: str) -> list[AptSource]:
    """Reads the one-line style; comments and sources of source code are left out."""
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.split("#", 1)[0].strip())
        if match is None or match["type"] != "deb":
            continue
        words = match["rest"].split()
        if len(words) < 2:
            continue
        options = dict(o.split("=", 1) for o in (match["options"] or "").split() if "=" in o)
        found.append(
            AptSource(
                uris=(words[0],),
                suites=(words[1],),
                components=tuple(words[2:]),
                signed_by=options.get("signed-by") or None,
                trusted=_is_yes(options.get("trusted")),
            )
        )
    return found


def parse_deb822(text: str) -> list[AptSource]:
    """Reads deb822 stanzas; disabled ones and those without binary packages are left out."""
    found = []
    for fields in _stanzas(text):
        uris, suites = fields.get("uris", "").split(), fields.get("suites", "").split()
        if "deb" not in fields.get("types", "").split() or _is_no(fields.get("enabled")):
            continue
        if not uris or not suites:
            continue
        found.append(
            AptSource(
                uris=tuple(uris),
                suites=tuple(suites),
                components=tuple(fields.get("components", "").split()),
                signed_by=fields.get("signed-by") or None,
                trusted=_is_yes(fields.get("trusted")),
            )
        )
    return found


def render_deb822(sources: Iterable[AptSource]) -> str:
    """The inverse of :func:`parse_deb822`."""
    return "\n".join(_render_stanza(source) for source in sources)


def read_sources(etc_apt: Path) -> list[AptSource]:
    """Every enabled source under ``etc_apt``, in apt's order, with mirror lists replaced by their mirrors."""
    found: list[AptSource] = []
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        parse = parse_deb822 if file.suffix == ".sources" else parse_one_line
        found += parse(file.read_text(errors="replace"))
    return [_with_real_mirrors(source, _read_mirror_list) for source in found]


def select_archive(sources: Iterable[AptSource], *, os: str, codename: str, architecture: str) -> Archive:
    """Keeps what belongs to the operating system's archive. Raises Unavailable when nothing does."""
    suites = [codename + pocket for pocket in _POCKETS]
    candidates = [
        replace(source, suites=kept, components=_own_components(source))
        for source in sources
        if (kept := tuple(s for s in source.suites if s in suites)) and "main" in source.components
    ]
    for is_own in (_signed_by_archive_key, _looks_like_archive):
        own = [source for source in candidates if is_own(source)]
        if any(codename in source.suites for source in own):
            candidates = own
    if not any(codename in source.suites for source in candidates):
        raise Unavailable(
            f"apt on this host has no source for the suite {codename!r} with the component 'main', and "
            "templates are built from it. Add one under /etc/apt/sources.list.d and run 'apt-get update'."
        )
    return Archive(os=os, suite=codename, architecture=architecture, sources=tuple(candidates))


def host_archive() -> Archive:
    """The archive of the machine this runs on. Blocks for one short process.

    Raises Unavailable where the operating system is neither Debian nor Ubuntu.
    """
    release = _os_release(Path("/etc/os-release").read_text())
    os, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    if os not in ("debian", "ubuntu") or not codename:
        raise Unavailable(
            f"templates are built on Debian or Ubuntu; this host says it is {os or 'unknown'!r}. "
            "Build them on such a machine and copy the templates folder here."
        )
    architecture = subprocess.run(
        ["/usr/bin/dpkg", "--print-architecture"], check=True, capture_output=True, text=True, timeout=10
    ).stdout.strip()
    return select_archive(read_sources(Path("/etc/apt")), os=os, codename=codename, architecture=architecture)


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            if name:
                fields[name] = f"{fields[name]}\n{line.strip()}".strip("\n")
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()


def _render_stanza(source: AptSource) -> str:
    lines = [
        "Types: deb",
        f"URIs: {' '.join(source.uris)}",
        f"Suites: {' '.join(source.suites)}",
        f"Components: {' '.join(source.components)}",
    ]
    if source.signed_by:
        key = source.signed_by.split("\n")
        lines += [f"Signed-By: {key[0]}"] if len(key) == 1 else ["Signed-By:", *(f" {line}" for line in key)]
    if source.trusted:
        lines.append("Trusted: yes")
    return "\n".join(lines) + "\n"


def _own_components(source: AptSource) -> tuple[str, ...]:
    return tuple(c for c in source.components if c in ("main", "universe"))


def _signed_by_archive_key(source: AptSource) -> bool:
    return source.signed_by is None or "-archive-" in source.signed_by


def _looks_like_archive(source: AptSource) -> bool:
    return any(urlsplit(uri).path.rstrip("/").rsplit("/", 1)[-1] in _ARCHIVE_PATHS for uri in source.uris)


def _with_real_mirrors(source: AptSource, read: Callable[[Path], list[str]]) -> AptSource:
    """Cloud images name their mirrors by ``mirror+file:/etc/apt/mirrors/…``, a path that no guest has."""
    uris: list[str] = []
    for uri in source.uris:
        if uri.startswith(("mirror+file:", "mirror:file:")):
            uris += read(Path(uri.split("file:", 1)[1]).absolute())
        else:
            uris.append(uri)
    return replace(source, uris=tuple(uris))


def _read_mirror_list(path: Path) -> list[str]:
    if not path.is_file():
        return []
    lines = (line.split("#", 1)[0].split() for line in path.read_text(errors="replace").splitlines())
    return [words[0] for words in lines if words]


def _os_release(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def _is_yes(value: str | None) -> bool:
    return (value or "").lower() in ("yes", "true", "on", "1")


def _is_no(value: str | None) -> bool:
    return (value or "").lower() in ("no", "false", "off", "0")
