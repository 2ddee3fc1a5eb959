"""SIGINT: what the host sends when a run has to end.

The first one of a run raises KeyboardInterrupt once, so user code can tidy up. A second one means that it did
not stop: then a whole series is raised, one at every next chance that the interpreter gives, so an ``except``
that swallows one is interrupted in turn, until no user code is left on the stack. Between runs an interrupt
does nothing.
"""

import _thread
import signal
from collections import deque

# The interpreter keeps one pending call of a handler per signal, so a series takes several signals. These
# have no other use; they are not sent, only marked as pending.
_SERIES = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
_MAIN_THREAD = _thread.get_ident()


class Interrupts:
    def __init__(self):
        self.user_globals = None  # the globals of user code: how a frame of it is told from others
        self.awaiting = False  # an event loop runs user coroutines, which then are not on the stack
        self.deferred = False
        self._running = False
        self._count = 0
        self._guarded = set()

    def install(self):
        signal.signal(signal.SIGINT, self._handle)

    def guard(self, *functions):
        """Never raise inside these: half a line written would be a broken protocol."""
        self._guarded.update(function.__code__ for function in functions)

    def begin(self):
        if signal.getsignal(signal.SIGINT) != self._handle:
            self.install()  # user code had changed it
        self._count = 0
        self.deferred = False
        self._running = True

    def end(self):
        self._running = False

    def deliver(self):
        """Raise the interrupt that came inside guarded code; called after it."""
        if _thread.get_ident() == _MAIN_THREAD:
            self.deferred = False
            if self._running:
                self._raise()

    def _handle(self, signum, frame):
        if not self._running:
            return
        self._count += 1
        guarded, inside_user_code = self._look(frame)
        if guarded:
            self.deferred = True
        elif self._count == 1 or inside_user_code or self.awaiting:
            self._raise()
        # else it has unwound: what is left to do is ours

    def _raise(self):
        if self._count > 1:
            for number in _SERIES:
                if signal.getsignal(number) == signal.SIG_DFL:
                    signal.signal(number, self._handle_next)
            # In one call: after each call of a Python function the first pending handler would run already.
            deque(map(_thread.interrupt_main, _SERIES), maxlen=0)
        raise KeyboardInterrupt

    def _handle_next(self, signum, frame):
        guarded, inside_user_code = self._look(frame)
        if self._running and inside_user_code and not guarded:
            raise KeyboardInterrupt

    def _look(self, frame):
        inside_user_code = False
        while frame is not None:
            if frame.f_code in self._guarded:
                return True, inside_user_code
            inside_user_code |= frame.f_globals is self.user_globals
            frame = frame.f_back
        return False, inside_user_code
