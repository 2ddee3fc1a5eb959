"""What a user finds in the base template, looked at from inside."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest
from tests.conftest import TEMPLATES_DIR
from tests.integration.images.conftest import Enter, template

from sandlot.images import Templates

TOOLS = """
bash curl file find git grep ip jq less make nano nc patch pip ping ps python python3 rg rsync sed sqlite3 ssh
tar tree unzip vi wget xz zip zstd
"""
UNUSED_UID = 54321  # so that a limit on its processes counts none but the test's own


@pytest.fixture(scope="module")
def root() -> Path:
    return template("base").layers[-1]


def test_the_tools_that_agents_reach_for_are_there(enter: Enter) -> None:
    script = "for tool in $0; do command -v $tool >/dev/null || echo $tool; done"
    done = enter("base", "bash", "-lc", script, TOOLS)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("options", ["-lc", "-c", "-lic"])
def test_start_up_files_of_the_shell_fork_nothing(enter: Enter, options: str) -> None:
    done = enter("base", "bash", options, "echo ran", uid=UNUSED_UID, nproc="1")
    assert done.stdout == "ran\n"
    assert "fork" not in done.stderr


def test_a_fork_would_have_been_noticed(enter: Enter) -> None:
    done = enter("base", "python3", "-c", "import os; os.fork()", uid=UNUSED_UID, nproc="1")
    assert "BlockingIOError" in done.stderr


def test_a_login_shell_keeps_the_path_it_is_given_and_adds_the_users_own(enter: Enter) -> None:
    assert enter("base", "PATH=/opt/mine:/usr/bin:/bin", "bash", "-lc", "echo $PATH").stdout == (
        "/home/user/.local/bin:/opt/mine:/usr/bin:/bin\n"
    )
    twice = enter("base", "PATH=/usr/bin:/home/user/.local/bin:/bin", "bash", "-lc", "echo $PATH")
    assert twice.stdout == "/usr/bin:/home/user/.local/bin:/bin\n"


def test_pip_installs_for_the_user_without_ceremony(enter: Enter, tmp_path: Path) -> None:
    wheel = tmp_path / "upper/home/user/tiny-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    os.chown(wheel.parent, 1000, 1000)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "def main(): print('tiny runs')\n")
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        archive.writestr(
            "tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny-1.dist-info/entry_points.txt", "[console_scripts]\ntiny = tiny:main\n")
        archive.writestr("tiny-1.dist-info/RECORD", "")
    done = enter("base", "bash", "-lc", f"pip install --quiet --no-index ~/{wheel.name} && tiny")
    assert (done.stdout, done.stderr) == ("tiny runs\n", "")
    assert (tmp_path / "upper/home/user/.local/bin/tiny").exists()


def test_sudo_and_su_are_clients_of_the_agent_and_stay_so(enter: Enter, root: Path) -> None:
    for command in ("sudo", "su"):
        assert (root / "usr/bin" / command).readlink() == Path("/.sandlot/agent")
    diversions = enter("base", "dpkg-divert", "--list", uid=0).stdout
    assert "su.distrib" in diversions
    assert "sudo.distrib" in diversions


def test_nothing_inside_is_setuid(root: Path) -> None:
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    assert [path for path in files if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)] == []


def test_owners_are_the_guests_own(root: Path) -> None:
    owners = {path.lstat().st_uid for path in root.rglob("*")}
    assert owners <= {0, 1000, 42, 100}  # 42 and 100: apt's own folders
    assert {path.lstat().st_uid for path in (root / "home").rglob("*")} == {1000}
    assert (root / "workspace").stat().st_uid == 1000


def test_the_guest_knows_nothing_of_the_machine_that_built_it(root: Path) -> None:
    assert (root / "etc/machine-id").read_bytes() == b""
    assert (root / "etc/resolv.conf").read_bytes() == b""
    assert (root / "etc/hostname").read_text() == "sandbox\n"
    assert list((root / "usr/local/share/ca-certificates").glob("*")) == []
    assert "roxy" not in "".join(path.read_text() for path in (root / "etc/apt/apt.conf.d").iterdir())


def test_apt_has_the_operating_systems_own_sources_and_no_lists_yet(enter: Enter, root: Path) -> None:
    sources = "".join(path.read_text() for path in (root / "etc/apt/sources.list.d").iterdir())
    assert "main" in sources
    assert "backports" not in sources
    assert [path.name for path in (root / "var/lib/apt/lists").iterdir()] == ["partial"]
    checked = enter("base", "bash", "-c", "apt-get check && dpkg --audit", uid=0)
    assert checked.returncode == 0, checked.stderr


def test_it_stays_lean() -> None:
    [base] = [info for info in Templates(TEMPLATES_DIR).list() if info.name == "base"]
    assert base.size_bytes < 350 << 20
