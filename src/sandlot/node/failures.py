"""What the host refuses, in the engine's words: a full disk is no bug of ours, and a caller can act on it."""

from __future__ import annotations

import errno
import subprocess

from sandlot.errors import NotEnoughSpace, SandlotError, Unavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SAID = 300


def plainly(error: BaseException) -> SandlotError | None:
    """None where it is none of the host's refusals: then it stays what it is."""
    match error:
        case OSError() if error.errno in _FULL:
            return NotEnoughSpace(f"the host's disk is full: {error}; free space on it")
        case OSError() if error.errno is not None:
            return Unavailable(f"this host could not make the sandbox: {error}")
        case subprocess.CalledProcessError():
            said = (error.stderr or b"").decode(errors="replace").strip()[-_SAID:]
            full = "space" in said.lower()
            return (NotEnoughSpace if full else Unavailable)(
                f"{error.cmd[0]} failed: {said or error.returncode}"
            )
        case subprocess.TimeoutExpired():
            return Unavailable(f"{error.cmd[0]} did not end within {error.timeout:g} s: the machine is busy")
        case RuntimeError() if "can't start new thread" in str(error):
            return Unavailable("this host has no room for another thread")
        case MemoryError():
            return Unavailable("this host is out of memory")
    return None
