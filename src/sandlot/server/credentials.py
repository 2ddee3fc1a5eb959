"""The first key, and the file in which clients on this machine find it."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandlot.server import files
from sandlot.store import KeyStore

FIRST_KEY_NAME = "first key"


def credentials_path() -> Path:
    """Where the SDK and the CLI look, by the XDG rules."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "sandlot" / "credentials.toml"


async def introduce(keys: KeyStore, url: str, path: Path, say: Callable[[str], None]) -> None:
    """Let this machine's clients find the server.

    Where it has never had a key, one is made, said once and kept. Where the file has a key of this server
    with an address that is no longer its own, that is mended. What belongs to another server is left alone.
    """
    there = _read(path)
    if not await keys.all():
        await _first_key(keys, url, path, there, say)
    elif there is not None and there.url != url and await keys.holder(there.api_key) is not None:
        _keep(path, url, there.api_key, say)


@dataclass(frozen=True, slots=True)
class _Entry:
    url: str
    api_key: str


async def _first_key(
    keys: KeyStore, url: str, path: Path, there: _Entry | None, say: Callable[[str], None]
) -> None:
    _, key = await keys.create(FIRST_KEY_NAME)
    say(f"This server's first key, shown this once: {key}")
    if there is not None and there.url != url:
        say(f"{path} belongs to {there.url} and was left alone. To use this server instead:")
        say(f"  export SANDLOT_URL={url} SANDLOT_API_KEY={key}")
    else:
        _keep(path, url, key, say)


def _keep(path: Path, url: str, key: str, say: Callable[[str], None]) -> None:
    try:
        _write(path, url, key)
    except OSError as error:
        say(f"{path} cannot be written ({error.strerror}); set SANDLOT_URL and SANDLOT_API_KEY yourself")
    else:
        say(f"Clients on this machine find it through {path}")


def _read(path: Path) -> _Entry | None:
    """None where there is no file. One that is not of our making belongs to somebody, too."""
    try:
        values = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        values = {}
    return _Entry(str(values.get("url", "somebody else")), str(values.get("api_key", "")))


def _write(path: Path, url: str, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = f"url = {json.dumps(url)}\napi_key = {json.dumps(key)}\n"
    files.replace(path, content.encode(), mode=0o600)
