"""Languages by the names that E2B gives them: each keeps its state, prints, fails, and has variables."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from e2b_code_interpreter import Sandbox


class Language(NamedTuple):
    name: str
    define: str
    use: str
    shown: str | None
    """The value of ``use``; None where the language has none, and prints it."""
    fail: str
    read: str
    """Prints the variable A."""


LANGUAGES = [
    Language("python", "x = 40", "print('said'); x + 2", "42", "1 / 0", "import os; print(os.environ['A'])"),
    Language(
        "js", "const x = 40", "console.log('said'); x + 2", "42", "nothing()", "console.log(process.env.A)"
    ),
    Language(
        "typescript",
        "const x: number = 40",
        "console.log('said'); x + 2",
        "42",
        "throw new Error('no')",
        "console.log(process.env.A)",
    ),
    Language("bash", "x=40", "echo said; echo $((x + 2))", None, "nothing", "echo $A"),
    Language("r", "x <- 40", "cat('said\\n'); x + 2", "[1] 42", "stop('no')", "cat(Sys.getenv('A'))"),
    Language(
        "java",
        "int x = 40;",
        'System.out.println("said"); x + 2',
        "42",
        'throw new RuntimeException("no");',
        # As programs for E2B's own kernel look for it; our interpreter's tests have the other way.
        'System.out.println(System.getProperty("A"));',
    ),
]


@pytest.mark.e2b("Sandbox.run_code(language=)", "Sandbox.run_code(envs=)")
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_a_language(code: Sandbox, language: Language) -> None:
    assert code.run_code(language.define, language=language.name).error is None
    used = code.run_code(language.use, language=language.name)
    assert used.error is None
    assert "".join(used.logs.stdout).split("\n")[0] == "said"
    if language.shown is None:
        assert "42" in "".join(used.logs.stdout)
    else:
        assert used.text == language.shown
    failed = code.run_code(language.fail, language=language.name)
    assert failed.error is not None
    assert failed.error.name
    read = code.run_code(language.read, language=language.name, envs={"A": "for one run"})
    assert "for one run" in "".join(read.logs.stdout)
    again = code.run_code(language.read, language=language.name)
    assert "for one run" not in "".join(again.logs.stdout)


def test_contexts_of_a_language(code: Sandbox) -> None:
    assert {"python", "javascript"} <= {context.language for context in code.list_code_contexts()}
    context = code.create_code_context(language="js", cwd="/tmp")
    assert (context.language, context.cwd) == ("javascript", "/tmp")
    assert code.run_code("process.cwd()", context=context).text == "/tmp"
    assert code.run_code("typeof x", context=context).text == "undefined"
    code.remove_code_context(context)
