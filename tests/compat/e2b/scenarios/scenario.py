"""What a user of E2B's Python clients does in a day. Prints one JSON object: what came of each part.

    python scenario.py PART...

It runs with whatever version is installed beside the interpreter that runs it, so it uses only what all have.
"""

from __future__ import annotations

import json
import sys
import traceback
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from e2b import (
    CommandExitException,
    NotFoundException,
    Sandbox,
    SandboxQuery,
    TimeoutException,
)
from e2b.sandbox.commands.command_handle import PtySize
from e2b_code_interpreter import Sandbox as CodeSandbox


def sandboxes(sandbox: Sandbox) -> dict[str, Any]:
    mark = uuid.uuid4().hex
    with Sandbox.create(timeout=120, metadata={"mark": mark, "ü": "ä b"}, envs={"GIVEN": "1"}) as one:
        two = Sandbox.create(metadata={"mark": mark})
        info = one.get_info()
        pages = Sandbox.list(query=SandboxQuery(metadata={"mark": mark}), limit=1)
        listed = []
        while pages.has_next:
            listed.append([each.sandbox_id for each in pages.next_items()])
        again = Sandbox.connect(one.sandbox_id)
        one.set_timeout(600)
        outcome = {
            "pages": [len(page) for page in listed],
            "both": {id for page in listed for id in page} == {one.sandbox_id, two.sandbox_id},
            "metadata": dict(info.metadata) == {"mark": mark, "ü": "ä b"},
            "state": str(getattr(info.state, "value", info.state)),
            "lasts": round((info.end_at - info.started_at).total_seconds()),
            "longer": round((one.get_info().end_at - info.started_at).total_seconds()) >= 600,
            "given": again.commands.run("echo $GIVEN").stdout,
            "running": one.is_running(),
            "metrics": isinstance(one.get_metrics(), list),
            "killed": [two.kill(), two.kill(), Sandbox.kill(two.sandbox_id)],
            "runs on": two.is_running(),
        }
    return outcome | {"after with": one.is_running()}


def commands(sandbox: Sandbox) -> dict[str, Any]:
    said: list[str] = []
    done = sandbox.commands.run(
        "echo out; echo err >&2; echo $A; pwd", envs={"A": "ä"}, cwd="/tmp", on_stdout=said.append
    )
    as_root = sandbox.commands.run("id -un", user="root").stdout
    try:
        sandbox.commands.run("echo no >&2; exit 3")
    except CommandExitException as error:
        failed = [error.exit_code, error.stderr]
    try:
        sandbox.commands.run("sleep 60", timeout=1)
    except TimeoutException:
        timed_out = True
    handle = sandbox.commands.run("read line; echo got $line", background=True, stdin=True)
    there = [process for process in sandbox.commands.list() if process.pid == handle.pid]
    sandbox.commands.send_stdin(handle.pid, "ping\n")
    answered = handle.wait().stdout
    sleeper = sandbox.commands.run("echo begun; sleep 600", background=True)
    sleeper.disconnect()
    followed = sandbox.commands.connect(sleeper.pid)
    killed = [sandbox.commands.kill(sleeper.pid)]
    try:
        followed.wait()
    except CommandExitException as error:
        ended_by = error.exit_code != 0
    killed.append(sandbox.commands.kill(sleeper.pid))
    return {
        "done": [done.exit_code, done.stdout, done.stderr, "".join(said)],
        "as root": as_root,
        "failed": failed,
        "timed out": timed_out,
        "listed": len(there),
        "answered": answered,
        "killed": killed,
        "ended by": ended_by,
    }


def terminal(sandbox: Sandbox) -> dict[str, Any]:
    handle = sandbox.pty.create(PtySize(rows=24, cols=80), timeout=60)
    sandbox.pty.resize(handle.pid, PtySize(rows=30, cols=100))
    sandbox.pty.send_stdin(handle.pid, b"stty size; exit\n")
    said = bytearray()
    result = handle.wait(on_pty=said.extend)
    return {"exit code": result.exit_code, "size": b"30 100" in said}


