"""Bodies of requests and answers: types, and words for the API's page. Bounds are the engine's."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandlot.core.history import Sample
from sandlot.core.ids import is_sandbox_id
from sandlot.core.lifecycle import State
from sandlot.core.model import (
    CreateSandbox,
    CreateSnapshot,
    Depth,
    Event,
    Fork,
    Hooks,
    Ingress,
    Metrics,
    OnTimeout,
    Sandbox,
    Snapshot,
    StartCommand,
    TenantStatus,
)
from sandlot.doors.native.door import Ports
from sandlot.errors import InvalidArgument, SandlotError
from sandlot.node import Tier


def check_sandbox_id(text: str) -> str:
    """Raises InvalidArgument."""
    if not is_sandbox_id(text):
        raise InvalidArgument(
            f"{text[:64]!r} is not a sandbox id; one is 'sb' and 20 characters of a-z and 2-7"
        )
    return text


SandboxId = Annotated[
    str,
    AfterValidator(check_sandbox_id),
    Path(description="A sandbox's id, as `POST /v1/sandboxes` gave it.", examples=["sbh4q2mzk7c5xw3nafj6td"]),
]
SnapshotName = Annotated[
    str,
    Path(
        description="A snapshot's id, or its name; a `/` in the name may stand as it is.",
        examples=["after-setup"],
    ),
]
CommandId = Annotated[int, Path(ge=0, description="A command's id, as its start gave it.")]
ContextId = Annotated[str, Path(max_length=64, description="A context's id.")]


MAX_OFFSET: Final = (1 << 63) - 1
"""The largest offset into a file or a stream; the guest counts in 64 bits."""


class Request(BaseModel):
    """A body. JSON has types, so ``"5"`` is no number and ``1`` is no truth."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Problem(Answer):
    code: str = Field(description="A stable word for the class of error.", examples=["not_found"])
    message: str = Field(description="What was wrong, and what would be right.")
    details: dict[str, Any] | None = None

    @classmethod
    def of(cls, error: SandlotError) -> Problem:
        return cls(code=error.code, message=error.message, details=error.details or None)


class ErrorAnswer(Answer):
    """Every error of this API looks like this."""

    error: Problem


# ── sandboxes ────────────────────────────────────────────────────────────────────────────────────────────


class HooksBody(Request):
    """Lines for the sandbox's shell, run as its user."""

    on_create: str | None = Field(
        default=None, description="Run once, when it is made.", examples=["pip install -q rich"]
    )
    on_resume: str | None = Field(
        default=None,
        description="Run each time that it comes back: from a pause, as a fork, from a snapshot.",
        examples=["python3 reseed.py"],
    )
    ready: str | None = Field(
        default=None,
        description="Tried until it exits with 0; the creation answers only then.",
        examples=["curl -sf localhost:8000"],
    )

    def to_core(self) -> Hooks:
        return Hooks(self.on_create, self.on_resume, self.ready)


class CreateSandboxBody(Request):
    """What the sandbox should be. Everything has a default; `sandlot doctor` shows what the host can do."""

    template: str = Field("base", max_length=128, description="Name of a template, see `GET /v1/templates`.")
    snapshot: str | None = Field(
        None,
        description="A snapshot to start from, by id or name. It decides the template, the tier, memory, disk"
        " and processes, which must not be given then.",
    )
    isolation: Tier | None = Field(
        None,
        strict=False,
        description="The isolation tier. Default: the server's, `gvisor`. Never downgraded silently.",
    )
    cpus: float | None = Field(None, description="Processors, fractions allowed.", examples=[1.0])
    memory_mib: int | None = Field(None, description="Memory limit, MiB.", examples=[1024])
    disk_mib: int | None = Field(None, description="Disk quota, MiB.", examples=[10240])
    pids: int | None = Field(None, description="Most processes and threads at once.", examples=[512])
    env: dict[str, str] = Field({}, description="Environment of every command.")
    metadata: dict[str, str] = Field({}, description="Yours; lists can be filtered by it.")
    timeout_s: float | None = Field(
        300.0,
        description="Seconds until the sandbox is killed, or paused (`on_timeout`); `null` for never. Can be"
        " set anew later.",
    )
    internet: bool | None = Field(
        None,
        description="Whether it reaches the internet; never the host or private nets. Default: yes, or as the"
        " snapshot has it.",
    )
    hostname: str | None = Field(None, description="Default: its id.")
    ingress: Ingress = Field(
        "public",
        description="Who reaches its web ports: whoever knows their host names (`public`), who sends the"
        " sandbox's `ingress_token` too (`token`), nobody (`off`).",
    )
    on_timeout: OnTimeout = Field("kill", description="What becomes of it when its time is up.")
    pause_memory: bool = Field(
        True,
        description="Whether a pause that comes by itself keeps memory and processes, or files alone.",
    )
    pause_idle_s: float | None = Field(
        None, description="Pause it when it had nothing to run for so long; `null` for never.", examples=[600]
    )
    auto_resume: bool = Field(
        True, description="Whether any request wakes it from a pause; otherwise only `resume` does."
    )
    keep_paused_s: float | None = Field(
        None, description="Seconds that it is kept once it is paused; `null` for no limit.", examples=[604800]
    )
    hooks: HooksBody = Field(HooksBody(), description="What runs when it is made and when it comes back.")

    def to_core(self) -> CreateSandbox:
        plain = CreateSandboxBody.model_fields.keys() - {"hooks"}
        return CreateSandbox(**{name: getattr(self, name) for name in plain}, hooks=self.hooks.to_core())


