"""How requests and event streams look on the wire; nothing here does input or output."""

from __future__ import annotations

import base64
import json
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any
from urllib.parse import quote, urlencode

from ._errors import InvalidArgumentError, SandboxError, seconds
from ._models import SnapshotInfo

MAX_LINE = 32 * 1024 * 1024
CHUNK = 256 * 1024

CONNECT_TIMEOUT = 10.0
ANSWER_TIMEOUT = 60.0
CREATE_TIMEOUT = 180.0
MORE_FOR_EACH_FORK = 10.0
ARCHIVE_TIMEOUT = 600.0
# Streams carry a keepalive line every 15 seconds: a minute of silence is a dead connection.
STREAM_TIMEOUT = 60.0

RETRIES = 3
CONNECT_RETRIES = 2
MAX_RETRY_AFTER = 5.0
# A server that restarts is back within seconds, and its sandboxes never stopped.
RECONNECT_DELAYS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)

_IDEMPOTENT = ("GET", "HEAD", "DELETE")


def retry_delay(method: str, attempt: int, status: int, retry_after: str | None) -> float | None:
    """Seconds to wait before asking again after an answer of ``status``; None to give up."""
    if method not in _IDEMPOTENT or status not in (429, 503) or attempt >= RETRIES:
        return None
    delay = seconds(retry_after)
    if delay is None:
        delay = backoff(attempt)
    return delay if delay <= MAX_RETRY_AFTER else None


def may_repeat(method: str, attempt: int, *, connected: bool) -> bool:
    """Whether a request that ended without an answer may be sent again."""
    if not connected:
        return attempt < CONNECT_RETRIES
    return method in _IDEMPOTENT and attempt < RETRIES


def backoff(attempt: int) -> float:
    """Seconds before retry number ``attempt``, counted from 0."""
    return 0.1 * 3.0**attempt


def port_url(template: str, port: int) -> str:
    """``template`` is the server's, with ``{port}`` in it."""
    if not 1 <= port <= 65535:
        raise InvalidArgumentError(f"a port is a number from 1 to 65535, not {port}")
    if not template:
        raise SandboxError("this server is older than its clients: it does not reach ports of sandboxes")
    return template.replace("{port}", str(port))


def path(*parts: str) -> str:
    """``path("sandboxes", id)`` → ``/v1/sandboxes/<id>``, whatever the parts contain."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def query(params: Mapping[str, object]) -> str:
    """A query string without the parameters that are None; lists repeat, booleans are true and false."""
    pairs = [(key, _text(one)) for key, value in params.items() for one in _each(value) if one is not None]
    if not pairs:
        return ""
    try:
        return "?" + urlencode(pairs, errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{error.object!r} is not valid Unicode text") from None


def _each(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def given(**fields: object) -> dict[str, object]:
    """The fields that are not None: what is left out is the server's to choose."""
    return {key: value for key, value in fields.items() if value is not None}


def origin(template: str, snapshot: SnapshotInfo | str | None) -> dict[str, object]:
    """What a sandbox starts from. A snapshot knows its template: a default beside it would be one given."""
    if snapshot is None:
        return {"template": template}
    return {"snapshot": snapshot_id(snapshot), **({} if template == "base" else {"template": template})}


def snapshot_id(snapshot: SnapshotInfo | str) -> str:
    """Of a snapshot, or the id or name that was given."""
    return snapshot if isinstance(snapshot, str) else snapshot.id


def command_body(command: str | list[str] | tuple[str, ...], **fields: object) -> dict[str, object]:
    """The request for a command: a string goes through the sandbox's shell, a list does not."""
    if isinstance(command, str):
        return {"command": command, **fields}
    if not command:
        raise InvalidArgumentError("a command needs at least one argument: its name")
    return {"args": list(command), **fields}


def signal_name(value: int | str | signal.Signals) -> int | str:
    """A signal as the server takes it: a number, or a name without SIG."""
    if isinstance(value, str):
        return value.upper().removeprefix("SIG")
    return int(value)


def mode_text(mode: int | None) -> str | None:
    """A file mode as the server takes it: octal digits."""
    return None if mode is None else f"{mode & 0o7777:04o}"


def payload(event: Mapping[str, Any]) -> bytes:
    """The bytes that an output event carries."""
    return base64.b64decode(event["data"])


def pieces(data: IO[bytes] | IO[str] | Iterable[bytes]) -> Iterator[bytes]:
    """The contents of a file or an iterable, never an empty piece: that would mean the end."""
    if hasattr(data, "read"):
        while piece := data.read(CHUNK):
            yield piece.encode() if isinstance(piece, str) else piece
        return
    for item in data:
        if item:
            yield item.encode() if isinstance(item, str) else item


class LineSplitter:
    """Bytes in, JSON objects out: one a line, each line bounded."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._ready: deque[dict[str, Any]] = deque()

    def feed(self, chunk: bytes) -> None:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if self._partial:
                line = bytes(self._partial) + line
                self._partial.clear()
            if line.strip():
                self._ready.append(_object(line))
        self._partial += rest
        if len(self._partial) > MAX_LINE:
            raise SandboxError(f"the server sent a line of more than {MAX_LINE} bytes")

    def pop(self) -> dict[str, Any] | None:
        """The next object, or None until more is fed."""
        return self._ready.popleft() if self._ready else None


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise SandboxError(f"the server sent a line that is not JSON: {error}") from None
    if not isinstance(value, dict) or "type" not in value:
        raise SandboxError("the server sent a line that is not an event")
    return value
