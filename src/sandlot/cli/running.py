"""Running things in sandboxes."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandlot.cli.failures import TIMED_OUT, fail
from sandlot.cli.finding import find, seconds, variables
from sandlot.cli.sandboxes import Env, Id, Internet, Isolation, Json

if TYPE_CHECKING:
    from sandlot.sdk import CommandExit, Execution, ExecutionError, Output, Sandbox

_PANEL = "Running things"
# What comes after the first word belongs to the command that is run, options and all.
_REST_IS_A_COMMAND = {"allow_interspersed_args": False}

Cwd = Annotated[
    str | None, typer.Option("--cwd", "-w", help="Working folder.", show_default="the user's home")
]
User = Annotated[
    str | None, typer.Option("--user", "-u", help="Whose rights count.", show_default="the template's user")
]
Limit = Annotated[str, typer.Option(metavar="TIME", help="Seconds until it is ended; none for no limit.")]

_MARGIN_S = 120.0


def add_to(app: typer.Typer) -> None:
    app.command("exec", rich_help_panel=_PANEL, context_settings=_REST_IS_A_COMMAND)(exec_)
    app.command("shell", rich_help_panel=_PANEL)(shell)
    app.command("run", rich_help_panel=_PANEL)(run)
    app.command("code", rich_help_panel=_PANEL)(code)


def exec_(
    id: Id,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="What to run; no shell reads it.")],
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Pass standard input on.")] = False,
    terminal: Annotated[bool, typer.Option("--terminal", "-t", help="Give it a terminal.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print its number and leave it running.")
    ] = False,
    env: Env = None,
    cwd: Cwd = None,
    user: User = None,
    timeout: Limit = "none",
) -> None:
    """Run a command in a sandbox, with its output and its exit code.

    The exit code is the command's; 124 where it ran into --timeout.
    Ctrl-C reaches the command; the third one kills it.
    """
    command = _without_dashes(command)
    if not command:
        raise typer.BadParameter("a COMMAND is needed after --")
    sandbox = find(id)
    if terminal:
        _exec_in_terminal(sandbox, command, variables(env), cwd, user)
    started = sandbox.commands.start(
        command,
        env=variables(env),
        cwd=cwd,
        user=user,
        stdin=interactive,
        timeout=seconds(timeout),
        attach=not detach,
    )
    if detach:
        typer.echo(started.id)
        return
    from sandlot.cli.piping import follow

    raise typer.Exit(exit_code(follow(started, stdin=interactive)))


def _without_dashes(words: list[str]) -> list[str]:
    """The words after a leading ``--``, which ends our own options."""
    return words[1:] if words[:1] == ["--"] else words


def exit_code(end: CommandExit) -> int:
    return TIMED_OUT if end.timed_out else end.exit_code


def emit(output: Output) -> None:
    """Bytes of a command to where they belong, as they are."""
    stream = sys.stdout.buffer if output.stream == "stdout" else sys.stderr.buffer
    stream.write(output.data)
    stream.flush()


def _exec_in_terminal(
    sandbox: Sandbox, command: list[str], env: dict[str, str], cwd: str | None, user: str | None
) -> None:
    import shlex

    from sandlot.cli.terminal import Session, converse

    words = ["env", *(f"{name}={value}" for name, value in env.items()), *command] if env else command
    session = Session(sandbox.id, command="exec " + shlex.join(words), cwd=cwd, user=user)
    raise typer.Exit(converse(session).exit_code)


def shell(
    id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Its id, or the beginning of it.", show_default="a fresh one"),
    ] = None,
    template: Annotated[str, typer.Option("--template", "-T", help="What a fresh one starts from.")] = "base",
    isolation: Isolation = None,
    keep: Annotated[bool, typer.Option("--keep", help="Do not end a fresh one when the shell ends.")] = False,
    attach: Annotated[
        int | None, typer.Option("--attach", metavar="COMMAND", help="Come back to a terminal that was left.")
    ] = None,
    cwd: Cwd = None,
    user: User = None,
) -> None:
    """Open a shell in a sandbox: a fresh one, which ends with the shell, where no ID is given.

    To leave the shell running, press Enter, then ~ and . (a dot); to type
    a ~ there, press it twice. The exit code is the shell's.
    """
    from sandlot.cli.terminal import Session, converse, require_terminal

    require_terminal()
    if id is None:
        raise typer.Exit(_shell_in_fresh(template, isolation, cwd, user, keep=keep))
    sandbox = find(id)
    raise typer.Exit(converse(Session(sandbox.id, cwd=cwd, user=user, command_id=attach)).exit_code)


def _shell_in_fresh(
    template: str, isolation: str | None, cwd: str | None, user: str | None, *, keep: bool
) -> int:
    from sandlot.cli.terminal import LEASE_S, Session, converse
    from sandlot.sdk import Sandbox

    # The lease is renewed while the shell is open: a client that vanishes leaves no sandbox for long.
    sandbox = Sandbox.create(template, isolation=isolation, timeout=LEASE_S)
    keeping = keep
    try:
        typer.echo(f"{sandbox.id} ({template}; leave it running: Enter ~ .)", err=True)
        end = converse(Session(sandbox.id, cwd=cwd, user=user, renew=True))
        keeping = keep or end.terminal_id is not None
        return end.exit_code
    finally:
        if not keeping:
            sandbox.kill()


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python, JavaScript or shell program.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGUMENT", help="Arguments for it; those with dashes after --."),
    ] = None,
    out: Annotated[
        list[str] | None,
        typer.Option("--out", "-o", metavar="PATH[:LOCAL]", help="A file or folder to copy here afterwards."),
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--with", "-i", metavar="PATH", help="A file or folder to copy there first."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", "-T", help="What it runs in.", show_default="by the kind of program"),
    ] = None,
    isolation: Isolation = None,
    env: Env = None,
    timeout: Limit = "300",
    internet: Internet = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the sandbox running and print its id.")] = False,
) -> None:
    """Run a program in a fresh sandbox, copy its results here, and end the sandbox.

    The exit code is the program's; 124 where it ran into --timeout.
    """
    from sandlot.cli.piping import follow
    from sandlot.cli.programs import program_for
    from sandlot.sdk import Sandbox

    if not file.is_file():
        fail(f"there is no file {file}")
    program = program_for(file)
    limit = seconds(timeout)
    with ExitStack() as stack:
        sandbox = Sandbox.create(
            template or program.template,
            isolation=isolation,
            env=variables(env),
            timeout=None if limit is None else limit + _MARGIN_S,
            internet=internet,
        )
        if keep:
            typer.echo(sandbox.id, err=True)
        else:
            stack.callback(sandbox.kill)
        for path in [file, *(inputs or [])]:
            sandbox.files.upload(path, path.resolve().name)
        started = sandbox.commands.start(
            [*program.interpreter, file.resolve().name, *(arguments or [])],
            timeout=limit,
            attach=True,
        )
        end = follow(started, stdin=False)
        _fetch(sandbox, out or [])
        raise typer.Exit(exit_code(end))


def _fetch(sandbox: Sandbox, wanted: list[str]) -> None:
    from sandlot.sdk import SandboxError

    missing = []
    for text in wanted:
        path, _, local = text.partition(":")
        try:
            sandbox.files.download(path, local or Path(path).name)
        except (SandboxError, OSError) as error:
            missing.append(str(error))
    if missing:
        fail("; ".join(missing))


def code(
    id: Id,
    snippet: Annotated[str, typer.Argument(metavar="CODE", help="What to run; - for standard input.")],
    language: Annotated[str, typer.Option("--language", "-l", help="Which interpreter.")] = "python",
    context: Annotated[str | None, typer.Option("--context", "-c", help="Which of several contexts.")] = None,
    env: Env = None,
    timeout: Limit = "60",
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FOLDER", help="Where to put the pictures that it shows.")
    ] = None,
    json: Json = False,
) -> None:
    """Run code in a sandbox's interpreter, which keeps its variables. The exit code is 1 for an exception."""
    from sandlot.cli.output import as_json

    sandbox = find(id)
    execution = sandbox.run_code(
        sys.stdin.read() if snippet == "-" else snippet,
        language=language,
        context=context,
        env=variables(env),
        timeout=seconds(timeout),
        on_stdout=None if json else _say,
        on_stderr=None if json else _say_aside,
        on_error=None if json else _tell,
    )
    if json:
        as_json(execution)
    else:
        _show_results(execution, save)
    raise typer.Exit(1 if execution.error else 0)


def _say(text: str) -> None:
    typer.echo(text, nl=False)


def _say_aside(text: str) -> None:
    typer.echo(text, nl=False, err=True)


def _tell(error: ExecutionError) -> None:
    typer.echo(error.traceback or str(error), err=True)


def _show_results(execution: Execution, save: Path | None) -> None:
    import base64

    for number, result in enumerate(execution.results, 1):
        pictures = {name: data for name in ("png", "jpeg", "pdf") if (data := getattr(result, name))}
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            for name, data in pictures.items():
                target = save / f"result-{number}.{name}"
                target.write_bytes(base64.b64decode(data))
                typer.echo(target)
        if result.text is not None and not (save and pictures):
            typer.echo(result.text)
