"""Pausing through E2B's Python client: by request, at the timeout; woken by connecting, or by any request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import e2b
import e2b_code_interpreter
import httpx
import pytest
from e2b import AsyncSandbox, Sandbox, SandboxQuery, SandboxState

from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.integration.api.wire import until
from tests.leftovers import Footprint

from .conftest import AsyncMake, Make
from .environment import key_of

COUNTS = "n=0; while sleep 0.02; do echo $((n += 1)) > new && mv new count; done"
WAKES: Any = {"on_timeout": "pause", "auto_resume": True}


@pytest.fixture(scope="module")
def sandbox(server: LocalServer) -> Iterator[Sandbox]:
    """One for all tests here, which find it running and leave it so."""
    sandbox = Sandbox.create("base", timeout=1800, metadata={"for": "pausing"})
    yield sandbox
    sandbox.kill()


@pytest.fixture(scope="module")
def wakeful(server: LocalServer) -> Iterator[Sandbox]:
    """One that any request wakes, with a web server inside."""
    sandbox = Sandbox.create("base", timeout=1800, lifecycle=WAKES)
    sandbox.commands.run("echo hello > greeting; python3 -m http.server 8000 >log 2>&1 &", timeout=60)
    sandbox.commands.run("until curl -s localhost:8000 >/dev/null; do sleep 0.05; done", timeout=60)
    yield sandbox
    sandbox.kill()


@pytest.fixture(scope="module")
def hasty(footprint: Footprint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The way to a server that puts what is paused on disk at once."""
    local = LocalServer(tmp_path_factory.mktemp("hasty"), TEMPLATES_DIR, SANDLOT_PAUSE_TO_DISK_AFTER_S="0")
    local.start()
    yield {"api_url": local.url, "sandbox_url": local.url, "api_key": key_of(local)}
    local.end()


def state_of(sandbox: Sandbox) -> SandboxState:
    return sandbox.get_info().state


def listed(*states: SandboxState) -> list[str]:
    query = SandboxQuery(metadata={"for": "pausing"}, state=list(states))
    return [one.sandbox_id for one in Sandbox.list(query=query).next_items()]


@pytest.mark.e2b("Sandbox.pause", "Sandbox.beta_pause", "POST /sandboxes/{sandboxID}/pause")
def test_it_goes_on_where_it_was(sandbox: Sandbox) -> None:
    asks = sandbox.commands.run("read line; echo got $line", background=True, stdin=True)
    sandbox.files.write("file", "kept")
    assert sandbox.pause() is True
    assert sandbox.is_running() is False
    info = sandbox.get_info()
    assert (info.state, info.metadata) == (SandboxState.PAUSED, {"for": "pausing"})
    assert info.end_at >= info.started_at
    assert listed(SandboxState.PAUSED) == listed() == [sandbox.sandbox_id]
    assert listed(SandboxState.RUNNING) == []
    assert Sandbox.beta_pause(sandbox.sandbox_id) is False  # it is paused already
    again = Sandbox.connect(sandbox.sandbox_id, timeout=1800)
    assert (again.is_running(), state_of(again)) == (True, SandboxState.RUNNING)
    assert listed(SandboxState.RUNNING) == [sandbox.sandbox_id]
    followed = again.commands.connect(asks.pid)
    again.commands.send_stdin(asks.pid, "it\n")
    assert followed.wait().stdout == "got it\n"
    assert again.files.read("file") == "kept"


def test_nothing_happens_while_it_is_paused(sandbox: Sandbox) -> None:
    counts = sandbox.commands.run(COUNTS, background=True)
    until(lambda: sandbox.files.exists("count"), "it counts")
    for _ in range(3):
        sandbox.pause()
        sandbox.connect()
        before = int(sandbox.files.read("count"))
        until(lambda at=before: int(sandbox.files.read("count")) > at, "it counts on")  # type: ignore[misc]
    sandbox.commands.kill(counts.pid)


