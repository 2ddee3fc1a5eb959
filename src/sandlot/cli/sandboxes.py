"""Listing, watching and ending sandboxes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sandlot.cli.failures import fail
from sandlot.cli.finding import ALL_STATES, find, labelled, seconds

if TYPE_CHECKING:
    from sandlot.sdk import Command, CommandInfo, Event, Metrics, Sandbox, SandboxInfo

PANEL = "Sandboxes"
TIME_PANEL = "Pausing, snapshots, forks"

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID", help="Ids, or beginnings of ids.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Ids only.")]
Json = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "--env", "-e", metavar="NAME[=VALUE]", help="A variable; NAME alone takes this shell's value."
    ),
]
Isolation = Annotated[
    str | None, typer.Option(metavar="TIER", help="gvisor or container.", show_default="the server's")
]
Timeout = Annotated[
    str, typer.Option(metavar="TIME", help="Seconds until its time is up, or 10m, 2h; none for never.")
]
Internet = Annotated[
    bool | None,
    typer.Option(
        "--internet/--no-internet", help="Whether it reaches the internet.", show_default="internet"
    ),
]

_FOLLOW_S = 1.0
_WATCH_S = 1.0


def add_to(app: typer.Typer) -> None:
    for name, command in (
        ("ls", ls),
        ("info", info),
        ("kill", kill),
        ("timeout", timeout),
        ("url", url),
        ("logs", logs),
        ("ps", ps),
        ("stats", stats),
    ):
        app.command(name, rich_help_panel=PANEL)(command)


def ls(
    all: Annotated[bool, typer.Option("--all", "-a", help="Those that have ended, too.")] = False,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="Only those with this label."),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List sandboxes."""
    from sandlot.cli.output import ago, ahead, as_json, labels, print_table
    from sandlot.sdk import Sandbox

    found = list(Sandbox.list(state=ALL_STATES if all else None, metadata=labelled(metadata)))
    if json:
        as_json(found)
    elif quiet:
        for one in found:
            typer.echo(one.id)
    else:
        rows = [
            (one.id, one.template, one.isolation, _state(one), ago(one.created_at), ahead(one.deadline),
             labels(one.metadata))
            for one in found
        ]  # fmt: skip
        print_table(("ID", "TEMPLATE", "ISOLATION", "STATE", "AGE", "ENDS IN", "METADATA"), rows)


def _state(one: SandboxInfo) -> str:
    return f"{one.state} ({one.depth})" if one.depth else one.state


def info(id: Id, json: Json = False) -> None:
    """Show one sandbox, also after its end."""
    from sandlot.cli.output import ahead, as_json, labels, moment, print_fields

    one = find(id, ended=True).info()
    if json:
        as_json(one)
        return
    fields = {
        "id": one.id,
        "state": _state(one),
        "reason": one.reason,
        "template": f"{one.template} ({one.template_id})",
        "isolation": one.isolation,
        "cpus": one.cpus,
        "memory": f"{one.memory_mib} MiB",
        "disk": f"{one.disk_mib} MiB",
        "pids": one.pids,
        "internet": "yes" if one.internet else "no",
        "ports": one.ingress,
        "env": labels(one.env) or None,
        "metadata": labels(one.metadata) or None,
        "created": moment(one.created_at),
        "started": moment(one.started_at),
        "ends": f"{moment(one.deadline)}, in {ahead(one.deadline)}" if one.deadline else "never",
        "ended": moment(one.ended_at),
    }
    if one.ended_at is not None or one.paused_at is not None:
        fields.pop("ends")
    if one.ended_at is None:
        fields.pop("ended")
    print_fields(fields | _comings_and_goings(one))


def _comings_and_goings(one: SandboxInfo) -> dict[str, object]:
    """Of pauses, snapshots and forks what is not as with any other."""
    from sandlot.cli.output import moment, span

    idle, kept = one.pause_idle_s, one.keep_paused_s
    fields = {
        "paused": moment(one.paused_at),
        "on timeout": None if one.on_timeout == "kill" else one.on_timeout,
        "idle": None if idle is None else f"pause after {span(idle)} with nothing to run",
        "pauses": None if one.pause_memory else "keep files only",
        "wakes": None if one.auto_resume else "by resume only",
        "kept": None if kept is None else f"{span(kept)} once it is paused",
        "generation": one.generation or None,
        "snapshot": one.snapshot_id,
        "fork of": one.parent_id,
        "on create": one.hooks.on_create,
        "on resume": one.hooks.on_resume,
        "ready": one.hooks.ready,
    }
    return {name: value for name, value in fields.items() if value is not None}


