"""The Bash kernel: ``python3 main.py``. It speaks the lines of ``../python/sandlot_kernel/wire.py``.

One interactive bash stays; "interactive" because only that comes back to its prompt when it is interrupted.
It takes a line for each run, which evaluates the code with an empty standard input, and a line that tells the
status.
"""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).parent
sys.path[0] = str(HERE.parent / "python")

from sandlot_kernel.service import Service, sockets  # noqa: E402

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTERRUPTED = 128 + signal.SIGINT


class Bash:
    def __init__(self):
        self._bash = None
        self._running = False
        self._interrupted = False
        self._code = os.memfd_create("code")
        self._status, self._status_end = os.pipe2(os.O_CLOEXEC)
        self._terminal = None  # it keeps the other end of bash's open
        self._last = 0

    def start(self, outlet):
        self._begin()
        signal.signal(signal.SIGINT, self._interrupt)

    def run(self, code, env):
        if self._bash is None:
            self._begin()
        env = {name: value for name, value in env.items() if _NAME.fullmatch(name)}
        self._interrupted = False
        self._running = True
        try:
            how, number = self._evaluate(code, env)
        finally:
            self._running = False
        if how == "ended":
            self._bash = None
            return _error("SystemExit", number, "the shell has ended; its variables are lost")
        if self._interrupted and number:
            return _error("KeyboardInterrupt", "", "interrupted")
        return (
            _error("ExitStatus", number, f"the last command ended with status {number}") if number else None
        )

    def activity(self):
        if self._bash is None:
            return [], []
        return sockets(self._bash.pid), [self._bash.pid]

    def _begin(self):
        # It wants a terminal to find on its standard error, though none to be controlled by; what it says
        # there before rc.bash has put the user's in its place is about that.
        if self._terminal is not None:
            os.close(self._terminal)
        self._terminal, terminal = os.openpty()
        self._bash = subprocess.Popen(
            ["/bin/bash", "--noediting", "--rcfile", str(HERE / "rc.bash"), "-i"],
            stdin=subprocess.PIPE,
            stderr=terminal,
            env={**os.environ, "SANDLOT_STDERR": f"/proc/{os.getpid()}/fd/2"},
        )
        os.close(terminal)
        self._last = 0
        threading.Thread(target=self._watch, args=(self._bash,), daemon=True).start()
        self._tell("true")
        self._answer()

    def _evaluate(self, code, env):
        os.ftruncate(self._code, 0)
        os.pwrite(self._code, code.encode("utf-8", "surrogateescape").replace(b"\0", b""), 0)
        self._tell(
            f"IFS= read -r -d '' __sandlot_code < {self._own(self._code)} || :;"
            f'{_changes(env)} __sandlot_status {self._last}; eval "$__sandlot_code" < /dev/null'
        )
        how, self._last = self._answer(_restores(env))
        return how, self._last

    def _answer(self, afterwards=""):
        """("status" or "ended", number)."""
        self._tell(f'printf "status %d\\n" "$?" > {self._own(self._status_end)}; {afterwards} PS1= PS2=')
        answer = b""
        while not answer.endswith(b"\n"):
            answer += os.read(self._status, 4096)
        how, number = answer.split()[:2]
        return how.decode(), int(number)

    def _tell(self, line):
        try:
            self._bash.stdin.write(line.encode() + b"\n")
            self._bash.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which _watch tells

    def _watch(self, bash):
        code = bash.wait()
        os.write(self._status_end, b"ended %d\n" % (code if code >= 0 else 128 - code))

    def _own(self, fd):
        return f"/proc/{os.getpid()}/fd/{fd}"

    def _interrupt(self, signum, frame):
        """To bash and what it runs in the foreground; what it has put in the background ignores it."""
        if not self._running:
            return
        self._interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.killpg(0, signal.SIGINT)
        signal.signal(signal.SIGINT, self._interrupt)


def _changes(env):
    return "".join(
        f" if [ -v {name} ]; then __sandlot_{name}=${name}; fi; export {name}={shlex.quote(value)};"
        for name, value in env.items()
    )


def _restores(env):
    return "".join(
        f"if [ -v __sandlot_{name} ]; then {name}=$__sandlot_{name}; unset __sandlot_{name};"
        f" else unset {name}; fi; "
        for name in env
    )


def _error(name, value, traceback):
    return {"name": name, "value": str(value), "traceback": traceback}


if __name__ == "__main__":
    Service(Bash()).serve()