class SandboxAnswer(Answer):
    """A sandbox. Times are RFC 3339, UTC."""

    id: str = Field(examples=["sbh4q2mzk7c5xw3nafj6td"])
    template: str = Field(examples=["base"])
    template_id: str = Field(description="The content of the template that it was made from.")
    isolation: Tier
    state: State
    reason: str | None = Field(description="Why it is in this state, once it ends.")
    cpus: float
    memory_mib: int
    disk_mib: int
    pids: int
    env: dict[str, str]
    metadata: dict[str, str]
    internet: bool
    created_at: datetime
    started_at: datetime | None
    deadline: datetime | None = Field(
        description="When its time is up, and it is killed or paused (`on_timeout`); null for never."
    )
    ended_at: datetime | None
    on_timeout: OnTimeout
    pause_memory: bool
    pause_idle_s: float | None
    auto_resume: bool
    keep_paused_s: float | None
    paused_at: datetime | None
    depth: Depth | None = Field(
        description="How it is kept while it is paused: `frozen` in memory, on `disk` with its memory, or its"
        " `files` alone; null while it runs."
    )
    generation: int = Field(
        description="How often it became one of several: as a fork, from a snapshot, by going back."
    )
    snapshot_id: str | None = Field(description="The snapshot that it was made from, or last went back to.")
    parent_id: str | None = Field(description="The sandbox that it was forked from.")
    hooks: Hooks
    ingress: Ingress
    domain: str = Field(
        description="Port N is at the host name `N-<id>.<domain>`.", examples=["localhost:7263"]
    )
    port_url: str = Field(
        description="Put the port's number for `{port}`.",
        examples=["http://{port}-sbh4q2mzk7c5xw3nafj6td.localhost:7263"],
    )
    ingress_token: str | None = Field(
        description="Where `ingress` is `token`: to be sent as the header `X-Sandlot-Token`."
    )

    @classmethod
    def of(cls, sandbox: Sandbox, ports: Ports) -> SandboxAnswer:
        said = cls.model_fields.keys() & Sandbox.__dataclass_fields__.keys()
        return cls.model_construct(
            **{name: getattr(sandbox, name) for name in said},
            domain=ports.domain,
            port_url=f"{ports.scheme}://{{port}}-{sandbox.id}.{ports.domain}",
            ingress_token=ports.token(sandbox.id) if sandbox.ingress == "token" else None,
        )


class SandboxesAnswer(Answer):
    sandboxes: list[SandboxAnswer]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class KilledAnswer(Answer):
    killed: bool = Field(description="False where it had ended before.")


class TimeoutBody(Request):
    timeout_s: float | None = Field(description="Seconds from now; null for no deadline.", examples=[600])


class PauseBody(Request):
    memory: bool = Field(
        default=True, description="Keep memory and processes; false for the files alone: it starts anew then."
    )


class ResumeBody(Request):
    timeout_s: float | None = Field(
        default=None, description="Seconds from now. Default: those that it was made with.", examples=[600]
    )


class ForkBody(Request):
    count: int = Field(default=1, description="How many to make.", examples=[3])
    timeout_s: float | None = Field(
        default=300.0, description="Seconds until each of them is killed or paused; null for never."
    )


class ForkAnswer(Answer):
    """One child: the sandbox, or why there is none."""

    sandbox: SandboxAnswer | None = None
    error: Problem | None = None

    @classmethod
    def of(cls, fork: Fork, ports: Ports) -> ForkAnswer:
        return cls.model_construct(
            sandbox=None if fork.sandbox is None else SandboxAnswer.of(fork.sandbox, ports),
            error=None if fork.error is None else Problem.of(fork.error),
        )


