"""The loop: take a request, run it, answer."""

import argparse
import contextlib
import gc
import importlib
import os
import select
import sys
import threading

from .activity import Activity
from .generation import Generation, reseed
from .interrupts import Interrupts
from .outlet import Outlet
from .streams import Stream
from .wire import PROTOCOL, Requests, decode, private

# User code's descriptors are taken before anything else may write to them or read from them.
_REQUESTS_FD, _EVENTS_FD, _DIAGNOSTICS_FD = private(0), private(1), private(2)
_null = os.open(os.devnull, os.O_RDONLY)
os.dup2(_null, 0, inheritable=True)
os.close(_null)

from .shell import Shell  # noqa: E402

# IPython imports these when it first runs something; by then the host is waiting.
_NEEDED_BY_THE_FIRST_RUN = ("bdb", "hashlib", "IPython.core.logger")


class Kernel:
    def __init__(self, preload):
        self._requests = Requests(_REQUESTS_FD)
        self._interrupts = Interrupts()
        self._outlet = Outlet(_EVENTS_FD, self._interrupts)
        self._outlet.capture()
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = sys.__stdout__ = Stream(self._outlet, self._interrupts, "stdout", 1)
        sys.stderr = sys.__stderr__ = Stream(self._outlet, self._interrupts, "stderr", 2)
        self._shell = Shell.create(self._outlet, self._interrupts)
        self._context = None
        self._preload = [*_NEEDED_BY_THE_FIRST_RUN, *preload]
        self._generation = Generation()
        self._activity = Activity([threading.get_ident(), self._outlet.thread])
        self._operations = {
            "hello": self._hello,
            "ping": self._ping,
            "activity": self._tell_activity,
            "run": self._run,
        }
        self._interrupts.install()
        os.register_at_fork(after_in_child=self._after_fork)

    def serve(self):
        """Answer requests until the host closes the pipe."""
        while True:
            self._idle()
            line = self._requests.read()
            if line is None:
                return
            try:
                request = decode(line)
                answer = self._operations[request.get("op")]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self._outlet.answer({"type": "invalid", "message": f"{type(error).__name__}: {error}"[:1000]})
                continue
            answer(request)

    def _hello(self, request):
        self._context = request.get("context")
        self._outlet.answer(
            {
                "type": "ready",
                "id": request["id"],
                "protocol": PROTOCOL,
                "setenv": True,
                "python": sys.version.split()[0],
            }
        )

    def _ping(self, request):
        self._outlet.answer({"type": "pong", "id": request["id"], "context": self._context, "setenv": True})

    def _tell_activity(self, request):
        reasons = self._activity.reasons()
        if self._preload:
            reasons.append("modules to import")
        if self._shell.has_tasks():
            reasons.append("an asyncio task")
        self._outlet.answer({"type": "activity", "id": request["id"], "reasons": reasons[:16]})

    def _run(self, request):
        self._outlet.begin(request["id"])
        if self._generation.has_changed():
            reseed()
        os.environ.update(request.get("setenv") or {})
        with _environment(request.get("env") or {}):
            error = self._shell.execute(request.get("code", ""))
        if self._outlet.forked:
            # User code forked and let the child run off its end: there is one kernel, and it is the parent.
            os._exit(0)
        done = {"type": "done", "execution_count": self._shell.execution_count - 1}
        self._outlet.end(*([{"type": "error", **error}] if error else []), done)
        self._activity.rest()

    def _idle(self):
        """What is done while there is no request: preloading, and the user's asyncio tasks."""
        while self._preload and not self._has_request(0):
            name = self._preload.pop(0)
            with contextlib.suppress(ImportError):  # the template may not have it
                importlib.import_module(name)
        self._shell.run_tasks_until(self._requests.fd, self._has_request)

    def _has_request(self, timeout_ms):
        if self._requests.waiting:
            return True
        poll = select.poll()
        poll.register(self._requests.fd, select.POLLIN)
        return bool(poll.poll(timeout_ms))

    def _after_fork(self):
        with contextlib.suppress(OSError):
            os.close(self._requests.fd)


@contextlib.contextmanager
def _environment(changes):
    """Variables for one run; what they were before comes back after it."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--preload", default="", help="modules to import while nobody asks for anything")
    options = parser.parse_args(arguments)
    # A crash of the interpreter itself says where: the host reads this from its standard error.
    import faulthandler

    faulthandler.enable(_DIAGNOSTICS_FD)
    kernel = Kernel([name for name in options.preload.split(",") if name])
    gc.freeze()  # what is loaded now stays: it need not be looked at again, nor copied after a fork
    kernel.serve()
