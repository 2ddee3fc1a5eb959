"""Whether this memory has come back from a snapshot: two sandboxes may have it then, with the same random
numbers to come.
"""

import contextlib
import os
import sys

from .wire import private

_PATH = "/run/sandlot/generation"  # what it holds rises with each restore
_ENTROPY_BYTES = 32


class Generation:
    """The file is kept open: what is read before each run must cost next to nothing."""

    def __init__(self):
        self._fd = None
        with contextlib.suppress(OSError):  # the guest agent is one of before, or there is none
            opened = os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
            self._fd = private(opened)
            os.close(opened)
        self._known = self._read()

    def has_changed(self):
        """Since the last time that it was asked."""
        before, self._known = self._known, self._read()
        return self._known != before

    def _read(self):
        if self._fd is None:
            return b""
        try:
            return os.pread(self._fd, 32, 0)
        except OSError:  # user code has closed it
            return b""


def reseed():
    """New seeds, of the system's, for the generators that this process shares among all that it runs.

    Generators that user code has made for itself stay as they are.
    """
    for name in ("random", "numpy.random", "torch"):
        if (module := sys.modules.get(name)) is not None:
            with contextlib.suppress(Exception):  # user code may have put anything there
                module.seed()
    if (ssl := sys.modules.get("_ssl")) is not None:
        ssl.RAND_add(os.urandom(_ENTROPY_BYTES), float(_ENTROPY_BYTES))
