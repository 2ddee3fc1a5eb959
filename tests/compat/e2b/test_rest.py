"""What E2B's clients can do, and no other test here comes by: rare calls, calls of versions long gone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import e2b
import httpx
import pytest

from sandlot.server.local import LocalServer
from tests.conftest import TEMPLATES_DIR
from tests.leftovers import Footprint

from .environment import key_of

ASKS_FOR_A_PASSWORD = (
    "import http.server\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(401)\n"
    "        self.send_header('www-authenticate', 'Basic realm=\"x\"')\n"
    "        self.end_headers()\n"
    "print('ready', flush=True)\n"
    "http.server.HTTPServer(('127.0.0.1', 8000), Handler).serve_forever()\n"
)


@pytest.fixture
def api(server: LocalServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"X-API-Key": key_of(server)}, timeout=60)


@pytest.fixture
def own_server(footprint: Footprint, tmp_path: Path) -> Iterator[LocalServer]:
    """One that may be stopped."""
    server = LocalServer(tmp_path, TEMPLATES_DIR)
    server.start()
    yield server
    server.end()


@pytest.mark.e2b("SandboxUnreachableException")
def test_a_server_that_stops_says_so_and_the_command_goes_on(own_server: LocalServer) -> None:
    url = own_server.url
    sandbox = e2b.Sandbox.create(api_url=url, sandbox_url=url, api_key=key_of(own_server))
    command = sandbox.commands.run("echo begun; read line; echo got $line", background=True, stdin=True)
    with pytest.raises(e2b.SandboxUnreachableException, match="the server is stopping"):
        command.wait(on_stdout=lambda _: own_server.stop())
    own_server.start()
    again = sandbox.commands.connect(command.pid)
    sandbox.commands.send_stdin(command.pid, "it\n")
    assert "got it\n" in again.wait().stdout


@pytest.mark.e2b("CommandHandle.close_stdin")
def test_the_end_of_input(sandbox: e2b.Sandbox) -> None:
    handle = sandbox.commands.run("wc -c", background=True, stdin=True)
    handle.send_stdin("12345")
    handle.close_stdin()
    assert handle.wait().stdout.strip() == "5"


@pytest.mark.e2b("GitUpstreamException")
def test_a_branch_that_nobody_else_has(sandbox: e2b.Sandbox) -> None:
    sandbox.git.init("repository")
    with pytest.raises(e2b.GitUpstreamException):
        sandbox.git.pull("repository")


@pytest.mark.e2b("GitAuthException")
def test_a_repository_behind_a_password(sandbox: e2b.Sandbox) -> None:
    sandbox.files.write("server.py", ASKS_FOR_A_PASSWORD)
    sandbox.commands.run("python3 server.py >out 2>&1 & until grep -q ready out; do sleep 0.05; done")
    with pytest.raises(e2b.GitAuthException):
        sandbox.git.clone("http://127.0.0.1:8000/repository.git")


@pytest.mark.e2b("POST /sandboxes/{sandbox_id}/refreshes", "POST /sandboxes/{sandbox_id}/resume")
def test_more_time_as_old_versions_ask_for_it(api: httpx.Client, sandbox: e2b.Sandbox) -> None:
    path = f"/sandboxes/{sandbox.sandbox_id}"
    for call, body, status in (("refreshes", {"duration": 900}, 204), ("resume", {"timeout": 1800}, 201)):
        before = sandbox.get_info().end_at
        answer = api.post(f"{path}/{call}", json=body)
        assert answer.status_code == status, answer.text
        assert sandbox.get_info().end_at > before
    assert answer.json()["sandboxID"] == sandbox.sandbox_id


@pytest.mark.e2b("GET /default-templates", "GET /v2/templates", "GET /templates/aliases/{alias}")
@pytest.mark.e2b("Template.alias_exists")
def test_templates_by_each_way(api: httpx.Client) -> None:
    for path in ("/default-templates", "/v2/templates"):
        answer = api.get(path)
        assert answer.status_code == 200
        assert {"base", "code-interpreter"} <= {template["templateID"] for template in answer.json()}
    assert api.get("/templates/aliases/code-interpreter-v1").json()["templateID"] == "code-interpreter"
    assert api.get("/templates/aliases/nobody").status_code == 404
    assert e2b.Template.alias_exists("base")
    assert not e2b.Template.alias_exists("nobody")


def test_the_example(server: LocalServer) -> None:
    program = Path(__file__).parents[3] / "examples" / "e2b_quickstart.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "sum of y: 6",
        "chart: line ['y']",
        "kernel: Linux",
        "the agent's mistake comes back as data: AttributeError 'DataFrame' object has no attribute 'z'",
    ]
