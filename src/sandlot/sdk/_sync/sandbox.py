# Generated from ../_async/sandbox.py by script/generate-sync: change that file, not this one.
"""A sandbox: the class that people import."""

from __future__ import annotations

import builtins
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import Self

from sandlot.sdk import _wire
from sandlot.sdk._config import resolve
from sandlot.sdk._errors import ForkError, SandboxError, from_body
from sandlot.sdk._execution import Execution, ExecutionError, Result
from sandlot.sdk._models import CodeContext, Event, Hooks, Metrics, SandboxInfo
from sandlot.sdk._sio import Callback

from ._api import Api
from .code import MAX_OUTPUT, Contexts, Run, execute
from .commands import Commands
from .files import Files
from .snapshots import Snapshot
from .terminal import Terminal


class Sandbox:
    """A sandbox: an isolated machine of its own, with files, processes and a network.

    Made by ``create`` or found by ``connect``. As a context manager it is killed at the end of the block.
    Handles are cheap, hold no connection of their own, and may be used from several threads at once.

    Example:
        ```python
        from sandlot import Sandbox

        with Sandbox.create() as sandbox:
            result = sandbox.commands.run("echo hello")
            assert result.stdout == "hello\\n"
        ```
    """

    def __init__(self, api: Api, id: str, port_url: str = "") -> None:
        #: The sandbox's id, for ``connect`` and the command line.
        self.id = id
        #: Running commands.
        self.commands = Commands(api, id)
        #: Reading and writing files.
        self.files = Files(api, id)
        #: Interpreters for ``run_code``.
        self.contexts = Contexts(api, id)
        self._api = api
        self._port_url = port_url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    @classmethod
    def create(
        cls,
        template: str = "base",
        *,
        isolation: str | None = None,
        cpus: float | None = None,
        memory_mib: int | None = None,
        disk_mib: int | None = None,
        pids: int | None = None,
        env: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float | None = 300,
        internet: bool | None = None,
        hostname: str | None = None,
        ingress: str | None = None,
        snapshot: Snapshot | str | None = None,
        on_timeout: str | None = None,
        pause_memory: bool | None = None,
        pause_idle: float | None = None,
        auto_resume: bool | None = None,
        keep_paused: float | None = None,
        hooks: Hooks | None = None,
        api_key: str | None = None,
        url: str | None = None,
    ) -> Self:
        """Start a sandbox. It is ready for commands when this returns.

        Args:
            template: what it starts from, such as ``base`` or ``code-interpreter``.
            isolation: ``gvisor`` or ``container``; the server's default, ``gvisor``, if not given.
            cpus: processors, in fractions too.
            memory_mib: memory in MiB.
            disk_mib: disk in MiB.
            pids: how many processes and threads it may have.
            env: variables for everything that runs in it.
            metadata: labels of yours, for ``list``.
            timeout: seconds until the server kills it, or pauses it, see ``on_timeout`` and ``set_timeout``;
                None for never.
            internet: whether it reaches the internet; if not given yes, or as its snapshot has it. It never
                reaches the host or other sandboxes.
            hostname: what the machine calls itself.
            ingress: who reaches its web ports: ``public``, if not given, for whoever knows their addresses,
                ``token`` for those who also send ``info().ingress_token``, ``off`` for nobody.
            snapshot: what it starts from instead of a template: a snapshot, its id or its name. It decides
                the template, isolation, memory, disk and pids, which are not to be given then.
            on_timeout: ``kill``, if not given, or ``pause``.
            pause_memory: whether a pause that comes by itself keeps memory and processes, as it does if not
                given, or the files alone.
            pause_idle: seconds with nothing to run after which it is paused; never if not given.
            auto_resume: whether any request wakes it from a pause, as if not given; otherwise only
                ``resume`` does.
            keep_paused: seconds that it is kept once it is paused; without limit if not given.
            hooks: what runs when it is made and each time that it comes back.
            api_key: SANDLOT_API_KEY or this machine's credentials file if not given.
            url: SANDLOT_URL, the credentials file or http://127.0.0.1:7263 if not given.

        Raises:
            InvalidArgumentError: a value is wrong; the message names it.
            NotFoundError: there is no such template; the message lists those there are.
            TierUnavailableError: the host lacks something for this isolation; the message says what.
            LimitError: your limit, or the host's, is used up.
            AuthenticationError: the key is missing or unknown.
            ServerUnavailableError: no server answers.

        Example:
            ```python
            from sandlot import Sandbox

            with Sandbox.create(memory_mib=512, metadata={"job": "docs"}) as sandbox:
                info = sandbox.info()
            assert info.memory_mib == 512
            ```
        """
        api = Api(resolve(url, api_key))
        body = {
            **_wire.origin(template, snapshot),
            "timeout_s": timeout,
            **_wire.given(
                internet=internet,
                isolation=isolation,
                cpus=cpus,
                memory_mib=memory_mib,
                disk_mib=disk_mib,
                pids=pids,
                env=dict(env) if env else None,
                metadata=dict(metadata) if metadata else None,
                hostname=hostname,
                ingress=ingress,
                on_timeout=on_timeout,
                pause_memory=pause_memory,
                pause_idle_s=pause_idle,
                auto_resume=auto_resume,
                keep_paused_s=keep_paused,
                hooks=hooks._wish() if hooks else None,
            ),
        }
        answer = api.request("POST", "/v1/sandboxes", json=body, timeout=_wire.CREATE_TIMEOUT)
        made = SandboxInfo._of(answer.json())
        return cls(api, made.id, made.port_url)

    @classmethod
    def connect(cls, id: str, *, api_key: str | None = None, url: str | None = None) -> Self:
        """A handle on a sandbox that exists, made here or elsewhere. A paused one is not woken by this.

        Raises:
            NotFoundError: there is no sandbox of this id.
            AuthenticationError, ServerUnavailableError: as for ``create``.

        Example:
            ```python
            from sandlot import Sandbox

            same = Sandbox.connect(sandbox.id)
            assert (same.commands.run("true")).ok
            ```
        """
        found = cls(Api(resolve(url, api_key)), id)
        found._port_url = (found.info()).port_url
        return found

    @classmethod
    def list(
        cls,
        *,
        state: str | Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        page_size: int = 100,
        api_key: str | None = None,
        url: str | None = None,
    ) -> Generator[SandboxInfo]:
        """Your sandboxes. Pages are fetched as the iteration needs them.

        Args:
            state: one state, or several, such as ``killed``; those that have not ended if not given.
            metadata: only sandboxes with all these labels.
            page_size: how many to fetch at a time.
            api_key: as for ``create``.
            url: as for ``create``.

        Raises:
            AuthenticationError, ServerUnavailableError: as for ``create``.

        Example:
            ```python
            from sandlot import Sandbox

            for info in Sandbox.list(metadata={"job": "docs"}):
                print(info.id, info.state)
            ```
        """
        api = Api(resolve(url, api_key))
        states = state if state is None or isinstance(state, str) else ",".join(state)
        labels = [f"{key}:{value}" for key, value in (metadata or {}).items()]
        cursor: str | None = None
        while True:
            params = {"state": states, "metadata": labels, "limit": page_size, "cursor": cursor}
            page = api.get("/v1/sandboxes", params)
            for one in page["sandboxes"]:
                yield SandboxInfo._of(one)
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.kill()
        except SandboxError:
            # What went wrong inside the block matters more than that the end of it could not be told.
            if error is None:
                raise

    def info(self) -> SandboxInfo:
        """The sandbox as it is now.

        Raises:
            NotFoundError: there is no sandbox of this id.

        Example:
            ```python
            assert (sandbox.info()).state == "running"
            ```
        """
        return SandboxInfo._of(self._api.get(_wire.path("sandboxes", self.id)))

    def kill(self) -> bool:
        """End the sandbox and remove what it wrote. False when it had ended already.

        Raises:
            NotFoundError: there was never a sandbox of this id.

        Example:
            ```python
            from sandlot import Sandbox

            sandbox = Sandbox.create()
            assert sandbox.kill()
            assert not sandbox.kill()
            ```
        """
        answer = self._api.request("DELETE", _wire.path("sandboxes", self.id))
        return bool(answer.json()["killed"])

    def set_timeout(self, seconds: float | None) -> SandboxInfo:
        """Let the sandbox run for so many seconds from now; None for no end.

        Raises:
            InvalidArgumentError: more than the server allows.
            SandboxGoneError: it has ended.

        Example:
            ```python
            info = sandbox.set_timeout(600)
            assert info.deadline is not None
            ```
        """
        path = _wire.path("sandboxes", self.id, "timeout")
        return SandboxInfo._of((self._api.request("POST", path, json={"timeout_s": seconds})).json())

    def pause(self, *, memory: bool = True) -> SandboxInfo:
        """Let nothing of it run any more, and keep it as it is, until a request or ``resume`` wakes it.

        Args:
            memory: keep memory and processes too; without, the files alone are kept, and it starts anew.

        Raises:
            ConflictError: it is paused, or its isolation cannot keep memory.
            SandboxGoneError: it has ended.
            NotEnoughSpaceError: the server's disk cannot take it; it goes on.

        What reads the output of a command, here or elsewhere, gets a SandboxPausedError.

        Example:
            ```python
            sandbox.commands.start("sleep 1000", tag="job")
            assert (sandbox.pause()).state == "paused"
            sandbox.resume()
            assert [command.running for command in sandbox.commands.list()] == [True]
            ```
        """
        path = _wire.path("sandboxes", self.id, "pause")
        return self._changed(path, {"memory": memory})

    def resume(self, timeout: float | None = None) -> SandboxInfo:
        """Let it go on where it was paused. One that runs is only given the timeout.

        Args:
            timeout: seconds from now until the server kills or pauses it, a later deadline stays; those that
                it was made with if not given.

        Raises:
            LimitError: your limit, or the host's, is used up.
            ConflictError: what was kept of it cannot be read.
            SandboxGoneError: it has ended.

        Example:
            ```python
            sandbox.pause()
            assert (sandbox.resume(timeout=600)).state == "running"
            ```
        """
        path = _wire.path("sandboxes", self.id, "resume")
        return self._changed(path, _wire.given(timeout_s=timeout))

    def snapshot(
        self,
        *,
        name: str | None = None,
        memory: bool | None = None,
        expires: float | None = None,
        take_name: bool = False,
    ) -> Snapshot:
        """Keep the sandbox as it is now; it goes on. The snapshot is whole when this returns.

        Args:
            name: one by which you find it again.
            memory: with memory and processes, or the files alone; the former, where its isolation can, if
                not given.
            expires: seconds until the server deletes it; never if not given.
            take_name: a snapshot that has the name loses it, and is found by its id alone from then on.

        Raises:
            ConflictError: another snapshot has this name, or its isolation cannot keep memory.
            SandboxGoneError: it has ended.
            NotEnoughSpaceError: the server's disk cannot take it.

        Example:
            ```python
            snapshot = sandbox.snapshot(expires=3600)
            assert snapshot.sandbox_id == sandbox.id
            snapshot.delete()
            ```
        """
        path = _wire.path("sandboxes", self.id, "snapshots")
        wish = _wire.given(name=name, memory=memory, expires_s=expires, take_name=take_name or None)
        answer = self._api.request("POST", path, json=wish, timeout=_wire.CREATE_TIMEOUT)
        return Snapshot._kept(answer.json(), self._api)

    def rollback(self, snapshot: Snapshot | str) -> SandboxInfo:
        """Return to one of this sandbox's own snapshots. On failure it stays as it is.

        Args:
            snapshot: the snapshot, its id or its name.

        Raises:
            NotFoundError: there is no such snapshot.
            ConflictError: it is another sandbox's, or cannot be read.
            SandboxGoneError: the sandbox has ended.

        Example:
            ```python
            snapshot = sandbox.snapshot()
            sandbox.files.write("mistake", "x")
            sandbox.rollback(snapshot)
            assert not sandbox.files.exists("mistake")
            snapshot.delete()
            ```
        """
        path = _wire.path("sandboxes", self.id, "rollback")
        return self._changed(path, {"snapshot": _wire.snapshot_id(snapshot)})

    def fork(self, count: int = 1, *, timeout: float | None = 300) -> builtins.list[Self]:
        """New sandboxes with the memory, processes and files of this one, which goes on.

        Each has an id and addresses of its own. What a program has drawn from a random generator in its own
        memory is the same in all of them: see ``Hooks.on_resume``.

        Args:
            count: how many.
            timeout: seconds until the server kills or pauses each of them; None for never.

        Raises:
            ForkError: some were made, which are in its ``sandboxes``, and others not.
            LimitError: there is no room for any.
            ConflictError: its isolation cannot keep memory.
            SandboxGoneError: it has ended.

        Example:
            ```python
            sandbox.files.write("state", "prepared")
            for number, child in enumerate(sandbox.fork(2)):
                with child:
                    child.files.write("state", f"changed by {number}")
            assert sandbox.files.read("state") == "prepared"
            ```
        """
        path = _wire.path("sandboxes", self.id, "fork")
        wish = {"count": count, "timeout_s": timeout}
        patience = _wire.CREATE_TIMEOUT + _wire.MORE_FOR_EACH_FORK * max(count, 0)
        answer = self._api.request("POST", path, json=wish, timeout=patience)
        forks = answer.json()["forks"]
        infos = [SandboxInfo._of(fork["sandbox"]) for fork in forks if fork.get("sandbox")]
        made = [type(self)(self._api, info.id, info.port_url) for info in infos]
        errors = [from_body(fork["error"]) for fork in forks if fork.get("error")]
        if errors:
            message = f"{len(made)} of {len(forks)} forks of {self.id} were made: {errors[0]}"
            raise ForkError(message, sandboxes=made, errors=errors)
        return made

    def _changed(self, path: str, wish: Mapping[str, object]) -> SandboxInfo:
        answer = self._api.request("POST", path, json=wish, timeout=_wire.CREATE_TIMEOUT)
        return SandboxInfo._of(answer.json())

    def metrics(self) -> Metrics:
        """What the sandbox uses now.

        Raises:
            SandboxGoneError: it has ended.

        Example:
            ```python
            metrics = sandbox.metrics()
            assert 0 < metrics.memory_bytes <= metrics.memory_limit_bytes
            ```
        """
        return Metrics._of(self._api.get(_wire.path("sandboxes", self.id, "metrics")))

    def events(self) -> builtins.list[Event]:
        """What happened to the sandbox, oldest first; also after its end.

        Example:
            ```python
            for event in sandbox.events():
                print(event.at, event.kind, event.after, event.reason)
            ```
        """
        answer = self._api.get(_wire.path("sandboxes", self.id, "events"))
        return [Event._of(one) for one in answer["events"]]

    def get_url(self, port: int) -> str:
        """The address at which a web server inside is reached that listens on ``port``.

        Raises:
            InvalidArgumentError: this is no number of a port.

        Example:
            ```python
            sandbox.commands.start("python3 -m http.server 8000")
            print(f"open {sandbox.get_url(8000)} in a browser")
            ```
        """
        return _wire.port_url(self._port_url, port)

    def get_host(self, port: int) -> str:
        """The same without ``http://``, for other protocols and for programs that put it there themselves.

        Example:
            ```python
            address = f"ws://{sandbox.get_host(8000)}/socket"
            ```
        """
        return self.get_url(port).partition("://")[2]

    def terminal(
        self,
        rows: int = 24,
        cols: int = 80,
        *,
        command: str | None = None,
        cwd: str | None = None,
        user: str | None = None,
        command_id: int | None = None,
        from_start: bool = True,
    ) -> Terminal:
        """A terminal, to be used as a context manager.

        Args:
            rows: height of the window.
            cols: width of the window.
            command: what to run in it, for the shell; a login shell if not given.
            cwd: working folder; the user's home if not given.
            user: name or number of the user to run as; the template's user if not given.
            command_id: come back to a terminal left with ``detach``, instead of starting one.
            from_start: with ``command_id``, first show what the sandbox has kept of its output.

        Raises:
            NotFoundError: there is no such folder or command.
            SandboxGoneError: the sandbox has ended.

        Example:
            ```python
            with sandbox.terminal(command="python3 -q") as terminal:
                terminal.write("print(6 * 7)\\nexit()\\n")
                assert terminal.wait() == 0
            ```
        """
        params: dict[str, object] = {
            "rows": rows,
            "cols": cols,
            "command": command,
            "cwd": cwd,
            "user": user,
            "command_id": command_id,
            "from": 0 if command_id is not None and from_start else None,
        }
        return Terminal(self._api, self.id, params)

    def run_code(
        self,
        code: str,
        *,
        language: str = "python",
        context: CodeContext | str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = 60,
        on_stdout: Callback[str] | None = None,
        on_stderr: Callback[str] | None = None,
        on_result: Callback[Result] | None = None,
        on_error: Callback[ExecutionError] | None = None,
        max_output: int = MAX_OUTPUT,
    ) -> Execution:
        """Run code in an interpreter that keeps its variables. An exception in it is ``error``, not raised.

        Args:
            code: what to run.
            language: which of the template's interpreters, where no context is given.
            context: one made by ``sandbox.contexts``; the sandbox's default for the language if not given.
            env: variables for this run.
            timeout: seconds until it is interrupted; the variables stay. None for no limit but the sandbox's
                own.
            on_stdout: called with each piece of text that the code prints.
            on_stderr: the same for standard error.
            on_result: called with each value shown.
            on_error: called with the exception.
            max_output: characters of each stream to keep in ``logs``, the first ones; callbacks get
                everything.

        Raises:
            InvalidArgumentError: the template has no interpreter for this language.
            NotFoundError: there is no such context.
            SandboxGoneError: the sandbox has ended.
            ServerUnavailableError: no server answers, or the connection was lost.

        Example:
            ```python
            sandbox.run_code("x = 20")
            execution = sandbox.run_code("print('hi'); x + 1")
            assert execution.text == "21"
            assert "".join(execution.logs.stdout) == "hi\\n"
            assert (sandbox.run_code("1 / 0")).error.name == "ZeroDivisionError"
            ```
        """
        chosen = context.id if isinstance(context, CodeContext) else context
        body = {
            "code": code,
            "language": context.language if isinstance(context, CodeContext) else language,
            "timeout_s": timeout,
            **_wire.given(context=chosen, env=dict(env) if env else None),
        }
        run = Run(max_output, on_stdout, on_stderr, on_result, on_error)
        return execute(self._api, self.id, body, run)
