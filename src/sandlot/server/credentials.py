"""The first key, and the file in which clients on this machine find it."""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

from sandlot.store import KeyStore

FIRST_KEY_NAME = "first key"


def credentials_path() -> Path:
    """Where the SDK and the CLI look, by the XDG rules."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "sandlot" / "credentials.toml"


async def ensure_first_key(keys: KeyStore, url: str, path: Path, say: Callable[[str], None]) -> None:
    """Where the server has never had a key, make one, say it once, and keep it for this machine's clients.

    A file that names another server is left as it is, and that is said.
    """
    if await keys.all():
        return
    _, key = await keys.create(FIRST_KEY_NAME)
    say(f"This server's first key, shown this once: {key}")
    owner = _server_in(path)
    if owner is not None and owner != url:
        say(f"{path} belongs to {owner} and was left alone. To use this server instead:")
        say(f"  export SANDLOT_URL={url} SANDLOT_API_KEY={key}")
        return
    try:
        _write(path, url, key)
    except OSError as error:
        say(f"It could not be kept in {path} ({error.strerror}); set SANDLOT_API_KEY yourself")
    else:
        say(f"Clients on this machine find it in {path}")


def _server_in(path: Path) -> str | None:
    """The address in a credentials file; None where there is no file. A file that is not ours has one too."""
    try:
        values = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return "something unreadable"
    return str(values.get("url", "another server"))


def _write(path: Path, url: str, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=".credentials-")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"url = {json.dumps(url)}\napi_key = {json.dumps(key)}\n")
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
