"""What the guest agent is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

FileKind = Literal["file", "dir", "symlink", "other"]
WatchKind = Literal["create", "write", "remove", "rename", "chmod", "overflow"]
StreamName = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class PtySize:
    rows: int = 24
    cols: int = 80


@dataclass
class SpawnSpec:
    """A program to start. It leads a session and a process group of its own.

    ``user`` is a name, "1000" or "1000:1000", looked up in the guest's own /etc/passwd. ``cwd`` None is the
    user's home, or "/" where there is none. What ``env`` lacks of HOME, USER, LOGNAME, SHELL, PATH (and TERM
    on a terminal) is added. ``stdin`` False is /dev/null. After ``timeout`` seconds the whole group and
    session get TERM, and KILL two seconds later. ``tag`` is the caller's, at most 256 bytes. ``keep_output``
    bytes per stream (4 KiB to 8 MiB) stay readable for whoever attaches later. ``words`` are what the shell
    that ``args`` name would exec, and do nothing else: the agent tries that first, which saves the shell's
    start, and leaves to the shell whatever is in the way. It leaves all of it to the shell where ``premises``
    do not hold, pairs of what is supposed: docs/agent-protocol.md says which can be.
    """

    args: list[str]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str = "root"
    pty: PtySize | None = None
    stdin: bool = False
    timeout: float | None = None
    tag: str = ""
    keep_output: int = 1024 * 1024
    words: list[str] | None = None
    premises: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of a stream; ``offset`` counts from its first byte. A jump means that older bytes are gone."""

    stream: StreamName
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. ``code`` is 128 + ``signal`` where a signal ended it."""

    code: int
    signal: int | None = None
    timed_out: bool = False
    oom: bool = False
    stdout_end: int = 0
    stderr_end: int = 0


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """``args`` may be cut after 4 KiB. ``started_at`` is Unix time by the guest's clock."""

    id: int
    pid: int
    args: list[str]
    cwd: str
    user: str
    tag: str
    pty: bool
    started_at: float
    running: bool
    exit: Exit | None
    stdout_end: int
    stderr_end: int


@dataclass(frozen=True, slots=True)
class GuestStats:
    """Everything in the guest but the agent: processes alive, resident bytes, CPU seconds ever used, uptime
    in seconds, and Unix time by the guest's clock."""

    processes: int
    rss_bytes: int
    cpu_seconds: float
    uptime: float
    time: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Processes that only wait for the host: the agent's own by id, by pid what these have started."""

    ids: Sequence[int] = ()
    pids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class GuestActivity:
    """What keeps the guest awake, in its own words; "" is nothing. ``processes`` are those alive."""

    processes: int
    reason: str

    @property
    def idle(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a sandbox is told once its memory has come back from a snapshot: the ``secret`` by which its agent
    is reached from then on, a ``generation``, higher than before where it is a copy, and its name ("" stays
    as it is).
    """

    secret: str = field(repr=False)
    generation: int
    hostname: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """What of it took. In gVisor all does; on the container tier no name can be set from inside."""

    hostname: bool
    entropy: bool
    generation: bool


@dataclass(frozen=True, slots=True)
class FileInfo:
    """``mtime`` is Unix time; ``mode`` the permission bits (07777); ``target`` where a symlink points."""

    path: str
    name: str
    kind: FileKind
    size: int
    mode: int
    uid: int
    gid: int
    owner: str
    group: str
    mtime: float
    target: str | None = None


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``path`` is absolute. "rename" names the old path, "create" the new; "overflow": events were lost."""

    kind: WatchKind
    path: str
    is_dir: bool


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a folder on its way in or out; the bytes of a file follow it. ``path`` is relative, "" the
    folder itself. ``uid`` and ``gid`` None on the way in: whoever writes owns it."""

    path: str
    kind: FileKind
    mode: int = 0o644
    size: int = 0
    uid: int | None = None
    gid: int | None = None
    mtime: float | None = None
    target: str | None = None
