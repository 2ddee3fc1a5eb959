"""Every language of the template in a real gVisor sandbox."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from sandlot import Sandbox
from sandlot.sdk import InvalidArgumentError
from sandlot.server.local import LocalServer
from tests.integration.interpreter.languages import GO, LANGUAGES, Language
from tests.integration.sandbox.test_idle import group_of, wait_frozen


@pytest.fixture(scope="module")
def coder(server: LocalServer) -> Iterator[Sandbox]:
    with Sandbox.create("code-interpreter", isolation="gvisor", memory_mib=3072, timeout=1800) as shared:
        yield shared


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def language(request: pytest.FixtureRequest) -> Language:
    asked: Language = request.param
    return asked


def test_state_is_kept_and_its_short_name_is_the_same_language(coder: Sandbox, language: Language) -> None:
    assert coder.run_code(language.keep, language=language.name).error is None
    assert language.of(coder.run_code(language.kept, language=language.alias)) == "21"


def test_both_streams(coder: Sandbox, language: Language) -> None:
    execution = coder.run_code(language.streams, language=language.name)
    assert ("".join(execution.logs.stdout), "".join(execution.logs.stderr)) == ("out\n", "err\n")


def test_output_arrives_while_it_runs(coder: Sandbox, language: Language) -> None:
    coder.commands.run(f"rm -f {GO}")
    execution = coder.run_code(
        language.live, language=language.name, on_stdout=lambda text: coder.files.write(GO, "")
    )
    assert execution.error is None
    assert execution.logs.stdout == ["up\n"]


def test_output_of_children_is_in_its_place(coder: Sandbox, language: Language) -> None:
    execution = coder.run_code(language.child, language=language.name)
    assert "".join(execution.logs.stdout) == "before\nchild\nafter\n"


def test_much_output_is_whole(coder: Sandbox, language: Language) -> None:
    execution = coder.run_code(language.many, language=language.name)
    assert execution.error is None
    assert "".join(execution.logs.stdout) == "".join(f"{i}\n" for i in range(1, 20_001))


def test_unicode(coder: Sandbox, language: Language) -> None:
    assert language.of(coder.run_code(language.unicode, language=language.name)) == "漢字😀"


def test_an_error_is_data_and_state_survives_it(coder: Sandbox, language: Language) -> None:
    coder.run_code(language.keep, language=language.name)
    error = coder.run_code(language.fail, language=language.name).error
    assert error is not None
    name, value = language.failed
    assert error.name == name
    assert value in error.value
    assert value in error.traceback
    assert language.of(coder.run_code(language.kept, language=language.name)) == "21"


def test_what_is_no_code_is_said(coder: Sandbox, language: Language) -> None:
    execution = coder.run_code(language.wrong, language=language.name)
    assert execution.error is not None
    assert execution.error.value


@pytest.mark.parametrize("how", ["compute", "wait"])
def test_a_timeout_interrupts_and_keeps_the_state(coder: Sandbox, language: Language, how: str) -> None:
    coder.run_code(language.keep, language=language.name)
    error = coder.run_code(getattr(language, how), language=language.name, timeout=1).error
    assert error is not None
    assert error.name == "TimeoutError"
    assert "variables are kept" in error.value
    assert language.of(coder.run_code(language.kept, language=language.name)) == "21"


def test_contexts_are_apart_and_have_their_own_folder_and_variables(
    coder: Sandbox, language: Language
) -> None:
    coder.run_code(language.keep, language=language.name)
    context = coder.contexts.create(language=language.alias, cwd="/tmp", env={"STAGE": "context"})
    try:
        assert context.language == language.name
        assert coder.run_code(language.kept, context=context).error is not None
        assert language.of(coder.run_code(language.cwd, context=context)) == "/tmp"
        assert language.of(coder.run_code(language.env, context=context)) == "context"
        once = coder.run_code(language.env, context=context, env={"STAGE": 'it\'s "one" run'})
        assert language.of(once).replace("\\", "") == 'it\'s "one" run'
        assert language.of(coder.run_code(language.env, context=context)) == "context"
        coder.run_code(language.keep, context=context)
        coder.contexts.restart(context)
        assert coder.run_code(language.kept, context=context).error is not None
    finally:
        coder.contexts.remove(context)


def test_one_that_dies_is_said_and_replaced(coder: Sandbox, language: Language) -> None:
    coder.run_code(language.keep, language=language.name)
    error = coder.run_code(language.die, language=language.name).error
    assert error is not None
    assert error.name == "KernelDied"
    assert coder.run_code(language.kept, language=language.name).error is not None
    coder.run_code(language.keep, language=language.name)
    assert language.of(coder.run_code(language.kept, language=language.name)) == "21"


def test_interrupt_by_request(coder: Sandbox, language: Language) -> None:
    coder.commands.run(f"rm -f {GO}")
    execution = coder.run_code(
        language.live,
        language=language.name,
        on_stdout=lambda text: coder.contexts.interrupt(f"default-{language.name}"),
    )
    assert execution.error is not None
    assert execution.error.name == "KeyboardInterrupt"


def test_formats_are_shown_before_the_end(coder: Sandbox, language: Language) -> None:
    if language.html is None:
        assert language.name == "bash"  # which has only text
        return
    execution = coder.run_code(language.html, language=language.name)
    assert execution.error is None
    assert [result.html for result in execution.results if result.html] == ["<b>bold</b>"]


def test_a_language_that_is_not_there_is_named(coder: Sandbox) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'cobol'.*bash, java, javascript, python, r, typescript"):
        coder.run_code("1", language="cobol")


def test_javascript_modules_declarations_and_promises(coder: Sandbox) -> None:
    coder.files.write("tool.mjs", "export const answer = 42; export default 'tool'")
    code = "import tool, { answer as found } from './tool.mjs'\n[tool, found]"
    result = coder.run_code(code, language="javascript").results[0]
    assert (result.json, result.is_main) == (["tool", 42], True)
    for again in (
        "const found = 1",
        "function found() {}",
        "class found {}",
        "const { found } = { found: 1 }",
    ):
        assert coder.run_code(again, language="javascript").error is None
    assert coder.run_code("Promise.resolve(7)", language="javascript").text == "7"
    assert coder.run_code("{ a: 1 }", language="javascript").text == "{ a: 1 }"
    late = "setTimeout(() => { throw new Error('late') }, 1); await new Promise((go) => setTimeout(go, 100))"
    assert "late" in "".join(coder.run_code(late, language="javascript").logs.stderr)
    assert coder.run_code("found", language="javascript").text == "1"


def test_an_await_that_is_interrupted_lets_code_tidy_up(coder: Sandbox) -> None:
    code = "try { await new Promise(() => {}) } finally { console.log('tidied') }"
    execution = coder.run_code(code, language="javascript", timeout=1)
    assert execution.error is not None
    assert "".join(execution.logs.stdout) == "tidied\n"


def test_typescript_is_compiled_where_types_are_more_than_types(coder: Sandbox) -> None:
    code = """