class ForksAnswer(Answer):
    """As many as were asked for. At least one of them was made."""

    forks: list[ForkAnswer]


class RollbackBody(Request):
    snapshot: str = Field(
        description="One of the sandbox's own snapshots, by id or name.", examples=["after-setup"]
    )


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────


class SnapshotBody(Request):
    name: str | None = Field(
        default=None, description="Yours, for one snapshot at a time.", examples=["after-setup"]
    )
    memory: bool | None = Field(
        default=None,
        description="Keep memory and processes, or the files alone. Default: memory where the tier can.",
    )
    expires_s: float | None = Field(
        default=None, description="Seconds until it is deleted. Default: kept.", examples=[86400]
    )
    take_name: bool = Field(
        default=False,
        description="A snapshot that has the name is found by its id alone from then on."
        " Default: that is a conflict.",
    )

    def to_core(self) -> CreateSnapshot:
        return CreateSnapshot(self.name, self.memory, self.expires_s, self.take_name)


class SnapshotAnswer(Answer):
    """A sandbox as it was at one moment. Times are RFC 3339, UTC."""

    id: str = Field(examples=["snh4q2mzk7c5xw3nafj6td"])
    name: str | None
    sandbox_id: str = Field(description="The sandbox that it was made of; that may have ended.")
    memory: bool = Field(description="With its processes, or its files alone.")
    created_at: datetime
    expires_at: datetime | None = Field(description="When it is deleted; null for never.")
    size_bytes: int = Field(description="Of memory and files as they are.")
    stored_bytes: int = Field(
        description="What it has added to the disk: what it shares with others is not counted again."
    )
    template: str
    template_id: str
    isolation: Tier
    cpus: float
    memory_mib: int
    disk_mib: int
    pids: int
    internet: bool

    @classmethod
    def of(cls, snapshot: Snapshot) -> SnapshotAnswer:
        return cls.model_construct(**{name: getattr(snapshot, name) for name in cls.model_fields})


class SnapshotsAnswer(Answer):
    snapshots: list[SnapshotAnswer]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class DeletedAnswer(Answer):
    deleted: bool = Field(description="False where there was none.")


# ── what it does ─────────────────────────────────────────────────────────────────────────────────────────


class MetricsAnswer(Answer):
    """Totals since the start (`cpu_seconds`, `rx_bytes`, `tx_bytes`); the rest as of `at`."""

    at: datetime
    cpu_seconds: float
    memory_bytes: int
    memory_limit_bytes: int
    disk_used_bytes: int
    disk_limit_bytes: int
    rx_bytes: int
    tx_bytes: int
    processes: int

    @classmethod
    def of(cls, metrics: Metrics) -> MetricsAnswer:
        return cls.model_construct(**{name: getattr(metrics, name) for name in cls.model_fields})


class SampleAnswer(Answer):
    """`cpus`: processors used on average since the sample before; bytes are as of `at`."""

    at: datetime
    cpus: float
    memory_bytes: int
    cache_bytes: int = Field(description="Of files; the kernel takes it back by itself.")
    disk_bytes: int

    @classmethod
    def of(cls, sample: Sample) -> SampleAnswer:
        return cls.model_construct(**{name: getattr(sample, name) for name in cls.model_fields})


class HistoryAnswer(Answer):
    """Oldest first."""

    samples: list[SampleAnswer]


class EventAnswer(Answer):
    """One line of a sandbox's log."""

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    at: datetime
    kind: str = Field(examples=["started"])
    from_state: State | None = Field(alias="from")
    to_state: State | None = Field(alias="to")
    reason: str | None
    details: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> EventAnswer:
        return cls.model_construct(**{name: getattr(event, name) for name in cls.model_fields})


class EventsAnswer(Answer):
    events: list[EventAnswer]


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────


class CommandBody(Request):
    """Give either `command`, a line for the shell, or `args`, a list of words that no shell reads."""

    command: str | None = Field(
        None, description="Run by `/bin/bash -c`, `/bin/sh -c` where there is no bash."
    )
    args: list[str] | None = Field(None, description="The program and its arguments.")
    env: dict[str, str] = Field({}, description="Added to the sandbox's environment.")
    cwd: str | None = Field(None, description="Default: the user's home.")
    user: str | None = Field(None, description="Default: the template's user.")
    stdin: bool = Field(
        False, description="Whether input will be sent; without it the command reads /dev/null."
    )
    timeout_s: float | None = Field(
        60.0, description="Seconds until its process group is ended; null for never."
    )
    tag: str = Field("", description="Yours; shown in lists.")
    background: bool = Field(False, description="Answer at once instead of streaming the output.")

    def to_core(self) -> StartCommand:
        wanted = CommandBody.model_fields.keys() - {"background"}
        return StartCommand(**{name: getattr(self, name) for name in wanted})