def test_what_needs_it_awake_says_that_it_is_paused(sandbox: Sandbox) -> None:
    command = sandbox.commands.run("echo begun; sleep 600", background=True)
    sandbox.pause()
    with pytest.raises(e2b.SandboxNotRunningException):
        command.wait()
    with pytest.raises(e2b.SandboxNotRunningException, match="it is paused; connect to it"):
        sandbox.commands.run("true")
    with pytest.raises(e2b.SandboxNotRunningException, match="it is paused"):
        sandbox.files.read("file")
    with pytest.raises(e2b.SandboxNotFoundException):
        sandbox.set_timeout(60)
    assert sandbox.get_metrics() == []
    assert sandbox.is_running() is False
    sandbox.connect()
    sandbox.commands.kill(command.pid)


@pytest.mark.e2b("Sandbox.pause(mode='filesystem')")
def test_files_alone(sandbox: Sandbox) -> None:
    command = sandbox.commands.run("sleep 600", background=True)
    sandbox.files.write("/home/user/deep/file", "kept")
    assert sandbox.pause(mode="filesystem") is True
    assert sandbox.is_running() is False
    sandbox.connect()
    assert sandbox.files.read("/home/user/deep/file") == "kept"
    assert command.pid not in [one.pid for one in sandbox.commands.list()]
    assert sandbox.commands.run("echo anew").stdout == "anew\n"


@pytest.mark.e2b("Sandbox.pause(strict=)")
def test_a_healthy_one_is_paused(sandbox: Sandbox) -> None:
    assert sandbox.pause(strict=True) is True
    with pytest.raises(e2b.SandboxException, match="not supported yet") as raised:
        sandbox.connect(on_resume="reboot")
    assert raised.value.status_code == 501
    sandbox.connect()
    assert sandbox.connect(on_resume="reboot").is_running() is True


@pytest.mark.e2b("Sandbox.create(lifecycle=)")
def test_its_timeout_pauses_it(make: Make) -> None:
    sandbox = make(timeout=1, lifecycle={"on_timeout": "pause"})
    until(lambda: state_of(sandbox) is SandboxState.PAUSED, "it is paused")
    assert sandbox.get_info().lifecycle == {"on_timeout": "pause", "auto_resume": False}
    assert sandbox.is_running() is False
    sandbox.connect(timeout=600)
    assert sandbox.is_running() is True
    sandbox.set_timeout(0)
    until(lambda: state_of(sandbox) is SandboxState.PAUSED, "it is paused at once")
    assert sandbox.kill() is True
    assert sandbox.kill() is False
    with pytest.raises(e2b.SandboxNotFoundException):
        sandbox.connect()


def test_a_command_wakes_it(wakeful: Sandbox) -> None:
    assert wakeful.pause() is True
    assert state_of(wakeful) is SandboxState.PAUSED  # looking wakes nobody
    assert wakeful.commands.run("cat greeting").stdout == "hello\n"
    assert state_of(wakeful) is SandboxState.RUNNING
    assert wakeful.get_info().lifecycle == {"on_timeout": "pause", "auto_resume": True}


def test_a_file_wakes_it(wakeful: Sandbox) -> None:
    wakeful.pause()
    assert wakeful.files.read("greeting") == "hello\n"


def test_a_signed_address_wakes_it(wakeful: Sandbox) -> None:
    address = wakeful.download_url("greeting")
    wakeful.pause()
    assert httpx.get(address, timeout=60).text == "hello\n"


def test_a_visitor_of_its_port_wakes_it(wakeful: Sandbox, server: LocalServer) -> None:
    wakeful.pause()
    headers = {"E2b-Sandbox-Id": wakeful.sandbox_id, "E2b-Sandbox-Port": "8000"}
    assert httpx.get(f"{server.url}/greeting", headers=headers, timeout=60).text == "hello\n"
    assert wakeful.is_running() is True


def test_a_stranger_wakes_nobody(wakeful: Sandbox, server: LocalServer) -> None:
    wakeful.pause()
    headers = {"E2b-Sandbox-Id": wakeful.sandbox_id, "X-Access-Token": "0" * 40}
    assert httpx.get(f"{server.url}/health", headers=headers).status_code == 401
    assert state_of(wakeful) is SandboxState.PAUSED
    wakeful.connect()