def kill(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids, or beginnings of ids.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Every sandbox.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """End sandboxes and what runs in them."""
    from sandlot.sdk import Sandbox

    if bool(ids) == all:
        raise typer.BadParameter("name sandboxes, or give --all")
    if all:
        chosen = [Sandbox.connect(one.id) for one in Sandbox.list()]
        if chosen and not yes and sys.stdin.isatty():
            typer.confirm(f"Kill {len(chosen)} sandboxes?", abort=True, err=True)
    else:
        chosen = [find(id, ended=True) for id in ids or []]
    for sandbox in chosen:
        if sandbox.kill():
            typer.echo(sandbox.id)
        else:
            typer.echo(f"sandlot: {sandbox.id} had ended before", err=True)


def timeout(
    id: Id,
    time: Annotated[
        str, typer.Argument(metavar="TIME", help="Seconds from now, or 10m, 2h; none for never.")
    ],
) -> None:
    """Let a sandbox live for so long from now."""
    from sandlot.cli.output import ahead

    changed = find(id).set_timeout(seconds(time))
    typer.echo(f"ends in {ahead(changed.deadline)}" if changed.deadline else "never ends by itself")


def url(
    id: Id, port: Annotated[int, typer.Argument(metavar="PORT", help="Where a program in it listens.")]
) -> None:
    """Print the address of a web port, with the token where the sandbox asks for one."""
    found = find(id)
    token = found.info().ingress_token
    typer.echo(found.get_url(port) + (f"/?sandlot_token={token}" if token else ""))


def ps(id: Id, json: Json = False) -> None:
    """List a sandbox's commands: those that run, and those that ended lately."""
    from sandlot.cli.output import ago, as_json, print_table

    found = find(id).commands.list()
    if json:
        as_json(found)
        return
    rows = [
        (one.id, one.pid, one.user, ago(one.started_at), _condition(one), one.tag or None, " ".join(one.args))
        for one in found
    ]
    print_table(("COMMAND", "PID", "USER", "AGE", "STATE", "TAG", "ARGUMENTS"), rows)


def _condition(command: CommandInfo) -> str:
    if command.exit is None:
        return "running"
    if command.exit.timed_out:
        return "timed out"
    return "out of memory" if command.exit.oom else f"exit {command.exit.exit_code}"


def logs(
    id: Id,
    command: Annotated[
        int | None, typer.Argument(metavar="COMMAND", help="A command's number in `ps`.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for what is to come.")] = False,
    json: Json = False,
) -> None:
    """Show what happened to a sandbox; with COMMAND, what a command of it wrote."""
    if command is None:
        _show_events(find(id, ended=True), follow=follow, json=json)
    else:
        _show_output(find(id).commands.connect(command), follow=follow)


def _show_events(sandbox: Sandbox, *, follow: bool, json: bool) -> None:
    from sandlot.cli.output import as_json_line

    told: list[Event] = []
    while True:
        for event in sandbox.events():
            if event not in told:
                told.append(event)
                if json:
                    as_json_line(event)
                else:
                    typer.echo(_event_line(event))
        if not follow or sandbox.info().ended_at is not None:
            return
        time.sleep(_FOLLOW_S)


def _event_line(event: Event) -> str:
    from sandlot.cli.output import labels, shown

    at = event.at.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z") if event.at else "-"
    change = " → ".join(state for state in (event.before, event.after) if state)
    parts = (at, event.kind, change, event.reason or "", labels(event.details))
    return shown("  ".join(part for part in parts if part))


def _show_output(command: Command, *, follow: bool) -> None:
    from sandlot.cli.running import emit

    now = command.info()
    missing = {"stdout": now.stdout_end, "stderr": now.stderr_end}
    while follow or any(missing.values()):
        output = next(command, None)
        if output is None:
            break
        emit(output)
        if output.offset + len(output.data) >= missing[output.stream]:
            missing[output.stream] = 0
    command.detach()


def stats(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Which.", show_default="all")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show what sandboxes use."""
    from sandlot.cli.output import as_json, print_table, table

    chosen = [find(id) for id in ids or []]
    before: dict[str, Metrics] = {}
    now = _measure(chosen)
    if json:
        as_json([{"id": id, **_fields(metrics)} for id, metrics in now.items()])
        return
    if not watch:
        print_table(_STATS, _stats_rows(now, before))
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        while True:
            lines = table(_STATS, _stats_rows(now, before))
            live.update(Text("\n".join(lines), no_wrap=True), refresh=True)
            time.sleep(_WATCH_S)
            before, now = now, _measure(chosen)


_STATS = ("ID", "CPU", "MEMORY", "DISK", "RECEIVED", "SENT", "PROCESSES")


def _measure(chosen: list[Sandbox]) -> dict[str, Metrics]:
    from sandlot.sdk import NotFoundError, Sandbox, SandboxGoneError

    found: dict[str, Metrics] = {}
    for sandbox in chosen or [Sandbox.connect(one.id) for one in Sandbox.list(state="running")]:
        try:
            found[sandbox.id] = sandbox.metrics()
        except (NotFoundError, SandboxGoneError):
            if chosen:
                fail(f"sandbox {sandbox.id} has ended")
    return found


def _fields(metrics: Metrics) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(metrics)


def _stats_rows(now: dict[str, Metrics], before: dict[str, Metrics]) -> list[tuple[object, ...]]:
    from sandlot.cli.output import size

    return [
        (
            id,
            _processor(one, before.get(id)),
            f"{size(one.memory_bytes)} / {size(one.memory_limit_bytes)}",
            f"{size(one.disk_used_bytes)} / {size(one.disk_limit_bytes)}",
            size(one.rx_bytes),
            size(one.tx_bytes),
            one.processes,
        )
        for id, one in now.items()
    ]


def _processor(now: Metrics, before: Metrics | None) -> str:
    """Seconds since the start; a share since the last look, where there was one."""
    if before is None or now.at is None or before.at is None or now.at <= before.at:
        return f"{now.cpu_seconds:.1f} s"
    return f"{100 * (now.cpu_seconds - before.cpu_seconds) / (now.at - before.at).total_seconds():.0f} %"