class CommandAnswer(Answer):
    """A command, running or ended. Times are RFC 3339, UTC."""

    id: int
    pid: int
    args: list[str]
    cwd: str
    user: str
    tag: str
    terminal: bool = Field(description="Whether it has a terminal.")
    started_at: datetime
    running: bool
    exit_code: int | None = Field(description="128 + signal where a signal ended it; null while it runs.")
    signal: int | None
    timed_out: bool
    oom: bool = Field(description="Ended because the sandbox's memory was used up.")
    stdout_end: int = Field(description="Bytes of output so far.")
    stderr_end: int


class CommandsAnswer(Answer):
    commands: list[CommandAnswer]


class SignalBody(Request):
    signal: int | str = Field("TERM", description="A name without SIG, or a number.", examples=["TERM", 15])
    group: bool = Field(True, description="The whole process group, not the first process alone.")


class ResizeBody(Request):
    rows: int = Field(ge=1, le=1000)
    cols: int = Field(ge=1, le=1000)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────


class FileAnswer(Answer):
    """A file, a folder or another thing with a name."""

    path: str
    name: str
    kind: str = Field(description="`file`, `dir`, `symlink` or `other`.", examples=["file"])
    size: int
    mode: str = Field(description="Permissions, octal.", examples=["0644"])
    uid: int
    gid: int
    owner: str
    group: str
    mtime: float = Field(description="Seconds since 1970.")
    target: str | None = Field(description="Where a symbolic link points.")


class FilesAnswer(Answer):
    files: list[FileAnswer]


class MkdirBody(Request):
    path: str
    mode: str = Field("0755", description="Octal.", examples=["0755"])
    parents: bool = Field(True, description="Make missing parents, and do not mind if it is there.")


class MadeAnswer(Answer):
    made: bool = Field(description="False where it was there.")


class MoveBody(Request):
    source: str
    target: str
    overwrite: bool = True


class CopyBody(Request):
    source: str
    target: str


class ArchiveAnswer(Answer):
    files: int = Field(description="How many entries were written.")


# ── code ─────────────────────────────────────────────────────────────────────────────────────────────────


class CodeBody(Request):
    code: str = Field(examples=["1 + 1"])
    context: str | None = Field(None, description="A context's id. Default: the language's own context.")
    language: str = Field("python", description="Used where `context` is not given.")
    env: dict[str, str] = Field({}, description="Environment for this run only.")
    timeout_s: float | None = Field(
        60.0, gt=0, description="Seconds until the code is interrupted; null for never. State is kept."
    )


class ContextBody(Request):
    language: str = "python"
    cwd: str | None = None
    env: dict[str, str] = {}


class ContextAnswer(Answer):
    """An interpreter with its own variables."""

    id: str
    language: str
    cwd: str


class ContextsAnswer(Answer):
    contexts: list[ContextAnswer]


# ── tenant ───────────────────────────────────────────────────────────────────────────────────────────────


class QuotasAnswer(Answer):
    """Bounds for all sandboxes of the tenant together. Null: none but the server's own."""

    max_sandboxes: int | None
    max_cpus: float | None
    max_memory_mib: int | None
    max_disk_mib: int | None
    creates_per_minute: int | None


class TenantUseAnswer(Answer):
    """What the tenant's sandboxes have that did not end, by their limits."""

    sandboxes: int
    paused: int = Field(
        description="Not among them: what is paused has its disk, and while it is frozen its memory."
    )
    queued: int = Field(description="Creations that wait for room; what they ask for is in the sums.")
    cpus: float
    memory_mib: int
    disk_mib: int


class TenantAnswer(Answer):
    name: str = Field(examples=["default"])
    quotas: QuotasAnswer
    use: TenantUseAnswer

    @classmethod
    def of(cls, status: TenantStatus) -> TenantAnswer:
        return cls(
            name=status.name,
            quotas=QuotasAnswer.model_validate(status.quotas, from_attributes=True),
            use=TenantUseAnswer.model_validate(status, from_attributes=True),
        )


# ── host ─────────────────────────────────────────────────────────────────────────────────────────────────


class TemplateAnswer(Answer):
    name: str = Field(examples=["base"])
    id: str = Field(description="Hash of what it is made of.")
    size_bytes: int
    built_at: datetime
    description: str


class TemplatesAnswer(Answer):
    templates: list[TemplateAnswer]


class HealthAnswer(Answer):
    status: str = Field(examples=["ok"])
    reason: str | None = None
