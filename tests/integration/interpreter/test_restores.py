"""What of an interpreter must be another's in another sandbox with the same memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from sandlot import Sandbox
from sandlot.server.local import LocalServer
from tests.integration.interpreter.languages import LANGUAGES

GENERATION = "/run/sandlot/generation"


@dataclass(frozen=True)
class Generator:
    """``seeded`` fixes what ``draw`` gives next."""

    language: str
    seeded: str
    draw: str

    def drawn(self, sandbox: Sandbox) -> str:
        execution = sandbox.run_code(self.draw, language=self.language)
        assert execution.error is None, execution.error
        return "".join(execution.logs.stdout) if self.language == "bash" else str(execution.text)


PYTHON = Generator("python", "import random; random.seed(1)", "random.random()")
GENERATORS = (
    PYTHON,
    Generator("python", "import numpy; numpy.random.seed(1)", "float(numpy.random.random())"),
    Generator("r", "set.seed(1)", "runif(1)"),
    Generator("bash", "RANDOM=1", "echo $RANDOM $RANDOM"),
)

UNSEEDED = (  # but warm: what they draw next is in memory
    Generator("javascript", "Math.random()", "Math.random()"),
    Generator("javascript", "crypto.randomUUID()", "crypto.randomUUID()"),
    Generator("javascript", "crypto.randomUUID()", "require('crypto').randomBytes(8).toString('hex')"),
    Generator("javascript", "crypto.randomUUID()", "(await import('crypto')).randomInt(1e12)"),
    Generator("java", "Math.random()", "Math.random()"),
)


@pytest.fixture(scope="module")
def coder(server: LocalServer) -> Iterator[Sandbox]:
    with Sandbox.create("code-interpreter", isolation="gvisor", memory_mib=2048, timeout=1800) as shared:
        yield shared


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda each: each.seeded)
def test_a_new_generation_draws_anew_and_the_same_one_does_not(coder: Sandbox, generator: Generator) -> None:
    coder.run_code(generator.seeded, language=generator.language)
    first = generator.drawn(coder)
    coder.run_code(generator.seeded, language=generator.language)
    assert generator.drawn(coder) == first
    coder.run_code(generator.seeded, language=generator.language)
    generation = int(coder.commands.run(f"cat {GENERATION}").stdout)
    coder.commands.run(f"echo {generation + 1} > {GENERATION}", user="root")
    assert generator.drawn(coder) != first


def test_the_children_of_a_fork_draw_differently_and_keep_their_variables(coder: Sandbox) -> None:
    coder.run_code("let kept = Math.random()", language="javascript")
    for generator in (*GENERATORS, *UNSEEDED):
        coder.run_code(generator.seeded, language=generator.language)
    with ExitStack() as stack:
        children = [stack.enter_context(child) for child in coder.fork(2)]
        for generator in (*GENERATORS, *UNSEEDED):
            drawn = {generator.drawn(child) for child in children}
            assert len(drawn) == 2, generator
        kept = {child.run_code("kept", language="javascript").text for child in [coder, *children]}
        assert len(kept) == 1


def test_a_cell_that_ran_at_the_moment_of_a_fork_goes_on_in_each(coder: Sandbox) -> None:
    context = coder.contexts.create()
    with ExitStack() as stack:
        forked: list[Sandbox] = []

        def fork(line: str) -> None:
            forked.extend(stack.enter_context(child) for child in coder.fork(2))
            coder.files.write("/tmp/go", "")

        code = "import os, time\nprint('up')\nwhile not os.path.exists('/tmp/go'): time.sleep(0.01)\n"
        execution = coder.run_code(f"{code}ended = True", context=context, on_stdout=fork)
        assert execution.error is None, execution.error
        assert coder.run_code("ended", context=context).text == "True"
        assert len(forked) == 2
        for child in forked:
            assert not child.files.exists("/tmp/go")
            child.files.write("/tmp/go", "")
            assert child.run_code("ended", context=context).text == "True"
        coder.contexts.remove(context)


def test_a_cell_that_came_with_a_fork_can_be_interrupted(coder: Sandbox) -> None:
    context = coder.contexts.create()
    with ExitStack() as stack:
        forked: list[Sandbox] = []
        execution = coder.run_code(
            "print('up')\nn = 0\nwhile True: n += 1",
            context=context,
            timeout=30,
            on_stdout=lambda line: (
                forked.extend(stack.enter_context(child) for child in coder.fork(1))
                or coder.contexts.interrupt(context)
            ),
        )
        assert execution.error is not None
        [child] = forked
        child.contexts.interrupt(context)
        assert child.run_code("n > 0", context=context).text == "True"
        coder.contexts.remove(context)


def test_variables_of_a_sandbox_from_a_snapshot_reach_the_kernels_that_came_with_it(coder: Sandbox) -> None:
    for language in LANGUAGES:
        assert coder.run_code(language.keep, language=language.name).error is None
    snapshot = coder.snapshot()
    try:
        with Sandbox.create(snapshot=snapshot, env={"STAGE": "it's later"}) as made:
            for language in LANGUAGES:
                once = made.run_code(language.env, language=language.name, env={"STAGE": "once"})
                assert language.of(once) == "once"
                assert language.of(made.run_code(language.env, language=language.name)) == "it's later"
                assert language.of(made.run_code(language.kept, language=language.name)) == "21"
            assert made.run_code("import os; os.environ['STAGE']").text == '"it\'s later"'
    finally:
        snapshot.delete()
