"""The same things said in each language of the code interpreter but Python, which has tests of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sandlot.sdk import Execution

GO = "/tmp/go"


@dataclass(frozen=True)
class Language:
    name: str
    alias: str
    keep: str
    """Sets ``kept`` to 20."""
    kept: str
    """Gives 21 for it, and an error where there is none."""
    streams: str
    """Writes "out" to one stream and "err" to the other."""
    live: str
    """Says "up" and waits until there is a file ``GO``."""
    fail: str
    failed: tuple[str, str]
    """The error's name, and a part of its value."""
    wrong: str
    """No sentence of the language."""
    compute: str
    wait: str
    env: str
    """Gives the variable STAGE."""
    cwd: str
    unicode: str
    """Gives "漢字😀"."""
    many: str
    """Prints the numbers from 1 to 20,000."""
    child: str
    """Prints "before", has a child print "child", prints "after"."""
    die: str
    leave: str
    """Leaves something behind that goes on."""
    end: str
    html: str | None = None
    """Shows <b>bold</b>."""

    def of(self, execution: Execution) -> str:
        """What it gave, without the quotes of a string."""
        assert execution.error is None, execution.error
        text = "".join(execution.logs.stdout) if self.name == "bash" else execution.text
        assert text is not None
        return text.strip().removeprefix("[1] ").strip("\"'`")


_JAVASCRIPT = Language(
    name="javascript",
    alias="js",
    keep="const kept = 20",
    kept="kept + 1",
    streams="console.log('out'); console.error('err')",
    live=f"console.log('up'); while (!require('fs').existsSync('{GO}'));",
    fail="function f() { throw new RangeError('too far') }\nf()",
    failed=("RangeError", "too far"),
    wrong="let = = 1",
    compute="while (true);",
    wait="await new Promise(() => {})",
    env="process.env.STAGE",
    cwd="process.cwd()",
    unicode="'漢字😀'",
    many="for (let i = 1; i <= 20000; i++) console.log(i)",
    child=(
        "console.log('before'); require('child_process').execSync('echo child', {stdio: 'inherit'});"
        "console.log('after')"
    ),
    die="process.kill(process.pid, 'SIGKILL')",
    leave="globalThis.timer = setInterval(() => {}, 1e6); 0",
    end="clearInterval(timer)",
    html="display.html('<b>bold</b>')",
)
_TYPESCRIPT = replace(
    _JAVASCRIPT,
    name="typescript",
    alias="ts",
    keep="const kept: number = 20",
    kept="(kept as number) + 1",
    fail="function f(): never { throw new RangeError('too far') }\nf()",
    wrong="const kept: = 1",
    unicode="enum Word { Here = '漢字😀' }\nWord.Here",
)
_BASH = Language(
    name="bash",
    alias="sh",
    keep="kept=20",
    kept='echo $(("${kept:?}" + 1))',
    streams="echo out; echo err >&2",
    live=f"echo up; until [ -e {GO} ]; do sleep 0.05; done",
    fail="f() { return 3; }\nf",
    failed=("ExitStatus", "3"),
    wrong="if then",
    compute="while :; do :; done",
    wait="sleep 1000",
    env="echo $STAGE",
    cwd="pwd",
    unicode="cat <<END\n漢字😀\nEND",
    many="seq 20000",
    child="echo before; sh -c 'echo child'; echo after",
    die="kill -9 $PPID",
    leave="sleep 1000 &",
    end="kill %1; wait",
)
_R = Language(
    name="r",
    alias="R",
    keep="kept <- 20",
    kept="kept + 1",
    streams="cat('out\\n'); message('err')",
    live=f"cat('up\\n'); while (!file.exists('{GO}')) Sys.sleep(0.05)",
    fail="f <- function() stop('too far')\nf()",
    failed=("Error", "too far"),
    wrong="a b",
    compute="while (TRUE) {}",
    wait="Sys.sleep(1000)",
    env="Sys.getenv('STAGE')",
    cwd="getwd()",
    unicode="'漢字😀'",
    many="for (i in 1:20000) cat(format(i, scientific = FALSE), '\\n', sep = '')",
    child="cat('before\\n'); system('echo child'); cat('after\\n')",
    die="tools::pskill(Sys.getpid(), 9)",
    leave="child <- parallel::mcparallel(Sys.sleep(1000))",
    end="tools::pskill(child$pid); invisible(parallel::mccollect(child))",
    html="display_html('<b>bold</b>')",
)
_JAVA = Language(
    name="java",
    alias="Java",
    keep="int kept = 20;",
    kept="kept + 1",
    streams='System.out.println("out"); System.err.println("err");',
    live=f'System.out.println("up"); while (!Files.exists(Path.of("{GO}"))) Thread.sleep(50);',
    fail='void f() { throw new IllegalStateException("too far"); }\nf();',
    failed=("IllegalStateException", "too far"),
    wrong="int kept = ;",
    compute="while (true) {}",
    wait="Thread.sleep(1000000);",
    env='System.getenv("STAGE")',
    cwd='System.getProperty("user.dir")',
    unicode='"漢字😀"',
    many="for (int i = 1; i <= 20000; i++) System.out.println(i);",
    child=(
        'System.out.println("before"); new ProcessBuilder("echo", "child").inheritIO().start().waitFor();'
        'System.out.println("after");'
    ),
    die="Runtime.getRuntime().halt(3);",
    leave="var timer = new Timer(); timer.schedule(new TimerTask() { public void run() {} }, 1000000);",
    end="timer.cancel();",
    html='display("<b>bold</b>", "text/html")',
)

LANGUAGES = (_JAVASCRIPT, _TYPESCRIPT, _BASH, _R, _JAVA)
