"""Command lines with which a shell does nothing but start one program: in gVisor its own start costs as much
as that program's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_LONGEST = 4096
"""Characters: a longer line is no more often plain, and would be sent twice."""

_WORD = r"""(?:[\w@%+=:,./-]|'[^'\x00-\x08\x0b-\x1f\x7f]*'|"[^"$`\\\x00-\x08\x0b-\x1f\x7f]*")+"""
_WORDS = re.compile(rf"[ \t]*{_WORD}(?:[ \t]+{_WORD})*[ \t\n]*", re.ASCII)
_ONE = re.compile(_WORD, re.ASCII)
_COMMAND = re.compile(r"[\w./][^=]*")  # no assignment, and no option of the shell itself
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")

_OWN: Final = frozenset(
    (  # keywords, then builtins, of bash 4 and 5, and those that dash has
        "!", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if",
        "in", "select", "then", "time", "until", "while", "{", "}", "[[", "]]", ".", ":", "[", "alias",
        "bg", "bind", "break", "builtin", "caller", "cd", "chdir", "command", "compgen", "complete",
        "compopt", "continue", "declare", "dirs", "disown", "echo", "enable", "eval", "exec", "exit",
        "export", "false", "fc", "fg", "getopts", "hash", "help", "history", "jobs", "kill", "let",
        "local", "logout", "mapfile", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly",
        "return", "set", "shift", "shopt", "source", "suspend", "test", "times", "trap", "true", "type",
        "typeset", "ulimit", "umask", "unalias", "unset", "wait",
    )
)  # fmt: skip

# Variables by which a shell does otherwise, or which it takes for its own. What bash reads as functions has a
# name that begins as these do.
_TELLING: Final = re.compile(
    r"BASH.*|(?:LC_|COMP_|EPOCH|SSH).*|"
    r"_|DIRSTACK|EUID|FUNCNAME|GLOBIGNORE|GROUPS|HISTCMD|IFS|LINENO|MAIL.*|OLDPWD|OPTARG|OPTERR|OPTIND|PIPESTATUS|"
    r"POSIXLY_CORRECT|PPID|PS[124]|PWD|RANDOM|SECONDS|SHELLOPTS|SHLVL|SRANDOM|UID"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LOCALES: Final = ("C", "C.UTF-8", "POSIX")


def plain_words(line: str, env: Mapping[str, str]) -> list[str] | None:
    """What ``/bin/bash -c line`` executes with ``env``, where it does no more than that.

    None where it may do more, or may do otherwise: a builtin, an expansion, an assignment, a second command.
    """
    if len(line) > _LONGEST or _WORDS.fullmatch(line) is None or not _is_neutral(env):
        return None
    first, *rest = _ONE.findall(line)
    name = _unquoted(first)
    if not _COMMAND.fullmatch(name) or name in _OWN:
        return None
    return [name, *map(_unquoted, rest)]


def _unquoted(word: str) -> str:
    return _QUOTED.sub(lambda found: found[1] if found[1] is not None else found[2], word)


def _is_neutral(env: Mapping[str, str]) -> bool:
    if env.get("LANG", "C") not in _LOCALES:
        return False  # one that is not installed makes bash complain
    return all(_NAME.fullmatch(name) and not _TELLING.fullmatch(name) for name in env)
