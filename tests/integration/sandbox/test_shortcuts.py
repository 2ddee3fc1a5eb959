"""A shell that would only execute one program is left out, and that cannot be seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandlot import Sandbox
from sandlot.server.local import LocalServer

LOGIN = ["/bin/bash", "-l", "-c"]


@pytest.fixture(scope="module", params=["base", "code-interpreter"])
def sandbox(server: LocalServer, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox.create(request.param, isolation="gvisor", env={"OWN": "1"}) as shared:
        yield shared


def environment(sandbox: Sandbox, line: str, user: str | None = None) -> dict[str, str]:
    printed = sandbox.commands.run([*LOGIN, line], user=user, env={"GIVEN": "a b"}).stdout
    found = dict(entry.split("=", 1) for entry in printed.split("\0") if entry)
    return {name: value for name, value in found.items() if name not in ("SHLVL", "_")}


@pytest.mark.parametrize("user", [None, "root"])
def test_a_login_shell_and_none_leave_the_same_environment(sandbox: Sandbox, user: str | None) -> None:
    left_out = environment(sandbox, "env -0", user)
    assert left_out == environment(sandbox, "true; env -0", user)
    assert (left_out["OWN"], left_out["GIVEN"]) == ("1", "a b")


def test_it_is_left_out_until_its_files_say_otherwise(sandbox: Sandbox) -> None:
    """Seen by a shell that only says that it was asked."""
    sandbox.commands.run(
        "cp /bin/bash /root/bash; printf '#!/root/bash\\necho the shell' > /root/new", user="root"
    )
    sandbox.commands.run("chmod 711 /root && chmod 755 /root/new && mv /root/new /bin/bash", user="root")
    try:
        assert sandbox.commands.run("id -u").stdout == "1000\n"
        assert sandbox.commands.run([*LOGIN, "id -u"]).stdout == "1000\n"
        assert sandbox.commands.run("id -u; id -g").stdout == "the shell\n"
        assert sandbox.commands.run([*LOGIN, "id -u; id -g"]).stdout == "the shell\n"
        sandbox.files.write("/home/user/.bash_login", "A=b\n")
        assert sandbox.commands.run([*LOGIN, "id -u"]).stdout == "the shell\n"
        assert sandbox.commands.run("id -u").stdout == "1000\n"
        sandbox.files.remove("/home/user/.bash_login")
        assert sandbox.commands.run([*LOGIN, "id -u"]).stdout == "1000\n"
    finally:
        sandbox.commands.run(["/bin/cp", "/root/bash", "/bin/bash"], user="root")
