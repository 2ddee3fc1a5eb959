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
        self._asked = 0
        self._question = None  # not answered yet
        self._heard = b""
        self._code = os.memfd_create("code")
        self._status, self._status_end = os.pipe2(os.O_CLOEXEC)
        self._terminal = None  # it keeps the other end of bash's open
        self._last = 0
        self._first = ""  # what it is told before the next run's code

    def start(self, outlet):
        self._outlet = outlet
        self._begin()
        signal.signal(signal.SIGINT, self._interrupt)

    def run(self, code, env):
        if self._has_ended_meanwhile():
            self._outlet.write("stderr", "sandlot: the shell has ended; this run starts with no variables\n")
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

    def setenv(self, env):
        os.environ.update(env)  # for a shell that begins anew
        named = (name for name in env if _NAME.fullmatch(name))
        self._first += "".join(f" export {name}={shlex.quote(env[name])};" for name in named)

    def reseed(self, number):
        self._first += f" [ -v RANDOM ] && declare -g RANDOM={number} 2> /dev/null;"

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
        self._last, self._first = 0, ""
        threading.Thread(target=self._watch, args=(self._bash,), daemon=True).start()
        self._answer()

    def _evaluate(self, code, env):
        os.ftruncate(self._code, 0)
        os.pwrite(self._code, code.encode("utf-8", "surrogateescape").replace(b"\0", b""), 0)
        self._tell(
            f"{self._first} IFS= read -r -d '' __sandlot_code < {self._own(self._code)} || :;"
            f'{_changes(env)} __sandlot_status {self._last}; eval "$__sandlot_code" < /dev/null'
        )
        self._first = ""
        how, self._last = self._answer(_restores(env))
        return how, self._last

    def _answer(self, afterwards=""):
        """("status" or "ended", number), once bash is through with all that it was told before."""
        self._asked += 1
        self._question = (
            f'builtin printf "status {self._asked} %d\\n" "$?" > {self._own(self._status_end)};'
            f" {afterwards} PS1= PS2="
        )
        self._tell(self._question)
        while True:
            how, *numbers = self._hear().decode().split()
            if how == "ended" or int(numbers[0]) == self._asked:
                self._question = None
                return how, int(numbers[-1])

    def _tell(self, line):
        data = memoryview(line.encode() + b"\n")
        try:
            while data:
                data = data[os.write(self._bash.stdin.fileno(), data) :]
        except BrokenPipeError:
            pass  # it has ended, which _watch tells

    def _hear(self):
        while b"\n" not in self._heard:
            self._heard += os.read(self._status, 4096)
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _watch(self, bash):
        code = bash.wait()
        os.write(self._status_end, b"ended %d\n" % (code if code >= 0 else 128 - code))

    def _has_ended_meanwhile(self):
        if self._bash is None or self._bash.poll() is None:
            return False
        while not self._hear().startswith(b"ended"):
            pass
        self._bash = None
        return True

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
        if self._question is not None:  # bash forgets the line that it was reading: it may have been this
            self._tell(self._question)


def _changes(env):
    changes = "".join(
        f" if [ -v {name} ]; then __sandlot_{name}=${name}; fi; export {name}={shlex.quote(value)};"
        for name, value in env.items()
    )
    return f"{changes} __sandlot_env=1;" if env else ""


def _restores(env):
    """May be told twice."""
    restores = "".join(
        f" if [ -v __sandlot_{name} ]; then {name}=$__sandlot_{name}; unset __sandlot_{name};"
        f" else unset {name}; fi;"
        for name in env
    )
    return f"if [ -v __sandlot_env ]; then{restores} unset __sandlot_env; fi;" if env else ""


def _error(name, value, traceback):
    return {"name": name, "value": str(value), "traceback": traceback}


if __name__ == "__main__":
    Service(Bash()).serve()
