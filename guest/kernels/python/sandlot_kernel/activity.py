"""What user code has left behind that goes on by itself while no request comes.

The host lets a sandbox stand still whose processes only wait for it, so whatever is not known to be at rest
counts as at work. Child processes are not looked for here: whoever asks sees them itself.
"""

import os
import signal
import socket
import stat
import sys
import threading
import time

_TIMERS = {
    "ITIMER_REAL": signal.ITIMER_REAL,
    "ITIMER_VIRTUAL": signal.ITIMER_VIRTUAL,
    "ITIMER_PROF": signal.ITIMER_PROF,
}
_NOTICEABLE_S = 0.002


class Activity:
    """``threads`` are the kernel's own, by identity."""

    def __init__(self, threads):
        self._threads = frozenset(threads)
        self._others_s = 0.0

    def rest(self):
        """A run has ended: what threads compute from now on, nobody has asked them for."""
        self._others_s = _others_seconds()

    def reasons(self):
        """In words; nothing where nothing goes on. For the main thread."""
        try:
            return [*self._running_threads(), *self._computing(), *_timers(), *_sockets()]
        except Exception as error:  # user code may have changed what is asked here
            return [f"{type(error).__name__} while looking"]

    def _running_threads(self):
        for thread, frame in sys._current_frames().items():
            if thread not in self._threads and not _is_resting(thread, frame):
                yield "a thread"

    def _computing(self):
        """Libraries keep threads that are not Python's, and these rest in ways that nobody can see: what
        tells is whether they have computed anything since the last look.
        """
        before, self._others_s = self._others_s, _others_seconds()
        if self._others_s - before > _NOTICEABLE_S:
            yield "a library's threads"


def _others_seconds():
    """Processor time of all threads but this one, ever."""
    return time.process_time() - time.thread_time()


def _is_resting(thread, frame):
    """Two kinds of threads stay though nobody needs them any more: idle ones of an executor, which wait for
    work right in their loop, and the one that tqdm keeps to redraw bars.
    """
    module, name = frame.f_globals.get("__name__"), frame.f_code.co_name
    if module == "concurrent.futures.thread" and name == "_worker":
        return True
    tqdm = sys.modules.get("tqdm.std")
    return tqdm is not None and _is_monitor(thread, tqdm.tqdm) and not tqdm.tqdm._instances


def _is_monitor(thread, bars):
    return isinstance(bars.monitor, threading.Thread) and bars.monitor.ident == thread


def _timers():
    for name, timer in _TIMERS.items():
        if any(signal.getitimer(timer)):
            yield name


def _sockets():
    """Those that reach other machines, or can be reached. A pair within this process moves nothing by itself,
    and who is at the other end of any other unix socket is a process of its own.
    """
    for name in os.listdir("/proc/self/fd"):
        if (family := _family(int(name))) is not None and family != socket.AF_UNIX:
            yield f"a socket of family {family}"


def _family(fd):
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return None
        with socket.socket(fileno=os.dup(fd)) as duplicate:
            return duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
    except OSError:
        return None  # closed meanwhile, as the listing's own is
