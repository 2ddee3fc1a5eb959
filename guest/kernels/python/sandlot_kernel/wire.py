"""The kernel's ends of its pipes: requests in, events out, one JSON object a line.

Requests: ``{"op": "hello", "id", "context"}`` is answered by ``ready``; ``{"op": "ping", "id"}`` by
``pong``, which gives back the ``context`` of the hello; ``{"op": "activity", "id"}`` by ``activity``, whose
``reasons`` say what user code has left behind that goes on by itself; ``{"op": "run", "id", "code", "env"?,
"setenv"?}`` by any number of ``stdout``, ``stderr`` (``text``) and ``result`` events, perhaps an ``error``
(``name``, ``value``, ``traceback``), and one ``done`` (``execution_count``), all with the run's ``id``. A
run's ``env`` is for it alone, its ``setenv`` stays; that it is known is said by ``setenv`` in ``ready`` and
``pong``. A line that is no request is answered by ``invalid``. Between runs the kernel says nothing.
"""

import fcntl
import json
import os

PROTOCOL = 1
_PRIVATE_FROM = 64  # above what user code gets when it opens files, so that its descriptors look as usual


def private(fd):
    """A duplicate of ``fd`` that no child inherits."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _PRIVATE_FROM)


def encode(event):
    """One line. Lone surrogates become ``?``: they have no UTF-8, and most refuse their JSON escape."""
    line = json.dumps(event, ensure_ascii=False, separators=(",", ":"), check_circular=False)
    return line.encode("utf-8", "replace") + b"\n"


class Requests:
    """Lines from the host."""

    def __init__(self, fd):
        self.fd = fd
        self._buffer = bytearray()

    def read(self):
        """The next line, without its end; None when the host has closed the pipe. Blocks."""
        scanned = 0
        while (end := self._buffer.find(b"\n", scanned)) < 0:
            scanned = len(self._buffer)
            data = os.read(self.fd, 65536)
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    @property
    def waiting(self):
        """Whether a request has been read but not yet taken."""
        return b"\n" in self._buffer


def decode(line):
    """The request in ``line``. Raises ValueError that says what is wrong with it."""
    request = json.loads(line)
    if not isinstance(request, dict) or not isinstance(request.get("id"), str):
        raise ValueError("a request is an object with an id")
    return request
