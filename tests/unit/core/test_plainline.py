"""What is taken for plain is what the real bash makes of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandlot.core.plainline import plain_words

_ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_PIECES = [
    *" \t\n'\"$`\\*?[]{}()<>|&;#~!^=:%@+,./-_aZ09\x01\x7f\r\x0b", "é", "漢", "if", "echo", "a=b", "-c",
    "--x=1", "$(", "${a}", "{a,b}", "~/x", "a*", "2>", "<(", "!!", "''", '""', "\\\n", "&&", " # x",
    " 'a b' ", ' "c d" ',
]  # fmt: skip
_LINES = st.lists(st.sampled_from(_PIECES), max_size=8).map("".join)


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("plain") / "show"
    program.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    program.chmod(0o755)
    return program


def test_plain_ones() -> None:
    assert plain_words("node -v", _ENV) == ["node", "-v"]
    assert plain_words(" python3\t-m 'a  b' --x=\"c\"d \n", {}) == ["python3", "-m", "a  b", "--x=cd"]


@pytest.mark.parametrize(
    "line",
    ["", " ", "echo hi", "a=b", "a=b node", "cd /", "if", "node -v; id", "node $A", "node -v &", "a | b",
     "! node", "node *.js", "~/x", "node ~", "node {a,b}", "%1", "-c", "+x", "'' a", "node 'a", "# node",
     "node # a", "a\nb", "node \\a", 'node "$A"', 'node "`id`"', "node -v > x", "[ a ]", "exec node",
     "time node", "node a\\", "a" * 5000],
)  # fmt: skip
def test_others(line: str) -> None:
    assert plain_words(line, _ENV) is None


@pytest.mark.parametrize(
    "name",
    [
        "BASH_ENV",
        "BASH_FUNC_node%%",
        "LC_ALL",
        "SHELLOPTS",
        "PWD",
        "SHLVL",
        "_",
        "PS1",
        "SSH_CLIENT",
        "a-b",
        "1",
    ],
)
def test_variables_that_a_shell_heeds(name: str) -> None:
    assert plain_words("node -v", {**_ENV, name: "x"}) is None
    assert plain_words("node -v", {**_ENV, "LANG": "de_DE.UTF-8"}) is None


def test_variables_that_are_not_heeded_are_left_as_they_are() -> None:
    """Of all words in the shell's own program that could be names of variables."""
    program = Path("/bin/bash").read_bytes().decode("latin-1")
    known = sorted(set(re.findall(r"[A-Z_][A-Z_0-9]{0,30}", program)) - {"PATH", "LANG"})
    for value in ("", "1", "/"):
        env = {name: value for name in known if plain_words("env -0", {name: value})} | _ENV
        assert len(env) > 500
        printed = subprocess.run(
            ["/bin/bash", "-c", "env -0"], env=env, cwd="/", capture_output=True, check=True
        )
        found = dict(line.split("=", 1) for line in printed.stdout.decode().split("\0") if line)
        assert found == env | {"PWD": "/", "SHLVL": "0", "_": "/usr/bin/env"}


@settings(max_examples=150)
@given(_LINES)
@example("-x 'a' \"b\" c=d :e @f %g +h ,i /j .k é\n")
def test_arguments_are_those_of_bash(show: Path, tail: str) -> None:
    line = f"{show} {tail}"
    if (words := plain_words(line, _ENV)) is not None:
        assert _run(words) == _run(["/bin/bash", "-c", line])


@settings(max_examples=150)
@given(_LINES)
@example("+-c")
@example("%a")
def test_commands_are_those_of_bash(line: str) -> None:
    """None of these exists: bash says so, and does nothing else."""
    if (words := plain_words(line, _ENV)) is not None and "/" not in words[0]:
        assert _run(["/bin/bash", "-c", line])[0] == 127


def _run(words: list[str]) -> tuple[int, bytes]:
    done = subprocess.run(words, env=_ENV, cwd="/", capture_output=True, check=False)
    return done.returncode, done.stdout
