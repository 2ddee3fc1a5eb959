"""Which server to talk to, and with which key."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ._errors import InvalidArgumentError

DEFAULT_URL = "http://127.0.0.1:7263"
CREDENTIALS = Path("sandlot", "credentials.toml")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server as one caller sees it. Two handles with equal endpoints share their connections."""

    url: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def is_loopback(self) -> bool:
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

    @property
    def is_tls(self) -> bool:
        return self.url.startswith("https://")

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.api_key} if self.api_key else {}


def resolve(url: str | None = None, api_key: str | None = None) -> Endpoint:
    """The server named by the arguments, else by the environment, else by this machine's credentials file.

    The key in the credentials file belongs to the server in that file and is never sent to another.
    """
    stored_url, stored_key = _stored()
    chosen = _normal(url or os.environ.get("SANDLOT_URL") or stored_url or DEFAULT_URL)
    key = api_key or os.environ.get("SANDLOT_API_KEY")
    if key is None and chosen == _normal(stored_url or DEFAULT_URL):
        key = stored_key
    return Endpoint(chosen, key)


def _normal(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidArgumentError(f"{url!r} is not the URL of a server; it should look like {DEFAULT_URL}")
    return url.rstrip("/")


def _stored() -> tuple[str | None, str | None]:
    path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / CREDENTIALS
    try:
        values = tomllib.loads(path.read_text())
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None, None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{path} is not readable as TOML: {error}") from None
    url, key = values.get("url"), values.get("api_key")
    return (url if isinstance(url, str) else None), (key if isinstance(key, str) else None)
