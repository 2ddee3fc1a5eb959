"""What the server tells, as values. Fields that a newer server adds are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

Json = Mapping[str, Any]


def _time(value: str | float | None) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Lines for the sandbox's shell, run as its user.

    ``on_create`` runs once, and ``on_resume`` each time that it comes back: from a pause, as a fork, from a
    snapshot. ``ready`` is tried until it exits with 0; only then does ``create`` return.
    """

    on_create: str | None = None
    on_resume: str | None = None
    ready: str | None = None

    @classmethod
    def _of(cls, data: Json) -> Hooks:
        return cls(on_create=data.get("on_create"), on_resume=data.get("on_resume"), ready=data.get("ready"))

    def _wish(self) -> dict[str, str]:
        lines = {"on_create": self.on_create, "on_resume": self.on_resume, "ready": self.ready}
        return {name: line for name, line in lines.items() if line is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxInfo:
    """A sandbox as it was when the server was asked.

    ``state`` is one of creating, running, pausing, paused, resuming, killing, killed, failed, and ``reason``
    says why it ended. Sizes are in MiB, times are in UTC. ``deadline`` is when the server will kill it, or
    pause it where ``on_timeout`` says so; None for never.

    While it is paused, since ``paused_at``, ``depth`` says how it is kept: ``frozen`` in memory, on ``disk``
    with its memory, or its ``files`` alone. ``generation`` counts how often it became one of
    several: as a fork, from a snapshot, by going back to one. ``snapshot_id`` is the snapshot that it was
    made from or last went back to, ``parent_id`` the sandbox that it was forked from.

    ``port_url`` is the address of its web ports, with ``{port}`` in place of a number; ``get_url`` puts one
    there. ``ingress_token`` opens them where ``ingress`` is ``token``: send it as header X-Sandlot-Token.
    """

    id: str
    template: str
    isolation: str
    state: str
    reason: str | None = None
    cpus: float = 0.0
    memory_mib: int = 0
    disk_mib: int = 0
    pids: int = 0
    env: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    internet: bool = True
    template_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    deadline: datetime | None = None
    ended_at: datetime | None = None
    ingress: str = "public"
    ingress_token: str | None = None
    port_url: str = ""
    on_timeout: str = "kill"
    pause_memory: bool = True
    pause_idle_s: float | None = None
    auto_resume: bool = True
    keep_paused_s: float | None = None
    paused_at: datetime | None = None
    depth: str | None = None
    generation: int = 0
    snapshot_id: str | None = None
    parent_id: str | None = None
    hooks: Hooks = field(default_factory=Hooks)

    @classmethod
    def _of(cls, data: Json) -> SandboxInfo:
        return cls(
            id=data["id"],
            template=data["template"],
            isolation=data["isolation"],
            state=data["state"],
            reason=data.get("reason") or None,
            cpus=data.get("cpus", 0.0),
            memory_mib=data.get("memory_mib", 0),
            disk_mib=data.get("disk_mib", 0),
            pids=data.get("pids", 0),
            env=dict(data.get("env") or {}),
            metadata=dict(data.get("metadata") or {}),
            internet=data.get("internet", True),
            template_id=data.get("template_id"),
            created_at=_time(data.get("created_at")),
            started_at=_time(data.get("started_at")),
            deadline=_time(data.get("deadline")),
            ended_at=_time(data.get("ended_at")),
            ingress=data.get("ingress", "public"),
            ingress_token=data.get("ingress_token"),
            port_url=data.get("port_url", ""),
            on_timeout=data.get("on_timeout", "kill"),
            pause_memory=data.get("pause_memory", True),
            pause_idle_s=data.get("pause_idle_s"),
            auto_resume=data.get("auto_resume", True),
            keep_paused_s=data.get("keep_paused_s"),
            paused_at=_time(data.get("paused_at")),
            depth=data.get("depth"),
            generation=data.get("generation", 0),
            snapshot_id=data.get("snapshot_id"),
            parent_id=data.get("parent_id"),
            hooks=Hooks._of(data.get("hooks") or {}),
        )


# Without slots: the handle made of it keeps its server beside these fields.
@dataclass(frozen=True, kw_only=True)
class SnapshotInfo:
    """A sandbox as it was at one moment, kept by the server.

    ``memory`` tells whether its processes are in it, or its files alone. ``size_bytes`` is what memory and
    files are, ``stored_bytes`` what the snapshot has added to the disk: what it shares with others is not
    counted again. ``expires_at`` is when the server deletes it, None for never. Times are in UTC.
    """

    id: str
    name: str | None
    sandbox_id: str
    memory: bool
    created_at: datetime | None
    expires_at: datetime | None
    size_bytes: int
    stored_bytes: int
    template: str
    isolation: str
    cpus: float
    memory_mib: int
    disk_mib: int
    pids: int

    @classmethod
    def _of(cls, data: Json) -> Self:
        return cls(
            id=data["id"],
            name=data.get("name"),
            sandbox_id=data["sandbox_id"],
            memory=bool(data["memory"]),
            created_at=_time(data.get("created_at")),
            expires_at=_time(data.get("expires_at")),
            size_bytes=data.get("size_bytes", 0),
            stored_bytes=data.get("stored_bytes", 0),
            template=data["template"],
            isolation=data["isolation"],
            cpus=data.get("cpus", 0.0),
            memory_mib=data.get("memory_mib", 0),
            disk_mib=data.get("disk_mib", 0),
            pids=data.get("pids", 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What a sandbox uses: processor seconds since it started, bytes now.

    ``rx`` and ``tx`` are as the guest sees them.
    """

    cpu_seconds: float
    memory_bytes: int
    memory_limit_bytes: int
    disk_used_bytes: int
    disk_limit_bytes: int
    rx_bytes: int
    tx_bytes: int
    processes: int
    at: datetime | None

    @classmethod
    def _of(cls, data: Json) -> Metrics:
        return cls(
            cpu_seconds=data["cpu_seconds"],
            memory_bytes=data["memory_bytes"],
            memory_limit_bytes=data["memory_limit_bytes"],
            disk_used_bytes=data["disk_used_bytes"],
            disk_limit_bytes=data["disk_limit_bytes"],
            rx_bytes=data["rx_bytes"],
            tx_bytes=data["tx_bytes"],
            processes=data["processes"],
            at=_time(data.get("at")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to a sandbox.

    ``before`` and ``after`` are states, where the event changed the state.
    """

    at: datetime | None
    kind: str
    before: str | None
    after: str | None
    reason: str | None
    details: dict[str, Any]

    @classmethod
    def _of(cls, data: Json) -> Event:
        return cls(
            at=_time(data.get("at")),
            kind=data["kind"],
            before=data.get("from"),
            after=data.get("to"),
            reason=data.get("reason") or None,
            details=dict(data.get("details") or {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template that the server can start sandboxes from.

    ``id`` is the hash of its contents, ``size`` is in bytes.
    """

    name: str
    id: str
    size: int | None
    built_at: datetime | None
    description: str

    @classmethod
    def _of(cls, data: Json) -> Template:
        return cls(
            name=data["name"],
            id=data.get("id", ""),
            size=data.get("size", data.get("size_bytes")),
            built_at=_time(data.get("built_at")),
            description=data.get("description") or "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """A file, folder or link inside a sandbox.

    ``size`` is in bytes, ``mode`` the permission bits in octal (``"0644"``), ``modified`` is in UTC,
    ``target`` is where a link points.
    """

    path: str
    name: str
    kind: Literal["file", "dir", "symlink", "other"]
    size: int
    mode: str
    uid: int
    gid: int
    owner: str
    group: str
    modified: datetime
    target: str | None = None

    @property
    def is_dir(self) -> bool:
        return self.kind == "dir"

    @property
    def is_file(self) -> bool:
        return self.kind == "file"

    @classmethod
    def _of(cls, data: Json) -> FileInfo:
        return cls(
            path=data["path"],
            name=data["name"],
            kind=data["kind"],
            size=data["size"],
            mode=data["mode"],
            uid=data.get("uid", 0),
            gid=data.get("gid", 0),
            owner=data.get("owner") or "",
            group=data.get("group") or "",
            modified=datetime.fromtimestamp(data.get("mtime", 0), UTC),
            target=data.get("target"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """A change under a watched path.

    ``kind`` is create, write, remove, rename, chmod, or overflow (events were lost).
    """

    kind: str
    path: str
    is_dir: bool = False

    @classmethod
    def _of(cls, data: Json) -> WatchEvent:
        return cls(kind=data["kind"], path=data.get("path") or "", is_dir=bool(data.get("is_dir")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Some bytes that a command wrote. ``offset`` is the position of the first of them in their stream."""

    stream: Literal["stdout", "stderr"]
    data: bytes
    offset: int

    @property
    def text(self) -> str:
        """The bytes as UTF-8, with U+FFFD for what is not. A character can be cut at either end."""
        return self.data.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandExit:
    """How a command ended. ``exit_code`` is 128 plus the signal where a signal ended it."""

    exit_code: int
    signal: int | None = None
    timed_out: bool = False
    oom: bool = False

    @classmethod
    def _of(cls, data: Json) -> CommandExit:
        return cls(
            exit_code=data["exit_code"],
            signal=data.get("signal") or None,
            timed_out=bool(data.get("timed_out")),
            oom=bool(data.get("oom")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended and what it wrote.

    ``exit_code`` is 128 plus the signal where a signal ended it; ``timed_out`` and ``oom`` tell why it was
    killed. ``stdout_truncated`` and ``stderr_truncated`` are true when bytes are missing: the command wrote
    more than ``max_output``, of which the first are kept, or more than the sandbox keeps while nobody reads.
    """

    exit_code: int
    stdout_bytes: bytes = field(default=b"", repr=False)
    stderr_bytes: bytes = field(default=b"", repr=False)
    signal: int | None = None
    timed_out: bool = False
    oom: bool = False
    stdout_truncated: bool = False
    stderr_truncated: bool = False

    @property
    def truncated(self) -> bool:
        """Whether bytes of either stream are missing."""
        return self.stdout_truncated or self.stderr_truncated

    @property
    def ok(self) -> bool:
        """Whether the command exited with 0."""
        return self.exit_code == 0

    @property
    def stdout(self) -> str:
        """Standard output as UTF-8, with U+FFFD for what is not."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error as UTF-8, with U+FFFD for what is not."""
        return self.stderr_bytes.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandInfo:
    """A command that runs, or ran, in a sandbox. ``exit`` is None while it runs."""

    id: int
    pid: int
    args: tuple[str, ...]
    cwd: str
    user: str
    tag: str
    terminal: bool
    started_at: datetime | None
    running: bool
    exit: CommandExit | None
    stdout_end: int
    stderr_end: int

    @classmethod
    def _of(cls, data: Json) -> CommandInfo:
        running = bool(data.get("running"))
        ended = not running and data.get("exit_code") is not None
        return cls(
            id=data["id"],
            pid=data["pid"],
            args=tuple(data.get("args") or ()),
            cwd=data.get("cwd") or "",
            user=data.get("user") or "",
            tag=data.get("tag") or "",
            terminal=bool(data.get("terminal")),
            started_at=_time(data.get("started_at")),
            running=running,
            exit=CommandExit._of(data) if ended else None,
            stdout_end=data.get("stdout_end", 0),
            stderr_end=data.get("stderr_end", 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeContext:
    """A running interpreter with its own variables."""

    id: str
    language: str
    cwd: str | None = None

    @classmethod
    def _of(cls, data: Json) -> CodeContext:
        return cls(id=data["id"], language=data["language"], cwd=data.get("cwd"))
