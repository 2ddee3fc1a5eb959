"""Which commands are known without asking for them."""

from __future__ import annotations

import pytest

from sandlot.core import known
from sandlot.core.known import KnownCommand, KnownCommands


def test_a_command_is_found_by_either_number() -> None:
    commands = KnownCommands()
    command = KnownCommand(3, 70, terminal=True)
    commands.add(command)
    commands.add(command)
    assert (commands.by_id(3), commands.by_pid(70)) == (command, command)
    assert (commands.by_id(70), commands.by_pid(3)) == (None, None)


def test_of_those_with_one_pid_the_newest_is_meant() -> None:
    commands = KnownCommands()
    newer, older = KnownCommand(9, 70, terminal=False), KnownCommand(3, 70, terminal=False)
    commands.add(newer)
    commands.add(older)
    assert (commands.by_pid(70), commands.by_id(3)) == (newer, older)


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_KNOWN", 2)
    commands = KnownCommands()
    for id, pid in ((1, 70), (2, 71), (3, 70), (4, 72)):
        commands.add(KnownCommand(id, pid, terminal=False))
    assert [commands.by_id(id) is not None for id in (1, 2, 3, 4)] == [False, False, True, True]
    assert commands.by_pid(71) is None
    newest = commands.by_pid(70)
    assert newest is not None
    assert newest.id == 3
