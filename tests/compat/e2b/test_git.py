"""The git helpers of E2B's clients: commands in the sandbox, with repositories on its disk."""

from __future__ import annotations

import pytest
from e2b import AsyncSandbox, GitAuthException, GitUpstreamException, InvalidArgumentException, Sandbox

ME = ("Ada", "ada@example.com")


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    """Each test works in a folder of its own."""
    return shared


@pytest.fixture
def async_sandbox(async_shared: AsyncSandbox) -> AsyncSandbox:
    return async_shared


def repository(sandbox: Sandbox, path: str) -> str:
    """A repository with one commit on ``main``."""
    sandbox.git.init(path, initial_branch="main")
    sandbox.files.write(f"{path}/README.md", "hello\n")
    sandbox.git.add(path)
    sandbox.git.commit(path, "First", author_name=ME[0], author_email=ME[1])
    return path


@pytest.mark.e2b("git.init", "git.add", "git.commit", "git.status")
def test_changes_are_seen_staged_and_committed(sandbox: Sandbox) -> None:
    path = repository(sandbox, "changes")
    assert sandbox.git.status(path).is_clean
    sandbox.files.write(f"{path}/README.md", "hello again\n")
    sandbox.files.write(f"{path}/new.txt", "new\n")
    status = sandbox.git.status(path)
    assert (status.current_branch, status.has_staged, status.untracked_count) == ("main", False, 1)
    sandbox.git.add(path, files=["new.txt"])
    assert sandbox.git.status(path).staged_count == 1
    sandbox.git.add(path)
    sandbox.git.commit(path, "Second", author_name=ME[0], author_email=ME[1])
    assert sandbox.git.status(path).is_clean
    log = sandbox.commands.run("git log --format='%s by %an <%ae>'", cwd=path).stdout
    assert log == "Second by Ada <ada@example.com>\nFirst by Ada <ada@example.com>\n"


@pytest.mark.e2b("git.branches", "git.create_branch", "git.checkout_branch", "git.delete_branch")
def test_branches(sandbox: Sandbox) -> None:
    path = repository(sandbox, "branches")
    sandbox.git.create_branch(path, "feature")
    branches = sandbox.git.branches(path)
    assert (sorted(branches.branches), branches.current_branch) == (["feature", "main"], "feature")
    sandbox.git.checkout_branch(path, "main")
    sandbox.git.delete_branch(path, "feature", force=True)
    assert sandbox.git.branches(path).branches == ["main"]


@pytest.mark.e2b("git.reset", "git.restore")
def test_changes_are_taken_back(sandbox: Sandbox) -> None:
    path = repository(sandbox, "back")
    sandbox.files.write(f"{path}/README.md", "spoilt\n")
    sandbox.git.restore(path, paths=["README.md"])
    assert sandbox.files.read(f"{path}/README.md") == "hello\n"
    sandbox.files.write(f"{path}/README.md", "spoilt\n")
    sandbox.git.reset(path, mode="hard")
    assert sandbox.git.status(path).is_clean


@pytest.mark.e2b("git.clone", "git.remote_add", "git.remote_get", "git.push", "git.pull")
def test_a_repository_on_disk_is_cloned_pushed_to_and_pulled_from(sandbox: Sandbox) -> None:
    sandbox.commands.run("git init --quiet --bare --initial-branch=main /tmp/shared.git")
    path = repository(sandbox, "mine")
    assert sandbox.git.remote_get(path, "origin") is None
    sandbox.git.remote_add(path, "origin", "file:///tmp/shared.git")
    assert sandbox.git.remote_get(path, "origin") == "file:///tmp/shared.git"
    with pytest.raises(GitUpstreamException):
        sandbox.git.pull(path)
    sandbox.git.push(path, remote="origin", branch="main", set_upstream=True)
    sandbox.git.clone("file:///tmp/shared.git", "theirs", branch="main", depth=1)
    assert sandbox.files.read("theirs/README.md") == "hello\n"
    sandbox.files.write(f"{path}/README.md", "news\n")
    sandbox.git.add(path)
    sandbox.git.commit(path, "News", author_name=ME[0], author_email=ME[1])
    assert sandbox.git.status(path).ahead == 1
    sandbox.git.push(path)
    sandbox.git.pull("theirs")
    assert sandbox.files.read("theirs/README.md") == "news\n"


@pytest.mark.e2b("git.configure_user", "git.set_config", "git.get_config")
def test_who_commits(sandbox: Sandbox) -> None:
    path = repository(sandbox, "identity")
    sandbox.git.configure_user(*ME, scope="local", path=path)
    assert sandbox.git.get_config("user.email", scope="local", path=path) == ME[1]
    sandbox.git.set_config("pull.rebase", "false", scope="global")
    assert sandbox.git.get_config("pull.rebase", scope="global") == "false"
    assert sandbox.git.get_config("no.such", scope="global") is None
    with pytest.raises(InvalidArgumentException):
        sandbox.git.configure_user("", "")


@pytest.mark.e2b("git.dangerously_authenticate")
def test_a_password_is_kept_for_its_host(sandbox: Sandbox) -> None:
    sandbox.git.dangerously_authenticate("ada", "secret", host="git.example.com")
    asked = "printf 'protocol=https\\nhost=git.example.com\\n\\n' | git credential fill"
    assert "password=secret" in sandbox.commands.run(asked).stdout


SERVER = """
import base64, http.server, sys
class Guarded(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"ada:secret").decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
        else:
            super().do_GET()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Guarded)
print("listening", flush=True)
server.serve_forever()
"""


def test_a_clone_that_asks_for_a_password(sandbox: Sandbox) -> None:
    repository(sandbox, "private")
    sandbox.files.write("server.py", SERVER)
    bare = "git clone --quiet --bare private www/p.git && git -C www/p.git update-server-info"
    sandbox.commands.run(f"mkdir www && {bare}")
    server = sandbox.commands.run("python3 ../server.py", cwd="www", background=True)
    try:
        assert next(iter(server))[0] == "listening\n"
        address = "http://127.0.0.1:8099/p.git"
        with pytest.raises(GitAuthException):
            sandbox.git.clone(address, "refused")
        sandbox.git.clone(address, "cloned", username="ada", password="secret")
        assert sandbox.files.read("cloned/README.md") == "hello\n"
        assert "secret" not in sandbox.files.read("cloned/.git/config")
    finally:
        server.kill()


async def test_async(async_sandbox: AsyncSandbox) -> None:
    await async_sandbox.git.init("repo", initial_branch="main")
    await async_sandbox.files.write("repo/f", "x")
    await async_sandbox.git.add("repo")
    await async_sandbox.git.commit("repo", "First", author_name=ME[0], author_email=ME[1])
    assert (await async_sandbox.git.status("repo")).is_clean
