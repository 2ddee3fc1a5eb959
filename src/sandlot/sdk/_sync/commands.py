# Generated from ../_async/commands.py by script/generate-sync: change that file, not this one.
"""Running commands in a sandbox."""

from __future__ import annotations

import builtins
import shlex
import signal as signals
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from sandlot.sdk import _wire
from sandlot.sdk._collect import Collector, failure
from sandlot.sdk._errors import CommandError, SandboxError, ServerUnavailableError
from sandlot.sdk._models import CommandExit, CommandInfo, CommandResult, Output
from sandlot.sdk._sio import Callback, call, sleep

from ._api import Api, Events

MAX_OUTPUT = 16 * 1024 * 1024


class Command:
    """A command in a sandbox, running or ended. Iterate over it for its output, or ``wait`` for its end.

    Reading survives a lost connection and a restart of the server: it goes on where it was. Leaving the
    handle alone never stops the command; while nobody reads, the sandbox keeps the newest mebibyte of each
    stream.

    Example:
        ```python
        command = sandbox.commands.start("for i in 1 2 3; do echo $i; done")
        for output in command:
            print(output.stream, output.text)
        assert command.exit.exit_code == 0
        ```
    """

    def __init__(
        self,
        api: Api,
        sandbox_id: str,
        id: int,
        pid: int,
        *,
        shown: str,
        timeout: float | None = None,
        position: Mapping[str, int],
        events: Events | None = None,
    ) -> None:
        self.id = id
        self.pid = pid
        #: How the command ended, as far as this handle has read; None before.
        self.exit: CommandExit | None = None
        self._api = api
        self._path = ("sandboxes", sandbox_id, "commands", str(id))
        self._shown = shown
        self._timeout = timeout
        self._position = dict(position)
        self._events = events

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self._shown!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.detach()

    def __iter__(self) -> Iterator[Output]:
        return self

    def __next__(self) -> Output:
        """The next piece of output. Raises NotFoundError, SandboxGoneError and ServerUnavailableError."""
        while self.exit is None:
            event = self._next()
            if event["type"] == "exit":
                self.exit = CommandExit._of(event)
                self._finish()
            elif event["type"] in self._position:
                output = Output(stream=event["type"], data=_wire.payload(event), offset=event["offset"])
                self._position[output.stream] = output.offset + len(output.data)
                return output
        raise StopIteration

    def wait(
        self,
        *,
        on_stdout: Callback[str] | None = None,
        on_stderr: Callback[str] | None = None,
        check: bool = False,
        max_output: int = MAX_OUTPUT,
    ) -> CommandResult:
        """Read until the command ends, and return what it wrote since this handle began to read.

        Args:
            on_stdout: called with each piece of text as it comes.
            on_stderr: the same for standard error.
            check: raise CommandError unless the command exits with 0.
            max_output: bytes of each stream to keep in the result, the first ones; callbacks get everything.

        Raises:
            CommandError: with ``check``, when the command failed.
            NotFoundError, SandboxGoneError, ServerUnavailableError: the command can no longer be read.

        Example:
            ```python
            command = sandbox.commands.start("sleep 0.1; echo done")
            result = command.wait()
            assert result.stdout == "done\\n"
            ```
        """
        kept = Collector(max_output, self._position)
        callbacks = {"stdout": on_stdout, "stderr": on_stderr}
        for output in self:
            text = kept.streams[output.stream].add(output)
            if text:
                call(callbacks[output.stream], text)
        for name, stream in kept.streams.items():
            if rest := stream.finish():
                call(callbacks[name], rest)
        result = kept.result(self._ended())
        if check and not result.ok:
            raise CommandError(failure(self._shown, result, self._timeout), result)
        return result

    def kill(self) -> None:
        """End the command and its children at once. Does nothing when it has ended.

        Raises:
            SandboxGoneError: the sandbox has ended.

        Example:
            ```python
            command = sandbox.commands.start("sleep 100")
            command.kill()
            assert (command.wait()).signal == 9
            ```
        """
        self.signal("KILL")

    def signal(self, signal: int | str | signals.Signals, *, group: bool = True) -> None:
        """Send a signal, by number or name, to the command and (with ``group``) to its children.

        Raises:
            InvalidArgumentError: there is no such signal.
            SandboxGoneError: the sandbox has ended.

        Example:
            ```python
            command = sandbox.commands.start(["sleep", "100"])
            command.signal("TERM")
            assert (command.wait()).exit_code == 128 + 15
            ```
        """
        self._api.request(
            "POST",
            _wire.path(*self._path, "signal"),
            json={"signal": _wire.signal_name(signal), "group": group},
        )

    def write(self, data: str | bytes) -> None:
        """Write to standard input of a command started with ``stdin=True``. Returns when it is taken.

        Raises:
            ConflictError, InvalidArgumentError: the command has no standard input, or has closed it.
            SandboxGoneError: the sandbox has ended.

        Example:
            ```python
            command = sandbox.commands.start("tr a-z A-Z", stdin=True)
            command.write("hello\\n")
            command.close_stdin()
            assert (command.wait()).stdout == "HELLO\\n"
            ```
        """
        content = data.encode() if isinstance(data, str) else data
        self._api.request("POST", _wire.path(*self._path, "stdin"), content=content, timeout=None)

    def close_stdin(self) -> None:
        """End standard input: the command reads an end of file. See ``write``."""
        self._api.request("POST", _wire.path(*self._path, "stdin", "close"))

    def info(self) -> CommandInfo:
        """The command as the sandbox lists it now.

        Example:
            ```python
            command = sandbox.commands.start(["sleep", "100"], tag="nap")
            info = command.info()
            assert info.running and info.tag == "nap"
            command.kill()
            ```
        """
        return CommandInfo._of(self._api.get(_wire.path(*self._path)))

    def detach(self) -> None:
        """Stop reading. The command goes on, and iterating again reads on from the same place."""
        events, self._events = self._events, None
        if events is not None:
            events.close()

    def _ended(self) -> CommandExit:
        if self.exit is None:
            raise RuntimeError("the output of a command ends with the command")
        return self.exit

    def _finish(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.finish()

    def _next(self) -> dict[str, Any]:
        last: SandboxError | None = None
        for delay in (0.0, *_wire.RECONNECT_DELAYS):
            if delay:
                sleep(delay)
            try:
                if self._events is None:
                    self._events = self._attach()
                event = self._events.next()
            except ServerUnavailableError as error:
                last = error
            else:
                if event is not None:
                    return event
            self.detach()
        raise ServerUnavailableError(
            f"lost the connection to command {self.id}, which may be running still; "
            f"read on with sandbox.commands.connect({self.id!r})"
        ) from last

    def _attach(self) -> Events:
        params = {f"{stream}_from": offset for stream, offset in self._position.items()}
        return self._api.events("GET", _wire.path(*self._path, "output"), params=params)


class Commands:
    """The commands of one sandbox: ``sandbox.commands``."""

    def __init__(self, api: Api, sandbox_id: str) -> None:
        self._api = api
        self._sandbox_id = sandbox_id

    def run(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        timeout: float | None = 60,
        on_stdout: Callback[str] | None = None,
        on_stderr: Callback[str] | None = None,
        check: bool = False,
        max_output: int = MAX_OUTPUT,
    ) -> CommandResult:
        """Run a command and wait for it. Standard input is empty.

        Args:
            command: a string for the shell (``bash -c``), or a list of arguments that no shell touches.
            env: variables added to those of the sandbox.
            cwd: working folder; the user's home if not given.
            user: name or number of the user to run as; the template's user if not given.
            timeout: seconds until it is killed, with its children; None for no limit but the sandbox's own.
            on_stdout: called with each piece of text as it comes.
            on_stderr: the same for standard error.
            check: raise CommandError unless it exits with 0.
            max_output: bytes of each stream to keep in the result, the first ones; callbacks get everything.

        Raises:
            CommandError: with ``check``, when it failed.
            NotFoundError: there is no such program, folder or sandbox.
            SandboxGoneError: the sandbox has ended.
            ServerUnavailableError: no server answers.

        A caller that goes away (an interrupt, a killed process) leaves the command running until its timeout.

        Example:
            ```python
            result = sandbox.commands.run("echo hello; ls /nowhere")
            assert result.stdout == "hello\\n"
            assert result.exit_code == 2 and "No such file" in result.stderr
            ```
        """
        handle = self.start(command, env=env, cwd=cwd, user=user, timeout=timeout, attach=True)
        with handle:
            return handle.wait(on_stdout=on_stdout, on_stderr=on_stderr, check=check, max_output=max_output)

    def start(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        stdin: bool = False,
        timeout: float | None = None,
        tag: str | None = None,
        attach: bool = False,
    ) -> Command:
        """Start a command and return at once.

        Args:
            command: a string for the shell (``bash -c``), or a list of arguments that no shell touches.
            env: variables added to those of the sandbox.
            cwd: working folder; the user's home if not given.
            user: name or number of the user to run as; the template's user if not given.
            stdin: whether ``write`` will be used; otherwise standard input is empty.
            timeout: seconds until it is killed, with its children; None for no limit but the sandbox's own.
            tag: at most 256 bytes of yours, shown by ``list``.
            attach: begin to read with the first byte, so that none can be lost. The command then waits
                whenever its output is not read: iterate, ``wait`` or ``detach``.

        Raises:
            NotFoundError: there is no such program, folder or sandbox.
            SandboxGoneError: the sandbox has ended.
            ServerUnavailableError: no server answers.

        Example:
            ```python
            server = sandbox.commands.start("python3 -m http.server 8000", tag="web")
            ...
            server.kill()
            ```
        """
        request = _wire.command_body(
            command if isinstance(command, str) else tuple(command),
            timeout_s=timeout,
            stdin=stdin,
            background=not attach,
            **_wire.given(env=dict(env) if env else None, cwd=cwd, user=user, tag=tag),
        )
        path = _wire.path("sandboxes", self._sandbox_id, "commands")
        events: Events | None = None
        if attach:
            events = self._api.events("POST", path, json=request)
            started = self._started(events)
        else:
            started = (self._api.request("POST", path, json=request)).json()
        return Command(
            self._api,
            self._sandbox_id,
            started["id"],
            started["pid"],
            shown=command if isinstance(command, str) else shlex.join(command),
            timeout=timeout,
            position={"stdout": 0, "stderr": 0},
            events=events,
        )

    def _started(self, events: Events) -> dict[str, Any]:
        try:
            event = events.next()
        except BaseException:
            events.close()
            raise
        if event is None or event["type"] != "started":
            events.close()
            raise ServerUnavailableError("the server closed the connection before the command had started")
        return event

    def connect(self, id: int, *, from_start: bool = True) -> Command:
        """A handle on a command that was started before, here or elsewhere.

        Args:
            id: the command's id.
            from_start: read from the oldest byte that the sandbox keeps; otherwise only what comes from now
                on.

        Raises:
            NotFoundError: there is no such command, or it ended long ago.
            SandboxGoneError: the sandbox has ended.

        Example:
            ```python
            id = (sandbox.commands.start("echo hello")).id
            command = sandbox.commands.connect(id)
            assert (command.wait()).stdout == "hello\\n"
            ```
        """
        info = CommandInfo._of(self._api.get(_wire.path("sandboxes", self._sandbox_id, "commands", str(id))))
        start = (0, 0) if from_start else (info.stdout_end, info.stderr_end)
        return Command(
            self._api,
            self._sandbox_id,
            info.id,
            info.pid,
            shown=shlex.join(info.args),
            position=dict(zip(("stdout", "stderr"), start, strict=True)),
        )

    def list(self) -> builtins.list[CommandInfo]:
        """The commands that run, and those that ended lately.

        Raises:
            NotFoundError, SandboxGoneError: there is no such sandbox any more.

        Example:
            ```python
            for command in sandbox.commands.list():
                print(command.id, command.args, command.running)
            ```
        """
        answer = self._api.get(_wire.path("sandboxes", self._sandbox_id, "commands"))
        return [CommandInfo._of(one) for one in answer["commands"]]