interface Shape { area(): number }
class Square implements Shape { constructor(private side: number) {} area() { return this.side ** 2 } }
new Square(3).area()
"""
    assert coder.run_code(code, language="typescript").text == "9"


def test_r_plots_are_pictures_and_frames_are_tables(coder: Sandbox) -> None:
    execution = coder.run_code("plot(1:3)\nlines(3:1)\nhist(c(1, 2, 2))", language="r")
    assert execution.error is None
    pictures = [base64.b64decode(result.png) for result in execution.results if result.png]
    assert [picture[:4] for picture in pictures] == [b"\x89PNG"] * 2
    frame = "data.frame(city = c('Ulm', 'Bo<nn'), people = c(126L, NA))"
    result = coder.run_code(frame, language="r").results[0]
    assert result.data == {"city": ["Ulm", "Bo<nn"], "people": [126, None]}
    assert "<td>Bo&lt;nn</td>" in str(result.html)
    assert "Ulm" in str(result.text)
    warning = coder.run_code("as.integer('x')", language="r")
    assert "NAs introduced by coercion" in "".join(warning.logs.stderr)
    assert warning.text == "[1] NA"


def test_java_says_where_the_mistake_is(coder: Sandbox) -> None:
    error = coder.run_code("int a = 1;\nint b = missing;", language="java").error
    assert error is not None
    assert error.name == "CompileError"
    assert "variable missing" in error.value
    assert "int b = missing;\n        ^" in error.traceback


def test_bash_gives_the_status_on_to_the_next_run(coder: Sandbox) -> None:
    coder.run_code("(exit 7)", language="bash")
    assert coder.run_code("echo $?; cat; read x", language="bash").logs.stdout == ["7\n"]
    assert coder.run_code("cd /usr", language="bash").error is None
    assert coder.run_code("sleep 100 & pwd; kill %1", language="bash").logs.stdout == ["/usr\n"]


def test_what_is_left_behind_keeps_it_awake(server: LocalServer) -> None:
    with (
        Sandbox.create("code-interpreter", isolation="gvisor", memory_mib=3072, timeout=1800) as sandbox,
        Sandbox.create("base", timeout=1800) as beside,
    ):
        group, control = group_of(server, sandbox), group_of(server, beside)
        for language in LANGUAGES:
            assert sandbox.run_code(language.keep, language=language.name).error is None
            wait_frozen(group)
            assert sandbox.run_code(language.leave, language=language.name).error is None
            for _ in range(2):  # an idle one beside it is frozen twice meanwhile
                beside.files.exists("/tmp")
                wait_frozen(control)
            assert not group.is_frozen(), language.name
            assert sandbox.run_code(language.end, language=language.name).error is None
            wait_frozen(group)
