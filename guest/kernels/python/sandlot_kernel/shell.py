"""IPython's shell, told where output goes and kept from what needs a terminal or a disk."""

import builtins
import contextlib
import functools
import os
import signal
import subprocess
import sys
import traceback
import warnings

from IPython.core import page
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from IPython.paths import get_ipython_dir
from traitlets import Any as AnyTrait
from traitlets import Type, default
from traitlets.config import Config

from . import figures, hooks
from .display import Displays, Publisher, ResultHook

_OWN_FOLDER = os.path.dirname(__file__) + os.sep
_VALUE_LIMIT = 64 * 1024
_TRACEBACK_LIMIT = 256 * 1024


class Shell(InteractiveShell):
    display_pub_class = Type(Publisher)
    displayhook_class = Type(ResultHook)
    outlet = AnyTrait()
    interrupts = AnyTrait()

    @classmethod
    def create(cls, outlet, interrupts):
        config = Config(HistoryManager={"enabled": False})
        shell = cls.instance(config=config, outlet=outlet, interrupts=interrupts, colors="nocolor")
        interrupts.user_globals = shell.user_ns
        shell.loop_runner = shell._run_coroutine
        shell.set_hook("show_in_pager", page.as_hook(_print_page), 0)
        builtins.input = _no_input
        os.system = _interruptible(os.system)
        # Said by IPython after every SystemExit; the error event says it already, and the kernel stays.
        warnings.filterwarnings("ignore", message="To exit: use")
        hooks.install(shell)
        return shell

    def __init__(self, **kwargs):
        self._loop = None
        self._tracebacks = []
        super().__init__(**kwargs)

    def execute(self, code):
        """Run ``code``; the error that ended it as ``name``, ``value``, ``traceback``, or None."""
        self._tracebacks.clear()
        self.displayhook.begin()
        error = None
        try:
            self.interrupts.begin()
            try:
                result = self.run_cell(code, store_history=True)
                error = result.error_before_exec or result.error_in_exec
                self.displays.finish()
            finally:
                self.interrupts.end()
        except BaseException as escaped:  # an interrupt outside user code, or a bug of ours: the kernel stays
            self.interrupts.end()
            error = escaped
        described = error and self._describe(error)
        for other, lines in self._tracebacks:
            if other is not error:  # of a representation that failed, or shown by user code
                self.outlet.write("stderr", "\n".join(lines) + "\n")
        self._tracebacks.clear()
        return described

    def _describe(self, error):
        lines = next((lines for shown, lines in self._tracebacks if shown is error), None)
        if lines is None:
            lines = _plain_traceback(error)
        return {
            "name": type(error).__name__,
            "value": _shorten(_text_of(error), _VALUE_LIMIT),
            "traceback": _shorten("\n".join(lines), _TRACEBACK_LIMIT),
        }

    # What IPython would do and a kernel does not need, or does otherwise.

    def init_ipython_dir(self, ipython_dir):
        """Made when something asks for it (``%store`` and the like), not at every start."""

    def init_profile_dir(self, profile_dir):
        """As with its parent."""

    @default("ipython_dir")
    def _make_ipython_dir(self):
        return get_ipython_dir()

    @default("profile_dir")
    def _make_profile_dir(self):
        return ProfileDir.create_profile_dir_by_name(self.ipython_dir, "default")

    @contextlib.contextmanager
    def _tee(self, channel):
        """IPython would keep all that is printed, for ever."""
        yield

    def _format_exception_for_storage(self, exception, filename=None, running_compiled_code=False):
        """It is formatted once already, for the host."""
        return {"ename": type(exception).__name__, "evalue": "", "traceback": []}

    def init_display_pub(self):
        self.displays = Displays(self.outlet, self)
        super().init_display_pub()

    def showtraceback(self, exc_tuple=None, *args, **kwargs):
        error = (exc_tuple or sys.exc_info())[1]
        _cut_own_frames(error)
        if isinstance(error, SystemExit):
            self._tracebacks.append((error, [f"SystemExit: {error}"]))
        elif isinstance(error, UsageError):
            self._tracebacks.append((error, [f"UsageError: {error}"]))
        elif _holds_group(error):
            self._tracebacks.append((error, _plain_traceback(error)))
        else:
            super().showtraceback(exc_tuple, *args, **kwargs)

    def _showtraceback(self, etype, evalue, stb):
        self._tracebacks.append((evalue, stb))

    def system(self, cmd):
        """``!command``: a child like any other, whose output the pipes carry."""
        command = self.var_expand(cmd, depth=1)
        self.user_ns["_exit_code"] = subprocess.call(command, shell=True, executable=os.environ.get("SHELL"))

    def ask_exit(self):
        """``exit()`` ends the run, not the kernel."""
        raise SystemExit(0)

    def enable_gui(self, gui=None):
        """There is no screen."""

    def enable_matplotlib(self, gui=None):
        """Every ``%matplotlib`` is inline."""
        import matplotlib.pyplot as plt

        plt.switch_backend(figures.BACKEND)
        return "inline", figures.BACKEND

    # Top-level await

    def _run_coroutine(self, coroutine):
        import asyncio  # only where it is used: it is a good part of the kernel's start

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        task = self._loop.create_task(coroutine)
        self.interrupts.awaiting = True
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            self._give_up(task)
            raise
        finally:
            self.interrupts.awaiting = False

    def _give_up(self, task):
        """Interrupted while it waited: what it awaits is cancelled, and what it says of that is not news."""
        shown = len(self._tracebacks)
        try:
            if not task.done():
                task.cancel()
                self._loop.run_until_complete(task)
        except BaseException:
            if not task.done():  # it does not let itself be cancelled: leave it behind, with its loop
                self._loop = None
        del self._tracebacks[shown:]

    def has_tasks(self):
        """Whether user code has left tasks in the loop."""
        if self._loop is None or self._loop.is_closed():
            return False
        import asyncio

        return bool(asyncio.all_tasks(self._loop))

    def run_tasks_until(self, fd, has_request):
        """Let tasks that user code has left in the loop go on, until something arrives on ``fd``."""
        if has_request(0) or not self.has_tasks():
            return
        loop = self._loop
        loop.add_reader(fd, loop.stop)
        try:
            loop.run_forever()
        finally:
            loop.remove_reader(fd)


def _no_input(prompt="", /):
    raise EOFError("input() is not available: nobody is there to type. Pass the value in the code instead.")


def _interruptible(system):
    """The C function ignores SIGINT while it waits: a child that was interrupted is all that tells of it."""

    @functools.wraps(system)
    def interruptible(command):
        status = system(command)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT:
            raise KeyboardInterrupt
        return status

    return interruptible


def _print_page(text, start=0, screen_lines=0, pager_cmd=None):
    print(text["text/plain"] if isinstance(text, dict) else text)


def _holds_group(error):
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return True
        error = error.__context__
    return False


def _cut_own_frames(error):
    """Where an interrupt or input() raises is no news: end the traceback at the user's line."""
    tb = error.__traceback__ if error else None
    while tb and tb.tb_next:
        if tb.tb_next.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
            tb.tb_next = None
        tb = tb.tb_next


def _plain_traceback(error):
    """Python's own, without the frames above the user's code."""
    tb = error.__traceback__
    while tb and tb.tb_next and "IPython" in tb.tb_frame.f_code.co_filename:
        tb = tb.tb_next
    return "".join(traceback.format_exception(type(error), error, tb)).splitlines()


def _text_of(error):
    try:
        return str(error)
    except Exception as problem:
        return f"<its text could not be made: {type(problem).__name__}>"


def _shorten(text, limit):
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit} characters left out …\n{text[-half:]}"
