"""Any order of saving, restoring, deleting, sweeping, and dying between any two steps of these."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from sandlot.errors import NotFound
from sandlot.node import syscalls
from sandlot.node.snapshots import SnapshotStore
from tests.unit.node.snapshots.conftest import PAGE, data_bytes, leftovers, pages, sparse

_STEPS = ("link", "fsync", "pwrite", "rename", "unlink", "mkdir", "rmdir")
Contents = dict[str, bytes]

memories = st.lists(st.integers(0, 12), max_size=30).map(lambda numbers: pages(*numbers))
tails = st.sampled_from([b"", b"\0" * 100, b"tail", b"x" * (PAGE - 1)])
files = st.fixed_dictionaries({"pages.img": st.builds(bytes.__add__, memories, tails), "disk.img": memories})


class Died(BaseException):
    """Nothing that comes after it in the same run reaches the disk."""


@contextmanager
def dying_after(steps: int) -> Iterator[None]:
    """The process can do so many more things to the disk."""
    left = steps

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Died
            return real(*arguments, **options)

        return call

    with ExitStack() as stack:
        for name in _STEPS:
            stack.enter_context(patch.object(os, name, counted(getattr(os, name))))
        stack.enter_context(patch.object(syscalls, "punch_hole", counted(syscalls.punch_hole)))
        yield


class StoreMachine(RuleBasedStateMachine):
    ids = Bundle("ids")
    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sandlot-store-"))
        self.store = self.start()
        self.kept: dict[str, Contents] = {}
        self.open: list[ExitStack] = []
        self.count = 0

    def start(self) -> SnapshotStore:
        return SnapshotStore(self.folder / "store", reserve_bytes=0, copies_bytes=20 * PAGE)

    def teardown(self) -> None:
        try:
            for stack in self.open:
                stack.close()
            self.store.sweep(set())
            assert leftovers(self.folder / "store") == []
        finally:
            shutil.rmtree(self.folder)

    # ── what a node does ─────────────────────────────────────────────────────────────────────────────

    @rule(target=ids, contents=files, like=st.none() | ids)
    def save(self, contents: Contents, like: str | None) -> str:
        id = self.new_id()
        self._save(id, contents, like)
        self.kept[id] = contents
        return id

    @rule(target=ids, like=ids, came=memories, at=st.integers(0, 30), gone=st.integers(0, 5))
    def save_what_changed(self, like: str, came: bytes, at: int, gone: int) -> str:
        """As the next checkpoint of a sandbox is: some pages came, some went, the rest moved."""
        before = self.kept.get(like, {"pages.img": b"", "disk.img": b""})
        memory = before["pages.img"]
        moved = memory[: at * PAGE] + came + memory[(at + gone) * PAGE :]
        return self.save({**before, "pages.img": moved}, like)

    @rule(id=ids)
    def delete(self, id: str) -> None:
        self.store.delete(id)
        self.kept.pop(id, None)

    @rule()
    def sweep(self) -> None:
        assert self.store.sweep(self.kept) == []

    @rule(stray=st.none() | consumes(ids))
    def sweep_all_but_the_others(self, stray: str | None) -> None:
        was_there = self.kept.pop(stray, None) is not None if stray else False
        assert self.store.sweep(self.kept) == ([stray] if was_there else [])

    @rule(id=ids)
    def restore(self, id: str) -> None:
        if id not in self.kept:
            with contextlib.suppress(NotFound), self.store.open(id, ["pages.img"]):
                raise AssertionError("a deleted snapshot was restored")
            return
        self._check(id)

    @rule(target=opened, id=ids)
    def begin_restore(self, id: str) -> tuple[ExitStack, Path, Contents] | None:
        if id not in self.kept:
            return None
        stack = ExitStack()
        copy = stack.enter_context(self.store.open(id, list(self.kept[id])))
        self.open.append(stack)
        return stack, copy.folder, self.kept[id]

    @rule(begun=consumes(opened))
    def end_restore(self, begun: tuple[ExitStack, Path, Contents] | None) -> None:
        if begun is not None and begun[0] in self.open:
            stack, folder, contents = begun
            assert {name: (folder / name).read_bytes() for name in contents} == contents
            self.open.remove(stack)
            stack.close()

    # ── what happens to it ───────────────────────────────────────────────────────────────────────────

    @rule()
    def restart(self) -> None:
        self.open.clear()  # who restored has died, too
        self.store = self.start()

    @rule(target=ids, contents=files, like=st.none() | ids, steps=st.integers(0, 30))
    def die_while_saving(self, contents: Contents, like: str | None, steps: int) -> str:
        id = self.new_id()
        self._save(id, contents, like, steps)
        self.restart()
        if id in self.store.ids():
            self.kept[id] = contents
            self._check(id)
        return id

    @rule(id=ids, steps=st.integers(0, 15))
    def die_while_deleting(self, id: str, steps: int) -> None:
        with contextlib.suppress(Died), dying_after(steps):
            self.store.delete(id)
        self.restart()
        if id not in self.store.ids():
            self.kept.pop(id, None)

    @rule(id=ids, steps=st.integers(0, 15))
    def die_while_sweeping(self, id: str, steps: int) -> None:
        with contextlib.suppress(Died), dying_after(steps):
            self.store.sweep(self.kept.keys() - {id})
        self.restart()
        if id not in self.store.ids():
            self.kept.pop(id, None)
        self.store.sweep(self.kept)  # packs of unfinished saves may go

    @rule(id=ids, steps=st.integers(0, 15))
    def die_while_restoring(self, id: str, steps: int) -> None:
        with contextlib.suppress(Died, NotFound), dying_after(steps), self.store.open(id, ["pages.img"]):
            pass
        self.restart()

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────

    @invariant()
    def those_are_there_that_should_be(self) -> None:
        assert self.store.ids() == self.kept.keys()

    @invariant()
    def they_take_no_more_than_their_pages(self) -> None:
        if not self.open:
            self.store.sweep(self.kept)
            whole = sum(-(-len(content) // PAGE) for each in self.kept.values() for content in each.values())
            assert data_bytes(self.folder / "store") <= whole * PAGE

    # ── how ──────────────────────────────────────────────────────────────────────────────────────────

    def new_id(self) -> str:
        self.count += 1
        return f"s{self.count}"

    def _save(self, id: str, contents: Contents, like: str | None, steps: int | None = None) -> None:
        made = {name: sparse(self.folder / f"{id}-{name}", content) for name, content in contents.items()}
        try:
            with dying_after(steps) if steps is not None else contextlib.nullcontext():
                self.store.save(id, made, {"of": id}, like=like)
        except Died:
            pass
        finally:
            for path in made.values():
                path.unlink()

    def _check(self, id: str) -> None:
        with self.store.open(id, list(self.kept[id])) as copy:
            assert {name: path.read_bytes() for name, path in copy.files.items()} == self.kept[id]
        assert self.store.about(id) == {"of": id}


StoreMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_store = StoreMachine.TestCase
