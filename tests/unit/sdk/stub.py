"""A stand-in for a Sandlot server: the native API over local processes and a local folder, on a real port.

It knows just enough to show what the client does; it isolates nothing and is for tests only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import io
import json
import os
import pty
import secrets
import shutil
import signal
import socket
import struct
import tarfile
import termios
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

KEY = "sl_" + "0" * 40
HOST = {
    "tiers": [
        {"tier": "gvisor", "available": True, "runtime": "/usr/bin/runsc", "version": "1", "missing": []},
        {
            "tier": "container",
            "available": False,
            "runtime": None,
            "version": None,
            "missing": ["install runc"],
        },
    ],
    "cgroup_version": 2,
}


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": str(self)}}


@dataclass
class Command:
    id: int
    process: asyncio.subprocess.Process | None
    args: list[str]
    tag: str = ""
    pid: int = 0
    terminal: bool = False
    output: list[tuple[str, int, bytes]] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})
    exit: dict[str, Any] | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None
    master: int = -1
    #: Whoever follows it is told that its sandbox is paused.
    paused: bool = False

    async def add(self, stream: str, data: bytes) -> None:
        async with self.changed:
            self.output.append((stream, self.ends[stream], data))
            self.ends[stream] += len(data)
            self.changed.notify_all()

    async def end(self, code: int, *, timed_out: bool = False) -> None:
        async with self.changed:
            ended_by = -code if code < 0 else None
            self.exit = {
                "exit_code": 128 - code if code < 0 else code,
                "signal": ended_by,
                "timed_out": timed_out,
                "oom": False,
            }
            self.changed.notify_all()

    def json(self) -> dict[str, Any]:
        ended = self.exit or {"exit_code": None, "signal": None, "timed_out": False, "oom": False}
        return {
            "id": self.id,
            "pid": self.pid,
            "args": self.args,
            "cwd": "/home/user",
            "user": "user",
            "tag": self.tag,
            "terminal": self.terminal,
            "started_at": datetime.now(UTC).isoformat(),
            "running": self.exit is None,
            "stdout_end": self.ends["stdout"],
            "stderr_end": self.ends["stderr"],
            **ended,
        }


@dataclass
class Box:
    data: dict[str, Any]
    home: Path
    commands: dict[int, Command] = field(default_factory=dict)
    contexts: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def path(self, text: str) -> Path:
        return self.home / text.removeprefix("/home/user").lstrip("/")


class Stub:
    """The server. ``refuse`` makes requests fail, ``requests`` remembers them, ``cut`` breaks streams."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.boxes: dict[str, Box] = {}
        #: Newest first; the files of each are in a folder of its name.
        self.snapshots: list[dict[str, Any]] = []
        #: How many of the next fork's children fail.
        self.failing_forks = 0
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.connections: set[tuple[str, int]] = set()
        #: Answers to give instead, first come first served.
        self.refuse: list[Refused] = []
        #: How many event streams to break, each after its first event.
        self.cut = 0
        self.page_size = 1000
        self.app = Starlette(
            routes=self._routes(),
            exception_handlers={Refused: self._refused},  # type: ignore[dict-item]
        )
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    # ── life ──

    def start(self) -> None:
        config = uvicorn.Config(
            self.app, port=self.port, log_level="critical", ws="websockets-sansio", lifespan="off"
        )
        self._server = uvicorn.Server(config)
        ready = threading.Event()
        startup = self._server.startup

        async def started(*args: Any, **kwargs: Any) -> None:
            await startup(*args, **kwargs)
            ready.set()

        self._server.startup = started  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        for box in self.boxes.values():
            for command in box.commands.values():
                _kill(command)
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)

    # ── plumbing ──

    def _routes(self) -> list[Any]:
        one = "/v1/sandboxes/{id}"
        command = one + "/commands/{cid:int}"
        table: list[tuple[str, str, Any]] = [
            ("GET", "/readyz", self.ready),
            ("GET", "/v1/host", self.host),
            ("GET", "/v1/templates", self.templates),
            ("POST", "/v1/sandboxes", self.create),
            ("GET", "/v1/sandboxes", self.list),
            ("GET", one, self.get),
            ("DELETE", one, self.kill),
            ("POST", one + "/timeout", self.timeout),
            ("POST", one + "/pause", self.pause),
            ("POST", one + "/resume", self.resume),
            ("POST", one + "/fork", self.fork),
            ("POST", one + "/rollback", self.rollback),
            ("POST", one + "/snapshots", self.create_snapshot),
            ("GET", "/v1/snapshots", self.list_snapshots),
            ("GET", "/v1/snapshots/{snapshot:path}", self.get_snapshot),
            ("DELETE", "/v1/snapshots/{snapshot:path}", self.delete_snapshot),
            ("GET", one + "/metrics", self.metrics),
            ("GET", one + "/events", self.events),
            ("POST", one + "/commands", self.run),
            ("GET", one + "/commands", self.list_commands),
            ("GET", command, self.get_command),
            ("GET", command + "/output", self.follow),
            ("POST", command + "/stdin", self.stdin),
            ("POST", command + "/stdin/close", self.close_stdin),
            ("POST", command + "/signal", self.signal),
            ("GET", one + "/files", self.read),
            ("PUT", one + "/files", self.write),
            ("DELETE", one + "/files", self.remove),
            ("GET", one + "/files/stat", self.stat),
            ("GET", one + "/files/list", self.list_files),
            ("POST", one + "/files/mkdir", self.mkdir),
            ("POST", one + "/files/move", self.move),
            ("POST", one + "/files/copy", self.copy),
            ("GET", one + "/files/watch", self.watch),
            ("GET", one + "/archive", self.pack),
            ("PUT", one + "/archive", self.unpack),
            ("POST", one + "/code", self.code),
            ("POST", one + "/contexts", self.create_context),
            ("GET", one + "/contexts", self.list_contexts),
            ("DELETE", one + "/contexts/{context}", self.remove_context),
            ("POST", one + "/contexts/{context}/{verb}", self.touch_context),
        ]
        routes: list[Any] = [
            Route(path, self._guarded(handler), methods=[method]) for method, path, handler in table
        ]
        return [*routes, WebSocketRoute(one + "/terminal", self.terminal)]

    def _guarded(self, handler: Any) -> Any:
        async def guarded(request: Request) -> Response:
            self.requests.append((request.method, request.url.path))
            self.connections.add(tuple(request.client or ()))  # type: ignore[arg-type]
            if self.refuse:
                raise self.refuse.pop(0)
            if request.url.path != "/readyz" and request.headers.get("x-api-key") != KEY:
                raise Refused(401, "unauthenticated", "the key is unknown")
            response: Response = await handler(request)
            return response

        return guarded

    async def _refused(self, request: Request, error: Refused) -> Response:
        return JSONResponse(error.body, error.status, error.headers)

    def box(self, request: Any) -> Box:
        id = request.path_params["id"]
        if id not in self.boxes:
            raise Refused(404, "not_found", f"no sandbox has the id {id!r}")
        return self.boxes[id]

    def live(self, request: Any) -> Box:
        box = self.box(request)
        if box.data["state"] == "paused":
            raise Refused(409, "sandbox_paused", f"sandbox {box.data['id']} is paused")
        if box.data["state"] != "running":
            raise Refused(410, "sandbox_gone", f"sandbox {box.data['id']} was killed: {box.data['reason']}")
        return box

    def _stream(self, events: AsyncIterator[dict[str, Any]]) -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            async for event in events:
                yield json.dumps(event).encode() + b"\n"
                if self.cut:
                    self.cut -= 1
                    raise ConnectionError("cut by the test")
            yield b""

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    # ── sandboxes ──

    async def ready(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def host(self, request: Request) -> Response:
        return JSONResponse(HOST)

    async def templates(self, request: Request) -> Response:
        one = {"name": "base", "id": "abc", "size_bytes": 5, "built_at": _now(), "description": "Debian"}
        return JSONResponse({"templates": [one]})

    async def create(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        box = self._make(body)
        if "snapshot" in body:
            snapshot = self._snapshot(body["snapshot"])
            shutil.copytree(self.folder / snapshot["id"], box.home, dirs_exist_ok=True)
            box.data |= {"snapshot_id": snapshot["id"], "generation": 1}
        return JSONResponse(box.data, 201)

    def _make(self, body: dict[str, Any]) -> Box:
        id = _id("sb")
        home = self.folder / id
        home.mkdir()
        timeout = body.get("timeout_s", 300)
        data = {
            "id": id,
            "template": body.get("template", "base"),
            "template_id": "abc",
            "isolation": body.get("isolation", "gvisor"),
            "state": "running",
            "reason": None,
            "cpus": body.get("cpus", 1.0),
            "memory_mib": body.get("memory_mib", 1024),
            "disk_mib": body.get("disk_mib", 10240),
            "pids": body.get("pids", 512),
            "env": body.get("env", {}),
            "metadata": body.get("metadata", {}),
            "internet": body.get("internet", True),
            "created_at": _now(),
            "started_at": _now(),
            "deadline": None if timeout is None else _now(timeout),
            "ended_at": None,
            "ingress": body.get("ingress", "public"),
            "ingress_token": "t" if body.get("ingress") == "token" else None,
            "domain": "box.test",
            "port_url": f"https://{{port}}-{id}.box.test",
            "on_timeout": body.get("on_timeout", "kill"),
            "pause_memory": body.get("pause_memory", True),
            "pause_idle_s": body.get("pause_idle_s"),
            "auto_resume": body.get("auto_resume", True),
            "keep_paused_s": body.get("keep_paused_s"),
            "paused_at": None,
            "depth": None,
            "generation": 0,
            "snapshot_id": None,
            "parent_id": None,
            "hooks": {"on_create": None, "on_resume": None, "ready": None} | body.get("hooks", {}),
            "a_field_of_tomorrow": 1,
        }
        self.boxes[id] = Box(data, home)
        return self.boxes[id]

    async def list(self, request: Request) -> Response:
        states = request.query_params.get("state", "creating,running,paused,killing").split(",")
        labels = [label.split(":", 1) for label in request.query_params.getlist("metadata")]
        found = [
            box.data
            for box in self.boxes.values()
            if box.data["state"] in states and all(box.data["metadata"].get(k) == v for k, v in labels)
        ]
        start = int(request.query_params.get("cursor", 0))
        size = min(int(request.query_params["limit"]), self.page_size)
        end = start + size
        return JSONResponse(
            {"sandboxes": found[start:end], "next_cursor": str(end) if end < len(found) else None}
        )

    async def get(self, request: Request) -> Response:
        return JSONResponse(self.box(request).data)

    async def kill(self, request: Request) -> Response:
        box = self.box(request)
        killed = box.data["state"] == "running"
        if killed:
            box.data |= {"state": "killed", "reason": "killed by request"}
            box.data |= {"ended_at": _now(), "deadline": None}
            for command in box.commands.values():
                _kill(command)
        return JSONResponse({"killed": killed})

    async def timeout(self, request: Request) -> Response:
        box = self.live(request)
        seconds = (await request.json())["timeout_s"]
        box.data["deadline"] = None if seconds is None else _now(seconds)
        return JSONResponse(box.data)

    async def pause(self, request: Request) -> Response:
        box = self.live(request)
        memory = (await request.json())["memory"]
        box.data |= {"state": "paused", "depth": "disk" if memory else "files", "paused_at": _now()}
        for command in box.commands.values():
            async with command.changed:
                command.paused = True
                command.changed.notify_all()
        return JSONResponse(box.data)

    async def resume(self, request: Request) -> Response:
        box = self.box(request)
        body = await request.json()
        self.bodies.append(body)
        was_paused = box.data["state"] == "paused"
        box.data |= {"state": "running", "depth": None, "paused_at": None}
        box.data["generation"] += was_paused
        if "timeout_s" in body:
            box.data["deadline"] = _now(body["timeout_s"])
        for command in box.commands.values():
            command.paused = False
        return JSONResponse(box.data)

    async def fork(self, request: Request) -> Response:
        box = self.live(request)
        body = await request.json()
        self.bodies.append(body)
        forks: list[dict[str, Any]] = []
        for number in range(body["count"]):
            if number < self.failing_forks:
                error = {"code": "limit_exceeded", "message": "the machine is full"}
                forks.append({"sandbox": None, "error": error})
                continue
            child = self._make({"timeout_s": body["timeout_s"]})
            shutil.copytree(box.home, child.home, dirs_exist_ok=True)
            child.data |= {"parent_id": box.data["id"], "generation": 1}
            forks.append({"sandbox": child.data, "error": None})
        self.failing_forks = 0
        return JSONResponse({"forks": forks})

    async def rollback(self, request: Request) -> Response:
        box = self.box(request)
        snapshot = self._snapshot((await request.json())["snapshot"])
        shutil.rmtree(box.home)
        shutil.copytree(self.folder / snapshot["id"], box.home)
        box.data |= {"state": "running", "snapshot_id": snapshot["id"]}
        return JSONResponse(box.data)

    async def create_snapshot(self, request: Request) -> Response:
        box = self.live(request)
        body = await request.json()
        self.bodies.append(body)
        name = body.get("name")
        for one in self.snapshots:
            if name is not None and one["name"] == name:
                if not body.get("take_name"):
                    raise Refused(409, "conflict", f"there is a snapshot {name!r}")
                one["name"] = None
        copied = (
            "template",
            "template_id",
            "isolation",
            "cpus",
            "memory_mib",
            "disk_mib",
            "pids",
            "internet",
        )
        made = {key: box.data[key] for key in copied} | {
            "id": _id("sn"),
            "name": name,
            "sandbox_id": box.data["id"],
            "memory": body.get("memory", True),
            "created_at": _now(),
            "expires_at": _now(body["expires_s"]) if "expires_s" in body else None,
            "size_bytes": 3 * 1024 * 1024,
            "stored_bytes": 1024 * 1024,
            "a_field_of_tomorrow": 1,
        }
        shutil.copytree(box.home, self.folder / str(made["id"]))
        self.snapshots.insert(0, made)
        return JSONResponse(made, 201)

    async def list_snapshots(self, request: Request) -> Response:
        wanted = request.query_params.get("sandbox_id")
        found = [one for one in self.snapshots if wanted in (None, one["sandbox_id"])]
        start = int(request.query_params.get("cursor", 0))
        end = start + min(int(request.query_params["limit"]), self.page_size)
        return JSONResponse(
            {"snapshots": found[start:end], "next_cursor": str(end) if end < len(found) else None}
        )

    async def get_snapshot(self, request: Request) -> Response:
        return JSONResponse(self._snapshot(request.path_params["snapshot"]))

    async def delete_snapshot(self, request: Request) -> Response:
        try:
            self.snapshots.remove(self._snapshot(request.path_params["snapshot"]))
        except Refused:
            return JSONResponse({"deleted": False})
        return JSONResponse({"deleted": True})

    def _snapshot(self, id_or_name: str) -> dict[str, Any]:
        for one in self.snapshots:
            if id_or_name in (one["id"], one["name"]):
                return one
        raise Refused(404, "not_found", f"there is no snapshot {id_or_name!r}")

    async def metrics(self, request: Request) -> Response:
        self.live(request)
        mib = 1024 * 1024
        return JSONResponse(
            {
                "at": _now(),
                "cpu_seconds": 1.5,
                "memory_bytes": 10 * mib,
                "memory_limit_bytes": 1024 * mib,
                "disk_used_bytes": mib,
                "disk_limit_bytes": 10240 * mib,
                "rx_bytes": 100,
                "tx_bytes": 200,
                "processes": 2,
            }
        )

    async def events(self, request: Request) -> Response:
        data = self.box(request).data
        log = [
            (data["created_at"], "created", None, "creating", None),
            (data["started_at"], "started", "creating", "running", None),
        ]
        if data["state"] == "killed":
            log.append((data["ended_at"], "killed", "running", "killed", data["reason"]))
        names = ("at", "kind", "from", "to", "reason")
        return JSONResponse(
            {"events": [dict(zip(names, line, strict=True)) | {"details": {}} for line in log]}
        )

    # ── commands ──

    async def run(self, request: Request) -> Response:
        box = self.live(request)
        body = await request.json()
        self.bodies.append(body)
        command = await self._start(box, body)
        if body.get("background"):
            return JSONResponse(command.json(), 201)

        async def events() -> AsyncIterator[dict[str, Any]]:
            yield {"type": "started", "id": command.id, "pid": command.pid}
            async for event in _follow(command, 0, 0):
                yield event

        return self._stream(events())

    async def _start(self, box: Box, body: dict[str, Any]) -> Command:
        args = body.get("args") or ["/bin/bash", "-c", body["command"]]
        if shutil.which(args[0]) is None:
            raise Refused(404, "not_found", f"no such program: {args[0]!r}")
        env = {"PATH": os.environ["PATH"], "HOME": str(box.home), **box.data["env"], **body.get("env", {})}
        process = await asyncio.create_subprocess_exec(
            *args,
            cwd=box.path(body.get("cwd", "")),
            env=env,
            stdin=asyncio.subprocess.PIPE if body.get("stdin") else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        command = Command(len(box.commands) + 1, process, args, body.get("tag", ""), process.pid)
        box.commands[command.id] = command
        command.task = asyncio.create_task(_serve(command, body.get("timeout_s")))
        return command

    def command(self, request: Any) -> Command:
        commands = self.live(request).commands
        id = request.path_params["cid"]
        if id not in commands:
            raise Refused(404, "not_found", f"the sandbox has no command {id}")
        return commands[id]

    async def list_commands(self, request: Request) -> Response:
        return JSONResponse({"commands": [one.json() for one in self.live(request).commands.values()]})

    async def get_command(self, request: Request) -> Response:
        return JSONResponse(self.command(request).json())

    async def follow(self, request: Request) -> Response:
        command = self.command(request)
        starts = [
            int(request.query_params.get(f"{name}_from", command.ends[name])) for name in ("stdout", "stderr")
        ]
        return self._stream(_follow(command, *starts))

    async def stdin(self, request: Request) -> Response:
        process = self.command(request).process
        if process is None or process.stdin is None:
            raise Refused(409, "conflict", "the command has no standard input")
        async for chunk in request.stream():
            process.stdin.write(chunk)
            await process.stdin.drain()
        return Response(status_code=204)

    async def close_stdin(self, request: Request) -> Response:
        process = self.command(request).process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        return Response(status_code=204)

    async def signal(self, request: Request) -> Response:
        command, body = self.command(request), await request.json()
        value = body["signal"]
        name = f"SIG{value}"
        if isinstance(value, str) and name not in signal.Signals.__members__:
            raise Refused(400, "invalid_argument", f"signal: there is no {value!r}")
        number = signal.Signals[name] if isinstance(value, str) else value
        if command.exit is None:
            os.killpg(command.pid, number)
        return Response(status_code=204)

    async def terminal(self, websocket: WebSocket) -> None:
        query = websocket.query_params
        try:
            if websocket.headers.get("x-api-key") != KEY:
                raise Refused(401, "unauthenticated", "the key is unknown")
            box = self.live(websocket)
            if "command_id" in query:
                command = box.commands[int(query["command_id"])]
            else:
                command = await _open_terminal(box, query)
        except Refused as error:
            await websocket.send_denial_response(JSONResponse(error.body, error.status))
            return
        await websocket.accept()
        await websocket.send_text(json.dumps({"type": "started", "id": command.id, "pid": command.pid}))
        showing = asyncio.create_task(_show(websocket, command, int(query.get("from", 0))))
        with contextlib.suppress(WebSocketDisconnect, OSError):
            while (message := await websocket.receive())["type"] == "websocket.receive":
                if message.get("bytes") is not None:
                    os.write(command.master, message["bytes"])
                else:
                    size = json.loads(message["text"])
                    _resize(command.master, size["rows"], size["cols"])
        showing.cancel()

    # ── files ──

    def _at(self, request: Request) -> Path:
        path = self.live(request).path(request.query_params["path"])
        if not path.exists() and not path.is_symlink():
            raise Refused(404, "not_found", f"no such file: {request.query_params['path']!r}")
        return path

    async def read(self, request: Request) -> Response:
        data = self._at(request).read_bytes()
        start = int(request.query_params.get("offset", 0))
        length = int(request.query_params.get("length", len(data)))
        return Response(data[start : start + length], media_type="application/octet-stream")

    async def write(self, request: Request) -> Response:
        path = self.live(request).path(request.query_params["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        part.chmod(int(request.query_params.get("mode", "0644"), 8))
        part.replace(path)
        return JSONResponse(_file(path))

    async def remove(self, request: Request) -> Response:
        path = self._at(request)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return Response(status_code=204)

    async def stat(self, request: Request) -> Response:
        return JSONResponse(_file(self._at(request), follow=request.query_params.get("follow") != "false"))

    async def list_files(self, request: Request) -> Response:
        return JSONResponse({"files": [_file(path) for path in sorted(self._at(request).iterdir())]})

    async def mkdir(self, request: Request) -> Response:
        path = self.live(request).path((await request.json())["path"])
        made = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        return JSONResponse({"made": made})

    async def move(self, request: Request) -> Response:
        body, box = await request.json(), self.live(request)
        return JSONResponse(_file(box.path(body["source"]).rename(box.path(body["target"]))))

    async def copy(self, request: Request) -> Response:
        body, box = await request.json(), self.live(request)
        return JSONResponse(_file(Path(shutil.copy(box.path(body["source"]), box.path(body["target"])))))

    async def watch(self, request: Request) -> Response:
        path = self._at(request)

        async def events() -> AsyncIterator[dict[str, Any]]:
            known = set(path.iterdir())
            yield {"type": "watching"}
            while True:
                await asyncio.sleep(0.01)
                for new in set(path.iterdir()) - known:
                    known.add(new)
                    yield {"type": "event", "kind": "create", "path": str(new), "is_dir": new.is_dir()}
                    yield {"type": "keepalive"}

        return self._stream(events())

    async def pack(self, request: Request) -> Response:
        path, buffer = self._at(request), io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for child in sorted(path.iterdir()):
                archive.add(child, child.name)
        return Response(buffer.getvalue(), media_type="application/x-tar")

    async def unpack(self, request: Request) -> Response:
        path = self.live(request).path(request.query_params["path"])
        path.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(await request.body())) as archive:
            archive.extractall(path, filter="fully_trusted")
            return JSONResponse({"files": len(archive.getnames())})

    # ── code ──

    async def code(self, request: Request) -> Response:
        box, body = self.live(request), await request.json()
        context = body.get("context", "default")
        if context != "default" and context not in box.contexts:
            raise Refused(404, "not_found", f"no context {context!r}")
        variables = box.variables.setdefault(context, {})
        return self._stream(_evaluate(body["code"], variables))

    async def create_context(self, request: Request) -> Response:
        box, body = self.live(request), await request.json()
        id = f"c{len(box.contexts)}"
        context = {"id": id, "language": body["language"], "cwd": body.get("cwd", "/home/user")}
        box.contexts[id] = context
        return JSONResponse(context, 201)

    async def list_contexts(self, request: Request) -> Response:
        return JSONResponse({"contexts": list(self.live(request).contexts.values())})

    async def remove_context(self, request: Request) -> Response:
        self.live(request).contexts.pop(request.path_params["context"])
        return Response(status_code=204)

    async def touch_context(self, request: Request) -> Response:
        box, id = self.live(request), request.path_params["context"]
        if request.path_params["verb"] == "restart":
            box.variables.pop(id, None)
            return JSONResponse(box.contexts[id])
        return Response(status_code=204)


def _id(prefix: str) -> str:
    return prefix + "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(20))


def _now(later: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=later)).isoformat().replace("+00:00", "Z")


def _kill(command: Command) -> None:
    if command.exit is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)


async def _serve(command: Command, timeout: float | None) -> None:
    process = command.process
    assert process is not None

    async def pump(name: str, pipe: asyncio.StreamReader | None) -> None:
        assert pipe is not None
        while data := await pipe.read(65536):
            await command.add(name, data)

    pumps = asyncio.gather(pump("stdout", process.stdout), pump("stderr", process.stderr))
    timed_out = False
    try:
        await asyncio.wait_for(asyncio.shield(process.wait()), timeout)
    except TimeoutError:
        timed_out = True
        _kill(command)
    await pumps
    await command.end(await process.wait(), timed_out=timed_out)


async def _follow(command: Command, stdout: int, stderr: int) -> AsyncIterator[dict[str, Any]]:
    starts = {"stdout": stdout, "stderr": stderr}
    seen = 0
    while True:
        async with command.changed:
            while command.exit is None and seen == len(command.output) and not command.paused:
                await command.changed.wait()
        while seen < len(command.output):
            stream, offset, data = command.output[seen]
            seen += 1
            skipped = max(0, starts[stream] - offset)
            if data[skipped:]:
                text = base64.b64encode(data[skipped:]).decode()
                yield {"type": stream, "offset": offset + skipped, "data": text}
                yield {"type": "keepalive"}
        if command.exit is not None:
            yield {"type": "exit", **command.exit}
            return
        if command.paused:
            yield {"type": "error", "error": {"code": "sandbox_paused", "message": "the sandbox is paused"}}
            return


async def _open_terminal(box: Box, query: Any) -> Command:
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(box.home)
        line = query.get("command", "exec bash --norc --noprofile")
        env = {"PATH": os.environ["PATH"], "TERM": "xterm", "PS1": "$ "}
        os.execve("/bin/bash", ["bash", "-c", line], env)
    _resize(master, int(query.get("rows", 24)), int(query.get("cols", 80)))
    command = Command(len(box.commands) + 1, None, ["bash"], pid=pid, terminal=True, master=master)
    box.commands[command.id] = command
    command.task = asyncio.create_task(_pump_terminal(command))
    return command


async def _pump_terminal(command: Command) -> None:
    with contextlib.suppress(OSError):
        while data := await asyncio.to_thread(os.read, command.master, 65536):
            await command.add("stdout", data)
    _, status = await asyncio.to_thread(os.waitpid, command.pid, 0)
    await command.end(os.waitstatus_to_exitcode(status))


async def _show(websocket: WebSocket, command: Command, start: int) -> None:
    async for event in _follow(command, start, 0):
        if event["type"] == "stdout":
            await websocket.send_bytes(base64.b64decode(event["data"]))
        elif event["type"] == "exit":
            await websocket.send_text(json.dumps(event))
            await websocket.close(1000)


def _resize(master: int, rows: int, cols: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def _file(path: Path, *, follow: bool = True) -> dict[str, Any]:
    status = path.stat() if follow else path.lstat()
    link = path.is_symlink() and not follow
    return {
        "path": f"/home/user/{path.name}",
        "name": path.name,
        "kind": "symlink" if link else "dir" if path.is_dir() else "file",
        "size": status.st_size,
        "mode": f"{status.st_mode & 0o7777:04o}",
        "uid": 1000,
        "gid": 1000,
        "owner": "user",
        "group": "user",
        "mtime": status.st_mtime,
        "target": os.readlink(path) if link else None,
    }


async def _evaluate(code: str, variables: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """All but the last line is executed; the last one's value is shown where it is an expression."""
    printed: list[str] = []
    variables["print"] = lambda *args: printed.append(" ".join(map(str, args)) + "\n")
    *body, last = code.split("\n")
    value = error = None
    try:
        exec("\n".join(body), variables)
        try:
            value = eval(last, variables)
        except SyntaxError:
            exec(last, variables)
    except Exception as raised:
        error = raised
    for text in printed:
        yield {"type": "stdout", "text": text}
    if value is not None:
        yield {"type": "result", "is_main": True, "text": repr(value), "png": "aGk=", "extra": {"x/y": "z"}}
    if error is not None:
        yield {"type": "error", "name": type(error).__name__, "value": str(error), "traceback": "Traceback"}
    yield {"type": "done", "execution_count": 1, "duration_ms": 1.5}