def test_it_comes_back_from_disk(hasty: dict[str, Any]) -> None:
    with e2b_code_interpreter.Sandbox.create(timeout=600, lifecycle=WAKES, **hasty) as sandbox:
        sandbox.run_code("kept = 6 * 7; file = open('open', 'w'); file.write('before, ')")
        asks = sandbox.commands.run("read line; echo got $line", background=True, stdin=True)
        for times in (1, 2):
            pause_to_disk(sandbox, hasty, times)
            sandbox.connect()
        assert sandbox.run_code("kept").text == "42"
        sandbox.run_code("file.write('after'); file.close()")
        assert sandbox.files.read("open") == "before, after"
        followed = sandbox.commands.connect(asks.pid)
        pause_to_disk(sandbox, hasty, 3)
        with pytest.raises(e2b.SandboxNotRunningException):
            followed.wait()
        followed = sandbox.commands.connect(asks.pid)  # which wakes it
        sandbox.commands.send_stdin(asks.pid, "it\n")
        assert followed.wait().stdout == "got it\n"


def pause_to_disk(sandbox: Sandbox, way: dict[str, Any], times: int) -> None:
    """For as many times now."""
    path = f"{way['api_url']}/sandboxes/{sandbox.sandbox_id}/logs"

    def deepened() -> int:
        entries = httpx.get(path, headers={"X-API-Key": way["api_key"]}).json()["logEntries"]
        return [entry["fields"]["kind"] for entry in entries].count("deepened")

    sandbox.pause()
    until(lambda: deepened() == times, "it is on disk")


def test_variables_are_kept(code: e2b_code_interpreter.Sandbox) -> None:
    code.run_code("kept = 6 * 7")
    code.pause()
    code.connect(timeout=1800)
    assert code.run_code("kept").text == "42"


@pytest.mark.e2b("AsyncSandbox.pause", "AsyncSandbox.connect")
async def test_without_blocking(async_make: AsyncMake) -> None:
    sandbox = await async_make(lifecycle=WAKES)
    command = await sandbox.commands.run("read line; echo got $line", background=True, stdin=True)
    assert await sandbox.pause() is True
    assert await AsyncSandbox.pause(sandbox.sandbox_id) is False
    assert (await sandbox.get_info()).state is SandboxState.PAUSED
    with pytest.raises(e2b.SandboxNotRunningException):
        await command.wait()
    followed = await sandbox.commands.connect(command.pid)
    await sandbox.commands.send_stdin(command.pid, "it\n")
    assert (await followed.wait()).stdout == "got it\n"
    await sandbox.pause(mode="filesystem")
    assert (await sandbox.connect()).sandbox_id == sandbox.sandbox_id
    assert await sandbox.is_running() is True


def test_what_the_api_says_of_one_that_is_paused(sandbox: Sandbox, server: LocalServer) -> None:
    path = f"/sandboxes/{sandbox.sandbox_id}"
    with httpx.Client(base_url=server.url, headers={"X-API-Key": key_of(server)}, timeout=60) as api:
        assert api.post(f"{path}/pause", json={"memory": False}).status_code == 204
        assert api.get(path).json()["pauseMode"] == "filesystem"
        assert api.post(f"{path}/pause").status_code == 409
        assert sandbox.sandbox_id not in [one["sandboxID"] for one in api.get("/sandboxes").json()]
        assert api.post(f"{path}/connect", json={}).status_code == 201
        assert api.post(f"{path}/connect", json={"timeout": 1800}).status_code == 200
        assert api.post(f"{path}/pause").status_code == 204
        assert api.get(path).json()["pauseMode"] == "full"
        kinds = [entry["fields"]["kind"] for entry in api.get(f"{path}/logs").json()["logEntries"]]
        assert kinds[-1] == "paused"
        assert api.post(f"{path}/resume", json={"timeout": 1800}).status_code == 201