def files(sandbox: Sandbox) -> dict[str, Any]:
    text, binary = "grüße\n", bytes(range(256))
    written = sandbox.files.write("notes/text.txt", text)
    sandbox.files.write("/tmp/binary", binary)
    made = [sandbox.files.make_dir("notes/deep/deeper"), sandbox.files.make_dir("notes")]
    watch = sandbox.files.watch_dir("notes")
    renamed = sandbox.files.rename("notes/text.txt", "notes/new.txt")
    sandbox.commands.run("true")
    seen = {event.name for event in watch.get_new_events()}
    watch.stop()
    listed = sorted(entry.name for entry in sandbox.files.list("notes", depth=2))
    info = sandbox.files.get_info("notes/new.txt")
    streamed = b"".join(sandbox.files.read("/tmp/binary", format="stream"))
    there = sandbox.files.exists("notes/new.txt")
    sandbox.files.remove("notes")
    try:
        sandbox.files.read("notes/new.txt")
    except NotFoundException:
        gone = True
    return {
        "written": written.path,
        "bytes": bytes(sandbox.files.read("/tmp/binary", format="bytes")) == binary,
        "streamed": streamed == binary,
        "made": made,
        "renamed": renamed.path,
        "seen": sorted(seen & {"text.txt", "new.txt"}),
        "listed": listed,
        "size": info.size == len(text.encode()),
        "there": [there, sandbox.files.exists("notes/new.txt")],
        "gone": gone,
    }


def code(sandbox: CodeSandbox) -> dict[str, Any]:
    said: list[str] = []
    sandbox.run_code("x = 20")
    shown = sandbox.run_code("print('hello'); 2 * x + 2", on_stdout=lambda message: said.append(message.line))
    wrong = sandbox.run_code("1 / 0")
    context = sandbox.create_code_context(cwd="/tmp")
    elsewhere = sandbox.run_code("import os; os.getcwd(), 'x' in globals()", context=context)
    chart = sandbox.run_code("import matplotlib.pyplot as plt; plt.bar(['a'], [1]); plt.show()")
    try:
        sandbox.run_code("while True: pass", timeout=1)
    except TimeoutException:
        timed_out = True
    return {
        "text": shown.text,
        "said": said,
        "error": wrong.error.name if wrong.error else None,
        "elsewhere": elsewhere.text,
        "chart": type(chart.results[0].chart).__name__,
        "timed out": timed_out,
        "kept": sandbox.run_code("x").text,
        "given": sandbox.run_code("import os; os.environ['A']", envs={"A": "1"}).text,
    }


def pausing(sandbox: Sandbox) -> dict[str, Any]:
    asks = sandbox.commands.run("read line; echo got $line", background=True, stdin=True)
    sandbox.pause()
    sandbox.pause()
    state = sandbox.get_info().state
    there = sandbox.is_running()
    try:
        sandbox.commands.run("true")
    except TimeoutException:
        refused = True
    again = Sandbox.connect(sandbox.sandbox_id)
    followed = again.commands.connect(asks.pid)
    again.commands.send_stdin(asks.pid, "it\n")
    return {
        "state": str(getattr(state, "value", state)),
        "running": [there, again.is_running()],
        "refused": refused,
        "goes on": followed.wait().stdout,
    }


def snapshots(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.files.write("/tmp/file", "kept")
    snapshot = sandbox.create_snapshot()
    with Sandbox.create(snapshot.snapshot_id) as made:
        read = made.files.read("/tmp/file")
    listed = sandbox.list_snapshots().next_items()
    forks = sandbox.fork(count=2) if hasattr(sandbox, "fork") else None
    for fork in forks or []:
        fork.kill()
    return {
        "read": read,
        "listed": [one.snapshot_id for one in listed] == [snapshot.snapshot_id],
        "deleted": [Sandbox.delete_snapshot(snapshot.snapshot_id) for _ in range(2)],
        "forks": None if forks is None else len({fork.sandbox_id for fork in forks}),
    }


def errors(sandbox: Sandbox) -> dict[str, Any]:
    def named(call: Callable[[], object]) -> str:
        try:
            call()
        except Exception as error:
            return type(error).__name__
        return "nothing"

    gone = Sandbox.create()
    gone.kill()
    refused = "e2b_" + "0" * 40
    return {
        "wrong key": named(lambda: Sandbox.create(api_key=refused)),
        "no template": named(lambda: Sandbox.create("no-such-template")),
        "no sandbox": named(lambda: Sandbox.connect("sb" + "a" * 20)).replace("Sandbox", "", 1),
        "ended": named(lambda: gone.commands.run("true")),
        "no process": named(lambda: sandbox.commands.connect(99999)),
        "no folder": named(lambda: sandbox.files.list("/nowhere")),
    }


PARTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    part.__name__: part for part in (sandboxes, commands, terminal, files, code, pausing, snapshots, errors)
}


def main() -> None:
    outcome: dict[str, Any] = {}
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox.create())
        for name in sys.argv[1:]:
            try:
                own = stack.enter_context(CodeSandbox.create()) if name == "code" else sandbox
                outcome[name] = PARTS[name](own)
            except Exception:
                outcome[name] = traceback.format_exc()
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
