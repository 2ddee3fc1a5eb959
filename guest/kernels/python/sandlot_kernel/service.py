"""The loop of a kernel whose engine is not Python: take a request, let the engine run it, answer."""

import contextlib
import os
import secrets

from .generation import Generation
from .outlet import Outlet
from .wire import PROTOCOL, Requests, decode, private


class NoInterrupts:
    """Engines deal with SIGINT themselves: nothing is raised in Python code."""

    deferred = False

    def guard(self, *functions):
        pass


class Service:
    """``engine`` has ``start(outlet)``; ``run(code, env)``, which returns the error that ended it or None;
    ``setenv(env)``, for variables that stay; ``reseed(number)``, after which its random numbers follow from
    31 bits; and ``activity()``: what goes on by itself, and which processes of its own only wait for the next
    run.
    """

    def __init__(self, engine):
        self._engine = engine
        self._requests = Requests(private(0))
        self._outlet = Outlet(private(1), NoInterrupts())
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._outlet.capture()
        self._generation = Generation()
        self._context = None
        self._executions = 0
        self._operations = {
            "hello": self._hello,
            "ping": self._ping,
            "activity": self._tell_activity,
            "run": self._run,
        }

    def serve(self):
        """Answer requests until the host closes the pipe."""
        self._engine.start(self._outlet)
        while (line := self._requests.read()) is not None:
            try:
                request = decode(line)
                answer = self._operations[request.get("op")]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self._outlet.answer({"type": "invalid", "message": f"{type(error).__name__}: {error}"[:1000]})
                continue
            answer(request)

    def _hello(self, request):
        self._context = request.get("context")
        self._outlet.answer({"type": "ready", "id": request["id"], "protocol": PROTOCOL, "setenv": True})

    def _ping(self, request):
        self._outlet.answer({"type": "pong", "id": request["id"], "context": self._context, "setenv": True})

    def _tell_activity(self, request):
        reasons, processes = self._engine.activity()
        answer = {"type": "activity", "id": request["id"], "reasons": reasons[:16]}
        self._outlet.answer({**answer, "processes": processes} if processes else answer)

    def _run(self, request):
        self._outlet.begin(request["id"])
        if self._generation.has_changed():
            self._engine.reseed(secrets.randbelow(1 << 31))
        if lasting := request.get("setenv"):
            self._engine.setenv(lasting)
        error = self._engine.run(request.get("code", ""), request.get("env") or {})
        self._executions += 1
        done = {"type": "done", "execution_count": self._executions}
        self._outlet.end(*([{"type": "error", **error}] if error else []), done)


def sockets(process="self"):
    """A reason where ``process`` holds a socket: what comes in on it may be work."""
    folder = f"/proc/{process}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):  # closed meanwhile, as the listing's own is
            if os.readlink(f"{folder}/{name}").startswith("socket:"):
                return ["a socket"]
    return []
